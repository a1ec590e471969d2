"""What is owed when, what was paid of it, and interest on what is late. Rules 12, 15 and 21 to 23."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.trades.engine.errors import TermsUnsupported
from apps.trades.engine.facts import PaymentKind, RowKind
from apps.trades.engine.settlement import Document, DocumentKind, Obligation
from apps.trades.engine.terms import BalanceFrom, Formula, Msme, NoteTax, OnCall, Terms
from apps.trades.engine.v1 import payments, taxes
from apps.trades.engine.v1.books import ZERO, Billed, Books
from apps.trades.engine.v1.payments import Owed
from apps.trades.engine.v1.trace import Trace, text

# Payments that are allocated before the carrying charge is known.
FIRST: Final = (PaymentKind.ADVANCE, PaymentKind.BALANCE, PaymentKind.CLAIM)
GOODS: Final = ("ADVANCE", "BALANCE")


def contract_value(terms: Terms, trace: Trace) -> Decimal:
    """Contract kilograms at the contract price; a price that is still open by its provisional one.

    Raises TermsUnsupported where there is none.
    """
    price = terms.price.provisional_price if isinstance(terms.price, OnCall | Formula) else terms.price.price
    if price is None:
        raise TermsUnsupported("There is no price to value the contract at.")
    exact = Fraction(terms.weight_kg) * Fraction(price) / terms.unit.k
    return trace.add("contract_value", exact, price=price, kg=terms.weight_kg, k=terms.unit.k)


def advance_due(terms: Terms, trace: Trace) -> Decimal:
    """The part of the contract value that is due in advance."""
    percent = terms.payment.advance_percent
    if not percent:
        return ZERO
    value = contract_value(terms, trace)
    return trace.add(
        "advance_due", Fraction(value) * Fraction(percent) / 100, contract_value=value, percent=percent
    )


def due_date(books: Books, start: date, days: int) -> date:
    """A due day by the terms."""
    return payments.due_date(start, days, books.terms.payment.day_kind, books.facts.holidays)


def owe(books: Books) -> None:
    """Turn invoices and notes into obligations, and allocate what was paid to them."""
    terms, left = books.terms.payment, advance_due(books.terms, books.trace)
    advance_on = due_date(books, books.terms.trade_date, terms.advance_days)
    for billed in books.billed:
        document = billed.document
        net = document.total - document.tds
        advance = max(min(left, net), ZERO)
        left -= advance
        from_invoice = terms.balance_from is BalanceFrom.INVOICE
        start = document.day if from_invoice else _accepted(books, billed) or books.facts.as_of
        billed.due = due_date(books, start, terms.balance_days)
        if advance:
            books.owed.append(Owed("ADVANCE", document.key, books.buyer, books.seller, advance, advance_on))
        books.owed.append(Owed("BALANCE", document.key, books.buyer, books.seller, net - advance, billed.due))
    _owe(books, (document for document in books.documents if document.kind is not DocumentKind.INVOICE))
    books.owed += [
        Owed(row.reason, row.document, row.debtor, row.creditor, row.amount, books.facts.as_of)
        for row in books.facts.posted
    ]
    books.on_account += payments.allocate(books.owed, (row for row in books.payments if row.kind in FIRST))


def owe_rest(books: Books, documents: Iterable[Document]) -> None:
    """The same for documents that were drawn up from those payments."""
    _owe(books, documents)
    books.on_account += payments.allocate(
        books.owed, (row for row in books.payments if row.kind not in FIRST)
    )


def _owe(books: Books, documents: Iterable[Document]) -> None:
    """A document other than an invoice is due on the settled date."""
    for row in documents:
        due = books.facts.as_of
        books.owed.append(Owed(row.reason, row.key, row.debtor, row.creditor, row.total - row.tds, due))


def _accepted(books: Books, billed: Billed) -> date | None:
    """The last delivery of an invoice's dispatches, when all have arrived."""
    rows = [books.weights.delivered.get(row) for row in billed.goods.dispatches]
    days = [row.delivered_date for row in rows if row is not None]
    return max(days) if days and len(days) == len(rows) else None


