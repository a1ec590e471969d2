"""Closing what was not delivered: the washout, and advances of a trade without delivery. Rules 17 and 24."""

from decimal import Decimal
from fractions import Fraction

from apps.trades.engine.facts import Payable, PaymentKind, Stage, Washout
from apps.trades.engine.settlement import Document, DocumentKind
from apps.trades.engine.terms import Lot, Side
from apps.trades.engine.v1.books import ZERO, Books
from apps.trades.engine.v1.payments import Owed
from apps.trades.engine.v1.prices import Part, average


def wash_out(books: Books, washout: Washout) -> list[Document]:
    """The market's difference on what was not delivered: above the contract price the seller owes it."""
    terms, key = books.terms, DocumentKind.WASHOUT.value
    kg = sum((_undelivered(books, lot) for lot in books.weights.lots), Decimal(0))
    parts: list[Part] = books.prices.contract_parts()
    price = average([(part.share, part.base) for part in parts])
    if price is None:
        return []
    exact = (Fraction(washout.market_price) - price) * Fraction(kg) / terms.unit.k
    gains = Side.BUYER if exact > 0 else Side.SELLER
    if washout.payable is Payable.DEFAULTER_ONLY and gains is washout.defaulter:
        exact = Fraction(0)
    row = books.row(
        "WASHOUT",
        "washout",
        abs(exact),
        key,
        "",
        "",
        False,
        kg=kg,
        market_price=washout.market_price,
        price=price,
        k=terms.unit.k,
        source=washout.source,
        source_date=washout.source_date,
        payable=washout.payable,
    )
    if not row.amount:
        return []
    sides = (books.seller, books.buyer)
    debtor, creditor = sides if gains is Side.BUYER else sides[::-1]
    document = Document(
        key=key,
        kind=DocumentKind.WASHOUT,
        reason="WASHOUT",
        number="",
        day=books.facts.as_of,
        debtor=debtor,
        creditor=creditor,
        taxable=ZERO,
        untaxed=row.amount,
        tax=ZERO,
        reverse_tax=ZERO,
        round_off=ZERO,
        total=row.amount,
        remarks=("No tax: compensation for breach is no supply (CBIC circular 178/10/2022)",),
    )
    books.book(document, [row])
    return [document]


def _undelivered(books: Books, lot: Lot) -> Decimal:
    """What was not delivered of a lot: of its origin net, else of its estimate, in proportion to bales."""
    rows = [line for row in books.facts.deliveries for line in row.lines if line.lot_no == lot.lot_no]
    whole = books.weights.nets.get((lot.lot_no, Stage.ORIGIN, None))
    kg, basis = (whole, "origin net") if whole is not None else (lot.estimated_kg, "estimate")
    counts = [line.count for line in rows]
    if lot.count is not None and None not in counts:
        share = Fraction(max(lot.count - sum(count or 0 for count in counts), 0), lot.count)
    else:
        delivered = sum((line.weight_kg for line in rows), Decimal(0))
        share = max(Fraction(kg - delivered), Fraction(0)) / Fraction(kg)
    inputs = {"kg": kg, "basis": basis, "share": share}
    return books.trace.add("undelivered_kg", Fraction(kg) * share, "", lot.lot_no, **inputs)


def refund_key(payment: str) -> str:
    """The key of what giving back an advance does, so that it can be undone when the payment bounces."""
    return f"REFUND/{payment}"


def give_back_advances(books: Books) -> None:
    """A trade without delivery: its advances leave the TDS position, and the seller owes back what reached the bank.

    The TDS stays with the state and is set off against later documents of the year.
    """
    advances = [row for row in books.payments if row.kind is PaymentKind.ADVANCE]
    for row in advances:
        books.lower(row.payer, row.payee, row.paid_date, row.amount, refund_key(row.id))
    if advances:
        amount, tds = sum((row.amount for row in advances), ZERO), sum((row.tds for row in advances), ZERO)
        refund = books.trace.add("refund", amount - tds, advances=amount, tds=tds)
        for row in advances:
            if row.tds:
                books.post("TDS", row.payer, row.payee, row.tds, refund_key(row.id), books.trace.last)
        books.owed.append(Owed("REFUND", "", books.seller, books.buyer, refund, books.facts.as_of))
