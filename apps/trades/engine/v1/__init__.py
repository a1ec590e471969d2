"""Engine version 1. Its results never change: a change of any result is version 2, beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from apps.commodities.differences import Outcome
from apps.commodities.exact import rounded
from apps.trades.engine import errors, records
from apps.trades.engine import facts as fact_checks
from apps.trades.engine import terms as term_checks
from apps.trades.engine.facts import Facts, Fixation, Payable, PaymentKind, RowKind, Stage, TaxRow
from apps.trades.engine.settlement import Document, DocumentKind, Settlement, Totals
from apps.trades.engine.terms import OnCall, Side, Terms
from apps.trades.engine.v1 import goods, payments, taxes
from apps.trades.engine.v1.documents import Books, Row, advance_due, contract_value
from apps.trades.engine.v1.goods import Goods
from apps.trades.engine.v1.payments import Owed
from apps.trades.engine.v1.trace import Trace

VERSION: Final = 1
ZERO: Final = Decimal("0.00")


def settle(terms: Terms, facts: Facts) -> Settlement:
    """Settle a trade. Raises FactsMissing with every missing fact, BalanceOpen, and what the terms are refused for."""
    settlement = _settle(terms, facts, provisional=False)
    if settlement.missing:
        raise errors.FactsMissing(settlement.missing)
    if settlement.blocking:
        raise errors.BalanceOpen(
            f"{settlement.totals.open_after_notes} is unpaid; at most {facts.open_limit} may stay open."
        )
    return settlement


def preview(terms: Terms, facts: Facts) -> Settlement:
    """The same with estimates in place of missing facts, which it names, as it names what would block settling."""
    return _settle(terms, facts, provisional=True)


def cancel(terms: Terms, facts: Facts) -> Settlement:
    """Close what was not delivered: washout at the market's difference, and advances of a trade without delivery."""
    books = _open(terms, facts, provisional=False)
    trace = books.trace
    washout = _washout(books) if facts.washout else None
    if not facts.deliveries:
        _give_back_advances(books)
    books.on_account = ZERO
    books.owe_rest([washout] if washout else [])
    if trace.missing:
        raise errors.FactsMissing(trace.missing)
    return _result(books)


def _open(terms: Terms, facts: Facts, *, provisional: bool) -> Books:
    term_checks.check(terms)
    fact_checks.check(terms, facts)
    trace = Trace(terms.currency)
    lots = Goods(terms, facts, trace, provisional=provisional)
    lots.weigh()
    return Books(terms, facts, trace, lots)


def _settle(terms: Terms, facts: Facts, *, provisional: bool) -> Settlement:
    books = _open(terms, facts, provisional=provisional)
    books.invoice()
    if not books.billed:
        books.trace.miss("delivery", "trade", "Nothing was delivered.")
    books.note()
    books.owe()
    books.owe_rest([*books.carry(), *books.pay_brokers()])
    books.balance_lines()
    return _result(books)


def _result(books: Books) -> Settlement:
    lines, trace = tuple(books.trace.lines), books.trace
    unpaid = sum((owed.open for owed in books.owed if owed.kind in ("ADVANCE", "BALANCE")), ZERO)
    open_after_notes = max(unpaid - books.withheld(), ZERO)
    invoices = [d for d in books.documents if d.kind is DocumentKind.INVOICE]
    net = _net(books)

    def total(name: str) -> Decimal:
        return sum((line.amount for line in lines if line.name == name), ZERO)

    return Settlement(
        engine_version=VERSION,
        lines=lines,
        documents=tuple(books.documents),
        postings=tuple(books.postings),
        obligations=books.obligations(),
        position_moves=tuple(books.moves),
        totals=Totals(
            currency=books.terms.currency,
            taxable=sum((d.taxable for d in invoices), ZERO),
            tax=sum((d.tax for d in invoices), ZERO),
            round_off=sum((d.round_off for d in invoices), ZERO),
            invoice_total=sum((d.total for d in invoices), ZERO),
            tds=sum((d.tds for d in invoices), ZERO),
            claim=total("claim"),
            carrying=total("carrying"),
            brokerage=total("brokerage"),
            washout=total("washout"),
            net_due=abs(net),
            net_debtor="" if not net else Side.BUYER if net > 0 else Side.SELLER,
            open_after_notes=open_after_notes,
            on_account=books.on_account,
        ),
        lines_hash=records.digest(records.to_json(lines)),
        missing=tuple(trace.missing),
        blocking=("balance_open",) if open_after_notes > books.facts.open_limit else (),
    )


def _net(books: Books) -> Decimal:
    """What the buyer owes the seller by postings and payments; below zero: what the seller owes the buyer."""
    pairs = [(row.debtor, row.creditor, row.amount) for row in books.postings]
    pairs += [(row.payee, row.payer, row.amount) for row in books.payments]
    sides = {(books.buyer, books.seller): 1, (books.seller, books.buyer): -1}
    return sum((sides.get((debtor, creditor), 0) * amount for debtor, creditor, amount in pairs), ZERO)


# Rule 17


