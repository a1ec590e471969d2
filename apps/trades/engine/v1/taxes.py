"""Rules 8 and 11: place of supply, GST by dated rows, TDS by positions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.trades.engine import errors
from apps.trades.engine.facts import Certificate, Facts, Position, RowKind, TaxRow, ThresholdMode
from apps.trades.engine.terms import Direction, Party, Role, TaxStatus, Terms
from apps.trades.engine.v1.trace import text

# Union territories without a legislature of their own: UTGST in place of SGST (Chandigarh, Dadra and Nagar Haveli and
# Daman and Diu, Lakshadweep, Andaman and Nicobar Islands, Ladakh, Other Territory).
UTGST: Final = frozenset({"04", "26", "31", "35", "38", "97"})


@dataclass(frozen=True)
class Regime:
    """How a supply is taxed: heads with their part of the rate, whether the buyer pays the state, and a remark."""

    heads: tuple[tuple[str, Fraction], ...]
    is_reverse: bool = False
    remark: str = ""


UNTAXED: Final = Regime(())


def row_for(rows: Sequence[TaxRow], kind: RowKind, day: date, hsn: str = "") -> TaxRow:
    """Return the row in force on a day: of the longest prefix of the code. Raises TaxRuleMissing."""
    found = in_force(rows, kind, day, hsn)
    longest = max((len(row.hsn) for row in found), default=0)
    best = [row for row in found if len(row.hsn) == longest]
    if len(best) != 1:
        words = "No row" if not best else f"{len(best)} rows"
        raise errors.TaxRuleMissing(f"{words} {kind} {hsn} in force on {day}.".replace("  ", " "))
    return best[0]


def in_force(rows: Sequence[TaxRow], kind: RowKind, day: date, hsn: str = "") -> list[TaxRow]:
    """The rows of a kind in force on a day whose prefix fits the code."""
    return [
        row
        for row in rows
        if row.kind is kind
        and row.valid_from <= day
        and (row.valid_to is None or day <= row.valid_to)
        and hsn.startswith(row.hsn)
    ]


def rate(row: TaxRow) -> Fraction:
    """The row's percentage. Raises TaxRuleMissing."""
    if row.rate_percent is None:
        raise errors.TaxRuleMissing(f"{row.code} version {row.version} has no rate.")
    return Fraction(row.rate_percent)


def place_of_supply(terms: Terms) -> str:
    """The state code that decides between CGST with SGST, and IGST (IGST Act s. 10)."""
    buyer, ship_to = terms.buyer, terms.party(Role.SHIP_TO)
    if buyer.tax_status is not TaxStatus.REGISTERED:
        return terms.delivery.to_state or terms.seller.state_code
    bill_to = terms.party(Role.BILL_TO) or buyer
    if ship_to is not None:
        return (ship_to if ship_to.partner_id == buyer.partner_id else bill_to).state_code
    return terms.delivery.to_state or bill_to.state_code


def heads(supplier_state: str, place: str) -> tuple[tuple[str, Fraction], ...]:
    """The heads of a taxed supply: half and half within a state, IGST otherwise."""
    if supplier_state != place:
        return (("IGST", Fraction(1)),)
    return (("CGST", Fraction(1, 2)), ("UTGST" if place in UTGST else "SGST", Fraction(1, 2)))


def regime(terms: Terms, facts: Facts, day: date) -> Regime:
    """How the goods are taxed on a day."""
    seller = terms.seller
    if terms.direction is Direction.EXPORT:
        return Regime((), remark="Export: zero-rated")
    if terms.direction is Direction.IMPORT:
        return Regime((), remark="Import: tax is paid to customs")
    if _is_reverse_charged(terms, facts, day):
        return Regime(
            heads(seller.state_code, place_of_supply(terms)), True, "Tax is payable on reverse charge"
        )
    if seller.tax_status is not TaxStatus.REGISTERED:
        return Regime((), remark="The supplier charges no tax")
    if terms.buyer.is_sez:
        return Regime((), remark="Supply to a special economic zone: zero-rated, inter-state")
    return Regime(heads(seller.state_code, place_of_supply(terms)))


