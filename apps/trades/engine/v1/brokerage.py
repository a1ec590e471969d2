"""Brokerage of each side, shared by its brokers, with GST and TDS. Rule 16."""

from fractions import Fraction

from apps.trades.engine.facts import RowKind
from apps.trades.engine.settlement import Document, DocumentKind
from apps.trades.engine.terms import Basis, Brokerage, Party, Side, TaxStatus
from apps.trades.engine.v1 import taxes
from apps.trades.engine.v1.books import RUPEE, ZERO, Books, Row


def draw(books: Books) -> list[Document]:
    """Draw up what each side owes its brokers; claims never reduce it."""
    taxable = sum((row.document.taxable for row in books.billed), ZERO)
    kg, drawn = sum(books.accounted.values(), ZERO), []
    for terms in sorted(books.terms.brokerage, key=lambda row: row.side):
        rate = Fraction(terms.rate)
        exact = {
            Basis.PERCENT: Fraction(taxable) * rate / 100,
            Basis.PER_PRICE_UNIT: Fraction(kg) / books.terms.unit.k * rate,
            Basis.FIXED: rate,
        }[terms.basis]
        brokers = books.terms.brokers(terms.side) if books.billed else []
        keys = [f"BROKERAGE/{terms.side}/{broker.partner_id}" for broker in brokers]
        parts = [(key, row.partner_id, row.share or ZERO) for key, row in zip(keys, brokers, strict=True)]
        inputs = {"basis": terms.basis, "rate": terms.rate, "taxable": taxable, "kg": kg}
        spread = books.trace.spread("brokerage", "brokerage_share", exact, parts, terms.side.value, **inputs)
        for key, broker, (amount, line_no) in zip(keys, brokers, spread, strict=True):
            if amount:
                row = Row("BROKERAGE", terms.side.value, amount, line_no)
                drawn.append(_draw(books, terms, broker, row, key))
    return drawn


def _draw(books: Books, terms: Brokerage, broker: Party, row: Row, key: str) -> Document:
    payer = books.terms.seller if terms.side is Side.SELLER else books.terms.buyer
    day, rows, is_taxed = books.facts.as_of, [row], broker.tax_status is TaxStatus.REGISTERED
    if is_taxed:
        tax_row = taxes.row_for(books.facts.tax_rows, RowKind.GST, day, terms.sac)
        for head, part in taxes.heads(broker.state_code, payer.state_code):
            rows.append(books.tax("brokerage_tax", row, head, part, tax_row, key, head))
    total = sum((line.amount for line in rows), ZERO)
    document = Document(
        key=key,
        kind=DocumentKind.BROKERAGE,
        reason="BROKERAGE",
        number="",
        day=day,
        debtor=payer.partner_id,
        creditor=broker.partner_id,
        taxable=row.amount,
        untaxed=ZERO,
        tax=total - row.amount,
        reverse_tax=ZERO,
        round_off=ZERO,
        total=total,
        remarks=() if is_taxed else ("The broker charges no tax",),
    )
    books.book(document, rows)
    if books.terms.currency != RUPEE:
        return document
    # Only an individual or a Hindu undivided family may be too small to deduct.
    always = not payer.is_individual
    return books.deduct(RowKind.TDS_BROKERAGE, document, row.amount, broker, always=always)