def _washout(books: Books) -> Document | None:
    terms, facts, trace = books.terms, books.facts, books.trace
    washout = facts.washout
    assert washout is not None
    kg = sum((_undelivered(books, lot) for lot in books.goods.lots), ZERO)
    parts = books.goods.contract_parts()
    share = sum((part.share for part in parts if part.base is not None), Fraction(0))
    if not share:
        return None
    price = sum((part.share * part.base for part in parts if part.base is not None), Fraction(0)) / share
    exact = (Fraction(washout.market_price) - price) * Fraction(kg) / terms.unit.k
    gains = Side.BUYER if exact > 0 else Side.SELLER
    if washout.payable is Payable.DEFAULTER_ONLY and gains is washout.defaulter:
        exact = Fraction(0)
    key = DocumentKind.WASHOUT.value
    amount = trace.add(
        "washout",
        abs(exact),
        key,
        kg=kg,
        market_price=washout.market_price,
        price=price,
        k=terms.unit.k,
        source=washout.source,
        source_date=washout.source_date,
        payable=washout.payable,
    )
    line_no = len(trace.lines)
    if not amount:
        return None
    sides = (books.seller, books.buyer)
    debtor, creditor = sides if gains is Side.BUYER else sides[::-1]
    document = Document(
        key=key,
        kind=DocumentKind.WASHOUT,
        reason="WASHOUT",
        number="",
        day=facts.as_of,
        debtor=debtor,
        creditor=creditor,
        taxable=ZERO,
        untaxed=amount,
        tax=ZERO,
        reverse_tax=ZERO,
        round_off=ZERO,
        total=amount,
        remarks=("No tax: compensation for breach is no supply (CBIC circular 178/10/2022)",),
    )
    books.book(document, [Row("WASHOUT", "washout", amount, line_no, False)])
    return document


def _undelivered(books: Books, lot: term_checks.Lot) -> Decimal:
    """What was not delivered of a lot: of its origin net, else of its estimate, in proportion to bales."""
    rows = [line for row in books.facts.deliveries for line in row.lines if line.lot_no == lot.lot_no]
    whole = books.goods.nets.get((lot.lot_no, Stage.ORIGIN, None))
    kg, basis = (whole, "origin net") if whole is not None else (lot.estimated_kg, "estimate")
    counts = [line.count for line in rows]
    if lot.count is not None and None not in counts:
        share = Fraction(max(lot.count - sum(count or 0 for count in counts), 0), lot.count)
        exact, inputs = Fraction(kg) * share, {"share": share}
    else:
        delivered = sum((line.weight_kg for line in rows), ZERO)
        exact, inputs = max(Fraction(kg - delivered), Fraction(0)), {"share": Fraction(1)}
    return books.trace.add("undelivered_kg", exact, "", lot.lot_no, kg=kg, basis=basis, **inputs)


def _give_back_advances(books: Books) -> None:
    """A trade without delivery: its advances leave the TDS position, and the seller owes back what reached the bank.

    The TDS stays with the state and is set off against later documents of the year.
    """
    advances = [row for row in books.payments if row.kind is PaymentKind.ADVANCE]
    for row in advances:
        key = (RowKind.TDS_GOODS, row.payer, row.payee, taxes.financial_year(row.paid_date))
        if position := books.positions.get(key):
            books.move(position, taxes.lower(position, row.amount), "")
    if advances:
        amount, tds = sum((row.amount for row in advances), ZERO), sum((row.tds for row in advances), ZERO)
        refund = books.trace.add("refund", amount - tds, advances=amount, tds=tds)
        if tds:
            books.post("TDS", books.buyer, books.seller, tds, "", len(books.trace.lines))
        books.owed.append(Owed("REFUND", "", books.seller, books.buyer, refund, books.facts.as_of))


# What services ask before a settlement


@dataclass(frozen=True)
class Contract:
    """What the terms come to when they are made."""

    contract_value: Decimal
    base_value: Decimal
    advance_due: Decimal
    advance_due_date: date


class Decision(StrEnum):
    """What quality results mean for a lot."""

    PASS = "PASS"
    PASS_WITH_ALLOWANCE = "PASS_WITH_ALLOWANCE"
    REJECT = "REJECT"


def value(terms: Terms, holidays: tuple[date, ...] = ()) -> Contract:
    """Value of a contract, also in rupees, and its advance."""
    trace, payment = Trace(terms.currency), terms.payment
    amount = contract_value(terms, trace)
    return Contract(
        amount,
        rounded(Fraction(amount) * Fraction(terms.fx_rate), 2),
        advance_due(terms, trace),
        payments.due_date(terms.trade_date, payment.advance_days, payment.day_kind, holidays),
    )


def band(terms: Terms) -> tuple[Fraction, Fraction]:
    """The least and the most kilograms that fulfil the contract, both included."""
    tolerance = Fraction(terms.weight.tolerance_percent) / 100
    kg = Fraction(terms.weight_kg)
    return kg * (1 - tolerance), kg * (1 + tolerance)


def decide(terms: Terms, governing: fact_checks.Governing) -> Decision:
    """Judge results by the schedule: an effect on the price is an allowance, one on the weight is not.

    Raises FactsMissing where a parameter of the schedule is missing, ScheduleGap.
    """
    trace = Trace(terms.currency)
    outcome, has_effect = Goods(terms, Facts(as_of=terms.trade_date), trace, provisional=True).judge(
        governing
    )
    if trace.missing:
        raise errors.FactsMissing(trace.missing)
    if outcome is not Outcome.ACCEPTED:
        return Decision.REJECT
    return Decision.PASS_WITH_ALLOWANCE if has_effect else Decision.PASS


def deduct(
    terms: Terms, rows: Sequence[TaxRow], position: fact_checks.Position, amount: Decimal, day: date
) -> taxes.Deduction:
    """TDS on an advance when it is paid; ``deduction.position`` is the position after it."""
    return taxes.deduct(taxes.row_for(rows, position.kind, day), position, amount, terms.seller, day)


def require_fixable(terms: Terms, fixed: Sequence[Fixation], new: Fixation) -> None:
    """Refuse a fixation that is late, of nothing, or of more than is open. Raises also TermsUnsupported."""
    if not isinstance(terms.price, OnCall):
        raise errors.TermsUnsupported("The price is not fixed on call.")
    before = sum((row.quantity for row in fixed), Decimal(0))
    goods.require_fixable(terms.price, goods.contract_quantity(terms), before, new)