def _is_reverse_charged(terms: Terms, facts: Facts, day: date) -> bool:
    if terms.buyer.tax_status is not TaxStatus.REGISTERED:
        return False
    status = terms.seller.tax_status
    rows = in_force(facts.tax_rows, RowKind.REVERSE_CHARGE, day, terms.goods.hsn)
    if any(row.supplier_status is status for row in rows):
        return True
    return bool(rows) and status is TaxStatus.UNREGISTERED and facts.reverse_charge_unregistered


def financial_year(day: date) -> str:
    """1 April to 31 March: ``2025-26``."""
    start = day.year if day.month >= 4 else day.year - 1
    return f"{start}-{(start + 1) % 100:02}"


def note_is_taxed(facts: Facts, invoice_day: date, day: date) -> bool:
    """Whether a credit note of ``day`` may still carry the tax of an invoice (CGST Act s. 34(2))."""
    row = row_for(facts.tax_rows, RowKind.NOTE_LIMIT, day)
    if row.month is None or row.day is None:
        raise errors.TaxRuleMissing(f"{row.code} version {row.version} names no day.")
    ends = invoice_day.year + (invoice_day.month >= 4)
    return day <= date(ends, row.month, row.day)


@dataclass(frozen=True)
class Deduction:
    """What falls under TDS in one event, the exact tax, and the position after it."""

    base: Fraction
    tds: Fraction
    position: Position
    words: str


def deduct(row: TaxRow, position: Position, amount: Decimal, deductee: Party, day: date) -> Deduction:
    """TDS of one event: an advance paid, an invoice, a brokerage. ``amount`` is without GST, at least 0.

    EXCESS: base = max(0, max(0, B + n − T) − taxed before). WHOLE: once B + n > T, B + n − taxed before.
    """
    if row.threshold is None:
        raise errors.TaxRuleMissing(f"{row.code} version {row.version} has no threshold.")
    threshold, added = Fraction(row.threshold), max(Fraction(amount), Fraction(0))
    opening_taxed = position.opening_taxed
    taxed = position.taxed + (
        max(position.opening_amount - row.threshold, Decimal(0)) if opening_taxed is None else opening_taxed
    )
    counted = Fraction(position.opening_amount) + Fraction(position.counted) + added
    if row.threshold_mode is ThresholdMode.EXCESS:
        over = max(Fraction(0), counted - threshold)
    else:
        over = counted if counted > threshold else Fraction(0)
    base = max(Fraction(0), over - Fraction(taxed)) if position.liable else Fraction(0)
    tds, certificates, words = _apply(row, position, base, deductee, day)
    after = replace(
        position,
        counted=position.counted + max(amount, Decimal(0)),
        taxed=position.taxed + Decimal(text(base)),
        certificates=certificates,
    )
    return Deduction(base, tds, after, words)


def _apply(
    row: TaxRow, position: Position, base: Fraction, deductee: Party, day: date
) -> tuple[Fraction, tuple[Certificate, ...], str]:
    if not deductee.has_pan:
        if row.no_pan_percent is None:
            raise errors.TaxRuleMissing(f"{row.code} version {row.version} has no rate without PAN.")
        return (
            base * Fraction(row.no_pan_percent) / 100,
            position.certificates,
            f"{text(row.no_pan_percent)} % without PAN",
        )
    tds, rest, words, certificates = Fraction(0), base, [], []
    for certificate in sorted(position.certificates, key=lambda c: (c.valid_from, c.number)):
        fits = certificate.valid_from <= day <= certificate.valid_to and certificate.section == row.section
        open_limit = max(Fraction(certificate.limit) - Fraction(certificate.used), Fraction(0))
        part = min(rest, open_limit) if fits else Fraction(0)
        if part:
            tds += part * Fraction(certificate.rate_percent) / 100
            rest -= part
            words.append(
                f"{text(part)} at {text(certificate.rate_percent)} % by certificate {certificate.number}"
            )
        certificates.append(replace(certificate, used=certificate.used + Decimal(text(part))))
    tds += rest * rate(row) / 100
    return tds, tuple(certificates), "; ".join([*words, f"{text(rest)} at {text(row.rate_percent)} %"])


def lower(position: Position, amount: Decimal) -> Position:
    """Take a credit note or a bounced advance off a position, never below 0; what was taxed stays to be set off."""
    least = -position.opening_amount
    return replace(position, counted=max(position.counted - amount, least))
