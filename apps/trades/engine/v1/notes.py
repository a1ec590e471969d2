"""Notes on an invoice: claims on weight, true-up, returns, awards. Rules 14 and 18 to 20."""

from decimal import Decimal
from fractions import Fraction

from apps.trades.engine.settlement import DocumentKind
from apps.trades.engine.terms import Side
from apps.trades.engine.v1 import taxes
from apps.trades.engine.v1.books import ZERO, Billed, Books, Row
from apps.trades.engine.v1.prices import weighted

CREDIT, DEBIT = DocumentKind.CREDIT_NOTE, DocumentKind.DEBIT_NOTE


def draw(books: Books) -> None:
    """Draw up the notes on the goods."""
    for billed in books.billed:
        _return(books, billed)
        _true_up(books, billed, CREDIT, -1)
        _true_up(books, billed, DEBIT, 1)
    _claim(books)
    for award in sorted(books.facts.awards, key=lambda award: award.id):
        invoices = [row for row in books.billed if award.lot_no in row.kg] or books.billed
        if not invoices:
            books.trace.miss("invoice", award.id, f"Award {award.id} has no invoice.")
            continue
        kind = CREDIT if award.to is Side.BUYER else DEBIT
        key = f"{kind}/AWARD/{award.id}"
        row = books.row("CLAIM", "award", award.amount, key, award.id, f"award {award.id}", to=award.to)
        _note(books, kind, "AWARD", invoices[0], [row], key)


def _key(kind: DocumentKind, reason: str, billed: Billed) -> str:
    return "/".join(filter(None, (kind, reason, billed.goods.number)))


def _note(
    books: Books, kind: DocumentKind, reason: str, billed: Billed, rows: list[Row], key: str = ""
) -> None:
    """A note at the rate of its invoice; a credit note too late for tax carries none and says so."""
    if not any(row.amount for row in rows):
        return
    invoice = billed.goods
    regime = books.regime(invoice.day)
    is_taxed, remark = True, regime.remark
    if (
        kind is CREDIT
        and regime.heads
        and not taxes.note_is_taxed(books.facts, invoice.day, books.facts.as_of)
    ):
        is_taxed, remark = False, "No tax: past the last day for credit notes with tax"
    document = books.close(
        kind,
        reason,
        key or _key(kind, reason, billed),
        rows,
        invoice=invoice,
        rate_day=invoice.day,
        is_taxed=is_taxed,
        remark=remark,
    )
    if kind is CREDIT:
        books.lower(books.buyer, books.seller, invoice.day, document.taxable, document.key)


def _returned(books: Books, billed: Billed, lot_no: str) -> Fraction:
    """The part of a lot under an invoice that went back."""
    weight = sum((books.weights.returned[row, lot_no] for row in billed.goods.dispatches), ZERO)
    return min(Fraction(1), Fraction(weight) / Fraction(billed.goods.weights[lot_no]))


def _return(books: Books, billed: Billed) -> None:
    key, rows = _key(CREDIT, "RETURN", billed), []
    for lot_no, amount in billed.amounts.items():
        if share := _returned(books, billed, lot_no):
            inputs = {"line_amount": amount, "returned_share": share}
            exact = Fraction(amount) * share
            rows.append(books.row("CLAIM", "return", exact, key, lot_no, f"{lot_no} return", **inputs))
    _note(books, CREDIT, "RETURN", billed, rows)


def _true_up(books: Books, billed: Billed, kind: DocumentKind, sign: int) -> None:
    """The lots whose final price is above the invoiced one, or below it: a note per sign."""
    key, rows = _key(kind, "TRUE_UP", billed), []
    for lot_no, kg in billed.kg.items():
        final, first = weighted(books.final_prices.get(lot_no, [])), weighted(books.lot_prices[lot_no])
        if final is None or first is None or sign * (final - first) <= 0:
            continue
        kept = Fraction(kg) * (1 - _returned(books, billed, lot_no))
        exact = sign * (final - first) * kept / books.terms.unit.k
        inputs = {"kg": kept, "final": final, "invoiced": first, "k": books.terms.unit.k}
        rows.append(books.row("CLAIM", "true_up", exact, key, lot_no, f"{lot_no} true-up", **inputs))
    _note(books, kind, "TRUE_UP", billed, rows)


def _claim(books: Books) -> None:
    rows: dict[int, list[Row]] = {}
    for lot, kg, dispatches in books.weights.claims():
        price = weighted(books.final_prices.get(lot.lot_no) or books.lot_prices[lot.lot_no])
        carried: dict[int, Decimal] = {}
        for place, billed in enumerate(books.billed):
            mine = [row for row in dispatches if row in billed.goods.dispatches]
            if mine and lot.lot_no in billed.kg:
                carried[place] = books.weights.dispatched_kg(lot, mine)
        if price is None or not carried:
            continue
        inputs = {"claim_kg": kg, "price": price, "k": books.terms.unit.k}
        exact = Fraction(kg) * price / books.terms.unit.k
        parts = [
            (_key(CREDIT, "CLAIM", books.billed[n]), lot.lot_no, weight) for n, weight in carried.items()
        ]
        spread = books.trace.spread("claim", "claim_part", exact, parts, lot.lot_no, **inputs)
        for place, (amount, line_no) in zip(carried, spread, strict=True):
            rows.setdefault(place, []).append(Row("CLAIM", f"{lot.lot_no} claim", amount, line_no))
    for place in sorted(rows):
        _note(books, CREDIT, "CLAIM", books.billed[place], rows[place])
