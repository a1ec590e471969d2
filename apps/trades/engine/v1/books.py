"""The documents of a settlement while they are drawn up: tax, round-off, postings, TDS. Rules 7 to 11."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.commodities.exact import Number, rounded
from apps.trades.engine.facts import Facts, Position, RowKind, TaxRow
from apps.trades.engine.settlement import Document, DocumentKind, PositionMove, Posting
from apps.trades.engine.terms import Party, RoundOff, Terms
from apps.trades.engine.v1 import payments, taxes
from apps.trades.engine.v1.payments import Owed
from apps.trades.engine.v1.prices import Priced, Prices
from apps.trades.engine.v1.taxes import Regime
from apps.trades.engine.v1.trace import Trace
from apps.trades.engine.v1.weights import InvoiceGoods, Weights

RUPEE: Final = "INR"
ZERO: Final = Decimal("0.00")


@dataclass(frozen=True)
class Row:
    """A line of a document: its posting's kind, and whether it is taxed."""

    posting: str
    subject: str
    amount: Decimal
    line_no: int
    is_taxed: bool = True


@dataclass
class Billed:
    """An invoice with the lots under it: accounted kilograms and the sum of line amounts of each."""

    goods: InvoiceGoods
    kg: dict[str, Decimal] = field(default_factory=dict)
    amounts: dict[str, Decimal] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    drawn: Document | None = None
    due: date = date.max

    @property
    def document(self) -> Document:
        """The invoice, once it is drawn up."""
        assert self.drawn is not None
        return self.drawn


