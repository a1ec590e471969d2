"""Engine version 1. Its results never change: a change of any result is version 2, beside it."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.trades.engine import errors, records
from apps.trades.engine import facts as fact_checks
from apps.trades.engine import terms as term_checks
from apps.trades.engine.facts import Facts, Payable, PaymentKind, RowKind, Stage
from apps.trades.engine.settlement import Document, DocumentKind, Settlement, Totals
from apps.trades.engine.terms import Side, Terms
from apps.trades.engine.v1 import taxes
from apps.trades.engine.v1.documents import Books, Row
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
    goods = Goods(terms, facts, trace, provisional=provisional)
    goods.weigh()
    return Books(terms, facts, trace, goods)


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
    books._book(document, [Row("WASHOUT", "washout", amount, line_no, False)])
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
    """A trade without delivery: its advances leave the TDS position; the seller owes back what reached the bank."""
    advances = [row for row in books.payments if row.kind is PaymentKind.ADVANCE]
    for row in advances:
        position = taxes.position_for(books.facts, RowKind.TDS_GOODS, row.payer, row.payee, row.paid_date)
        if position is not None:
            current = books.positions[books._key(position)]
            books._move(current, taxes.lower(current, row.amount), "")
    if owed := sum((row.amount - row.tds for row in advances), ZERO):
        books.owed.append(Owed("REFUND", "", books.seller, books.buyer, owed, books.facts.as_of))


__all__ = ["VERSION", "cancel", "preview", "settle"]