def withheld(books: Books) -> Decimal:
    """The open credit notes, which the buyer may set off against the invoices."""
    return sum((owed.open for owed in books.owed if owed.document.startswith("CREDIT_NOTE")), ZERO)


def carry(books: Books) -> list[Document]:
    """The carrying charge on what was paid late or is open, as a debit note."""
    goods = [owed for owed in books.owed if owed.kind in GOODS]
    _show_statutory_interest(books, goods)
    terms, as_of = books.terms.payment, books.facts.as_of
    late = payments.late_parts(goods, withheld(books), as_of)
    slabs, key = terms.carrying_slabs, f"{DocumentKind.DEBIT_NOTE}/CARRYING"
    by_slab = [Fraction(0) for _ in slabs]
    for _, amount, days in late:
        by_part = payments.interest(Fraction(amount), days, slabs)
        by_slab = [one + other for one, other in zip(by_slab, by_part, strict=True)]
    if not any(by_slab):
        return []
    is_taxed = terms.carrying_tax is NoteTax.AS_GOODS
    parts = "; ".join(f"{owed.kind} {text(amount)} for {days} days" for owed, amount, days in late)
    exact = sum(by_slab, Fraction(0))
    row = books.row("CARRYING", "carrying", exact, key, "", "carrying", is_taxed, parts=parts)
    if not row.amount:
        return []
    names = [f"{slab.days or 'further'} days at {text(slab.annual_percent)} %" for slab in slabs]
    used = [(key, name, part) for name, part in zip(names, by_slab, strict=True) if part]
    books.trace.split("carrying_slab", row.amount, used)
    remark = books.regime(as_of).remark if is_taxed else "No tax by the terms"
    return [books.close(DocumentKind.DEBIT_NOTE, "CARRYING", key, [row], is_taxed=is_taxed, remark=remark)]


def _show_statutory_interest(books: Books, goods: list[Owed]) -> None:
    """What the MSMED Act gives a micro or small seller, beside the contract's charge."""
    seller, rows = books.terms.seller, books.facts.tax_rows
    if seller.msme not in (Msme.MICRO, Msme.SMALL) or seller.is_trader:
        return
    due: dict[str, date] = {}
    for billed in books.billed:
        accepted = _accepted(books, billed)
        if accepted is not None:
            days = taxes.row_for(rows, RowKind.MSME, accepted).days or 0
            due[billed.goods.key] = min(billed.due, accepted + timedelta(days=days))
    statutory = [replace(owed, due=due[owed.document]) for owed in goods if owed.document in due]
    total, parts = Fraction(0), []
    for owed, amount, days in payments.late_parts(statutory, withheld(books), books.facts.as_of):
        end = owed.due + timedelta(days=days)
        total += payments.statutory_interest(Fraction(amount), owed.due, end, rows)
        parts.append(f"{text(amount)} from {owed.due} to {end}")
    books.trace.add("msme_interest", total, "", seller.partner_id, parts="; ".join(parts))


def show_balances(books: Books) -> None:
    """Rule 12: what is due after advances, and what is open on the date, per invoice."""
    for billed in books.billed:
        document = billed.document
        parts = [part for owed in books.owed if owed.document == document.key for part in owed.parts]
        for name, kinds in (("balance_due", (PaymentKind.ADVANCE,)), ("balance", tuple(PaymentKind))):
            paid = sum((amount for kind, amount, _ in parts if kind in kinds), ZERO)
            inputs = {"due_date": billed.due, "invoice_total": document.total, "tds": document.tds}
            books.trace.add(name, document.total - document.tds - paid, document.key, **inputs, paid=paid)


def as_result(books: Books) -> tuple[Obligation, ...]:
    """The obligations by due day."""
    return tuple(
        Obligation(
            kind=owed.kind,
            document=owed.document,
            debtor=owed.debtor,
            creditor=owed.creditor,
            amount=owed.amount,
            due_date=owed.due,
            paid=owed.paid,
            open=owed.open,
        )
        for owed in sorted(books.owed, key=lambda owed: (owed.due, owed.kind, owed.document))
    )