class Books:
    """What every topic writes to."""

    def __init__(self, terms: Terms, facts: Facts, trace: Trace, *, provisional: bool) -> None:
        self.terms, self.facts, self.trace = terms, facts, trace
        self.weights = Weights(terms, facts, trace, provisional=provisional)
        self.prices = Prices(terms, facts, trace, self.weights)
        self.seller, self.buyer = terms.seller.partner_id, terms.buyer.partner_id
        self.documents: list[Document] = []
        self.postings: list[Posting] = []
        self.moves: list[PositionMove] = []
        self.positions = {_key(row): row for row in facts.positions}
        self.billed: list[Billed] = []
        self.lot_prices: dict[str, list[Priced]] = {}
        self.final_prices: dict[str, list[Priced]] = {}
        self.accounted: dict[str, Decimal] = {}
        self.owed: list[Owed] = []
        self.on_account = ZERO
        self.payments = payments.effective(facts.payments, facts.as_of)

    def row(
        self,
        posting: str,
        name: str,
        exact: Number,
        key: str,
        subject: str,
        label: str = "",
        is_taxed: bool = True,
        /,
        **inputs: object,
    ) -> Row:
        """Round an amount and make it a line of a document. ``label``: what its tax lines are called after."""
        amount = self.trace.add(name, exact, key, subject, **inputs)
        return Row(posting, label or subject, amount, self.trace.last, is_taxed)

    def regime(self, day: date) -> Regime:
        """How the goods are taxed on a day."""
        return taxes.regime(self.terms, self.facts, day)

    def close(
        self,
        kind: DocumentKind,
        reason: str,
        key: str,
        rows: list[Row],
        *,
        invoice: InvoiceGoods | None = None,
        rate_day: date | None = None,
        is_taxed: bool = True,
        remark: str = "",
    ) -> Document:
        """Tax the rows line by line and head by head, round to whole rupees, and book the document."""
        is_invoice = kind is DocumentKind.INVOICE
        day = invoice.day if invoice is not None and is_invoice else self.facts.as_of
        regime = self.regime(rate_day or day) if is_taxed else taxes.UNTAXED
        taxable = sum((row.amount for row in rows if row.is_taxed), ZERO)
        untaxed = sum((row.amount for row in rows if not row.is_taxed), ZERO)
        self.trace.add("taxable", taxable, key)
        taxed: list[Row] = []
        if regime.heads:
            tax_row = taxes.row_for(self.facts.tax_rows, RowKind.GST, rate_day or day, self.terms.goods.hsn)
            name = "reverse_tax" if regime.is_reverse else "tax"
            taxed = [
                self.tax(name, row, head, part, tax_row, key, f"{row.subject} {head}")
                for row in rows
                if row.is_taxed
                for head, part in regime.heads
            ]
        due = sum((row.amount for row in taxed), ZERO)
        tax, reverse_tax = (ZERO, due) if regime.is_reverse else (due, ZERO)
        rows = [*rows] if regime.is_reverse else [*rows, *taxed]
        total, round_off = taxable + untaxed + tax, ZERO
        if self.terms.round_off is RoundOff.WHOLE:
            exact = rounded(Fraction(total), 0) - total
            rows.append(self.row("ROUND_OFF", "round_off", exact, key, "", sum=total))
            round_off = rows[-1].amount
        total = self.trace.add("invoice_total" if is_invoice else "note_total", total + round_off, key)
        is_credit = kind is DocumentKind.CREDIT_NOTE
        debtor, creditor = (self.seller, self.buyer) if is_credit else (self.buyer, self.seller)
        document = Document(
            key=key,
            kind=kind,
            reason=reason,
            number=invoice.number if invoice is not None and is_invoice else "",
            day=day,
            debtor=debtor,
            creditor=creditor,
            taxable=taxable,
            untaxed=untaxed,
            tax=tax,
            reverse_tax=reverse_tax,
            round_off=round_off,
            total=total,
            base_total=self._base(total, key),
            invoice=invoice.key if invoice is not None and not is_invoice else "",
            remarks=(remark,) if remark else (),
        )
        self.book(document, rows)
        return document

    def tax(
        self, name: str, row: Row, head: str, part: Fraction, tax_row: TaxRow, key: str, subject: str
    ) -> Row:
        """The tax of one head on one line."""
        percent = taxes.rate(tax_row) * part
        exact, words = Fraction(row.amount) * percent / 100, f"{tax_row.code} version {tax_row.version}"
        inputs = {"amount": row.amount, "percent": percent, "tax_row": words}
        return self.row("TAX", name, exact, key, subject, head, **inputs)

    def _base(self, total: Decimal, key: str) -> Decimal | None:
        if self.terms.currency == RUPEE:
            return None
        rate = self.terms.fx_rate
        exact = Fraction(total) * Fraction(rate)
        return self.trace.add("base_total", exact, key, "", RUPEE, total=total, rate=rate)

    def book(self, document: Document, rows: Iterable[Row]) -> None:
        """Add a document and one posting per line: nothing for zero, sides exchanged for negative."""
        self.documents.append(document)
        for row in rows:
            if row.amount:
                sides = (document.debtor, document.creditor)
                debtor, creditor = sides if row.amount > 0 else sides[::-1]
                self.post(row.posting, debtor, creditor, abs(row.amount), document.key, row.line_no)

    def post(self, kind: str, debtor: str, creditor: str, amount: Decimal, key: str, line_no: int) -> None:
        """Add a posting."""
        self.postings.append(
            Posting(kind=kind, debtor=debtor, creditor=creditor, amount=amount, document=key, line_no=line_no)
        )

    # Rule 11

    def deduct(
        self, kind: RowKind, document: Document, amount: Decimal, deductee: Party, *, always: bool = False
    ) -> Document:
        """TDS on ``amount`` of a document: the creditor owes it to the debtor, who pays it to the state.

        ``always``: the debtor is liable whatever the position says.
        """
        year = taxes.financial_year(document.day)
        position = self.positions.get((kind, document.debtor, deductee.partner_id, year))
        if position is None:
            parties = f"{document.debtor} and {deductee.partner_id}"
            self.trace.miss(
                "tds_position", f"{kind} {year}", f"The {kind} position of {parties} for {year} is missing."
            )
            return document
        row = taxes.row_for(self.facts.tax_rows, kind, document.day)
        state = replace(position, liable=position.liable or always)
        done = taxes.deduct(row, state, amount, deductee, document.day)
        tds = self.trace.add(
            "tds",
            done.tds,
            document.key,
            deductee.partner_id,
            added=amount,
            counted_before=position.opening_amount + position.counted,
            taxed_before=position.taxed,
            threshold=row.threshold,
            base=done.base,
            rate=done.words,
            tax_row=f"{row.code} version {row.version}",
        )
        self.move(position, replace(done.position, liable=position.liable), document.key)
        if tds:
            self.post("TDS", document.creditor, document.debtor, tds, document.key, self.trace.last)
        withheld = replace(document, tds=tds)
        self.documents[self.documents.index(document)] = withheld
        return withheld

    def lower(self, deductor: str, deductee: str, day: date, amount: Decimal, key: str) -> None:
        """Take an amount off the position on goods of the year of a day, where there is one."""
        position = self.positions.get((RowKind.TDS_GOODS, deductor, deductee, taxes.financial_year(day)))
        if position is not None:
            self.move(position, taxes.lower(position, amount), key)

    def move(self, before: Position, after: Position, key: str) -> None:
        """Record how a document moves a position."""
        used = {row.number: row.used for row in before.certificates}
        newly = {row.number: row.used - used[row.number] for row in after.certificates}
        self.positions[_key(after)] = after
        self.moves.append(
            PositionMove(
                kind=before.kind,
                deductor=before.deductor,
                deductee=before.deductee,
                financial_year=before.financial_year,
                document=key,
                counted=after.counted - before.counted,
                taxed=after.taxed - before.taxed,
                certificates={number: amount for number, amount in newly.items() if amount},
            )
        )


def _key(position: Position) -> tuple[RowKind, str, str, str]:
    return position.kind, position.deductor, position.deductee, position.financial_year
