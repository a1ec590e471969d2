"""Rules 6 to 20: invoices, notes, brokerage and what they make each side owe."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.commodities.exact import rounded
from apps.trades.engine.facts import Facts, PaymentKind, Position, RowKind
from apps.trades.engine.settlement import Document, DocumentKind, Obligation, PositionMove, Posting
from apps.trades.engine.terms import (
    BalanceFrom,
    Basis,
    Brokerage,
    ChargeKind,
    Direction,
    Formula,
    Lot,
    Msme,
    NoteTax,
    OnCall,
    Party,
    RoundOff,
    Side,
    TaxStatus,
    Terms,
)
from apps.trades.engine.v1 import payments, taxes
from apps.trades.engine.v1.goods import Goods, InvoiceGoods, Priced, weighted
from apps.trades.engine.v1.payments import Owed
from apps.trades.engine.v1.taxes import Regime
from apps.trades.engine.v1.trace import Trace

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
    """An invoice with the lots under it. ``goods``: the sum of line amounts of each lot."""

    goods: InvoiceGoods
    kg: dict[str, Decimal] = field(default_factory=dict)
    amounts: dict[str, Decimal] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    document: Document | None = None
    due: date = date.max


class Books:
    """The documents of a settlement while they are drawn up."""

    def __init__(self, terms: Terms, facts: Facts, trace: Trace, goods: Goods) -> None:
        self.terms, self.facts, self.trace, self.goods = terms, facts, trace, goods
        self.documents: list[Document] = []
        self.postings: list[Posting] = []
        self.moves: list[PositionMove] = []
        self.owed: list[Owed] = []
        self.positions = {position_key(row): row for row in facts.positions}
        self.prices: dict[str, list[Priced]] = {}
        self.final_prices: dict[str, list[Priced]] = {}
        self.accounted: dict[str, Decimal] = {}
        self.billed: list[Billed] = []
        self.seller, self.buyer = terms.seller.partner_id, terms.buyer.partner_id
        self.payments = payments.effective(facts.payments, facts.as_of)

    # Rules 1 to 12: invoices

    def invoice(self) -> None:
        """Draw up the invoices: goods, charges, tax, round-off, TDS."""
        self.billed = [Billed(invoice) for invoice in self.goods.invoices()]
        self._price_lots()
        for billed in self.billed:
            for lot in self.goods.lots:
                if lot.lot_no in billed.kg:
                    self._bill(billed, lot)
        self._charge()
        for billed in self.billed:
            day = billed.goods.day
            remarks = [self._regime(day).remark]
            billed.document = self._close(
                billed.rows, DocumentKind.INVOICE, "GOODS", billed.goods, day, self.buyer, remarks=remarks
            )
        self._deduct()

    def _price_lots(self) -> None:
        parts, final = self.goods.contract_parts(), self.goods.final_parts()
        for lot in self.goods.lots:
            invoices = [row for row in self.billed if lot.lot_no in row.goods.weights]
            if not invoices:
                continue
            dispatches = self.goods.dispatches_of(lot)
            kg = self.goods.lot_kg(lot, dispatches)
            _, exact, _ = self.goods.evaluate(lot, Fraction(1), kg, dispatches)
            factor = exact / Fraction(kg) if kg else Fraction(1)
            accounted = self.trace.add("accounted_kg", exact, "", lot.lot_no, lot_kg=kg, factor=factor)
            self.accounted[lot.lot_no] = accounted
            self.prices[lot.lot_no] = self.goods.prices(lot, parts, dispatches)
            if final is not None:
                self.final_prices[lot.lot_no] = self.goods.prices(lot, final, dispatches, "final")
            shares = [accounted]
            if len(invoices) > 1:
                weights = [(row.goods.key, lot.lot_no, row.goods.weights[lot.lot_no]) for row in invoices]
                shares = self.trace.split("accounted_part_kg", accounted, weights)
            for row, share in zip(invoices, shares, strict=True):
                row.kg[lot.lot_no] = share

    def _bill(self, billed: Billed, lot: Lot) -> None:
        kg, total = billed.kg[lot.lot_no], ZERO
        for subject, exact, inputs in self.goods.amount(billed.goods, lot, kg, self.prices[lot.lot_no]):
            amount = self.trace.add("line_amount", exact, billed.goods.key, subject, **inputs)
            billed.rows.append(Row("GOODS", subject, amount, len(self.trace.lines)))
            total += amount
        billed.amounts[lot.lot_no] = total

    # Rule 6

    def _charge(self) -> None:
        totals = [sum(row.amounts.values(), ZERO) for row in self.billed]
        goods, kg = sum(totals, ZERO), sum(self.accounted.values(), ZERO)
        for charge in self.terms.charges:
            units = Fraction(kg) / self.terms.unit.kg
            start = Fraction(charge.from_quantity or 0)
            above = max(units - start, Fraction(0))
            if not above:
                continue
            exact = {
                Basis.PERCENT: Fraction(goods) * Fraction(charge.rate) / 100 * above / units,
                Basis.PER_PRICE_UNIT: Fraction(charge.rate) * above / self.terms.unit.divisor,
                Basis.FIXED: Fraction(charge.rate),
            }[charge.basis]
            sign = -1 if charge.kind is ChargeKind.BULK_DISCOUNT else 1
            inputs = {"basis": charge.basis, "rate": charge.rate, "goods": goods, "units_above": above}
            self._spread(charge.kind.lower(), sign * exact, totals, is_taxed=charge.taxable, **inputs)
        late = [self._late_lifting(row) for row in self.billed]
        if sum(late):
            self._spread("late_lifting", sum(late, Fraction(0)), late, is_taxed=True)

    def _late_lifting(self, billed: Billed) -> Fraction:
        """Interest by slabs on what each dispatch of an invoice carried, from the end of the free days."""
        delivery, total = self.terms.delivery, Fraction(0)
        free_until = delivery.window_start + timedelta(days=delivery.free_days)
        for row in self.goods.dispatches if delivery.late_slabs else ():
            days = (row.dispatched_date - free_until).days
            if row.id not in billed.goods.dispatches or days <= 0:
                continue
            for line in row.lines:
                if line.lot_no in billed.amounts:
                    share = Fraction(line.weight_kg) / Fraction(billed.goods.weights[line.lot_no])
                    amount = Fraction(billed.amounts[line.lot_no]) * share
                    total += sum(payments.interest(amount, days, delivery.late_slabs))
        return total

    def _spread(
        self, name: str, exact: Fraction, weights: Iterable[object], *, is_taxed: bool, **inputs: object
    ) -> None:
        """Round a charge once and put it on the invoices, by their goods."""
        if len(self.billed) == 1:
            amounts = [self.trace.add(name, exact, self.billed[0].goods.key, name, **inputs)]
            first = len(self.trace.lines)
        else:
            whole = self.trace.add(name, exact, "", name, **inputs)
            first = len(self.trace.lines) + 1
            rows = zip(self.billed, weights, strict=True)
            amounts = self.trace.split("charge_part", whole, [(b.goods.key, name, w) for b, w in rows])  # type: ignore[misc]
        for place, (billed, amount) in enumerate(zip(self.billed, amounts, strict=True)):
            billed.rows.append(Row("CHARGE", name, amount, first + place, is_taxed))

    # Rules 7 to 10

    def _regime(self, day: date) -> Regime:
        return taxes.regime(self.terms, self.facts, day)

    def _close(
        self,
        rows: list[Row],
        kind: DocumentKind,
        reason: str,
        invoice: InvoiceGoods | None,
        day: date,
        debtor: str,
        *,
        rate_day: date | None = None,
        is_taxed: bool = True,
        remarks: Iterable[str] = (),
        key: str = "",
    ) -> Document:
        """Tax the rows line by line and head by head, round to whole rupees, and book the document."""
        key = key or "/".join(
            filter(None, (kind, "" if reason == "GOODS" else reason, invoice.number if invoice else ""))
        )
        creditor = self.seller if debtor == self.buyer else self.buyer
        regime = self._regime(rate_day or day) if is_taxed else taxes.UNTAXED
        rows = [*rows]
        taxed = [row for row in rows if row.is_taxed]
        taxable = sum((row.amount for row in taxed), ZERO)
        untaxed = sum((row.amount for row in rows if not row.is_taxed), ZERO)
        self.trace.add("taxable", taxable, key)
        tax = reverse_tax = ZERO
        if regime.heads:
            tax_row = taxes.row_for(self.facts.tax_rows, RowKind.GST, rate_day or day, self.terms.goods.hsn)
            for row in taxed:
                for head, part in regime.heads:
                    percent = taxes.rate(tax_row) * part
                    amount = self.trace.add(
                        "tax",
                        Fraction(row.amount) * percent / 100,
                        key,
                        f"{row.subject} {head}",
                        amount=row.amount,
                        percent=percent,
                        paid_by="buyer to the state" if regime.is_reverse else "supplier",
                        tax_row=f"{tax_row.code} version {tax_row.version}",
                    )
                    if regime.is_reverse:
                        reverse_tax += amount
                    else:
                        tax += amount
                        rows.append(Row("TAX", head, amount, len(self.trace.lines)))
        total = taxable + untaxed + tax
        round_off = ZERO
        if self.terms.round_off is RoundOff.WHOLE:
            whole = rounded(Fraction(total), 0)
            round_off = self.trace.add("round_off", Fraction(whole) - Fraction(total), key, sum=total)
            rows.append(Row("ROUND_OFF", "", round_off, len(self.trace.lines)))
        name = "invoice_total" if kind is DocumentKind.INVOICE else "note_total"
        total = self.trace.add(name, Fraction(total) + Fraction(round_off), key)
        document = Document(
            key=key,
            kind=kind,
            reason=reason,
            number=invoice.number if invoice and kind is DocumentKind.INVOICE else "",
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
            invoice=invoice.key if invoice and kind is not DocumentKind.INVOICE else "",
            remarks=tuple(filter(None, remarks)),
        )
        self.book(document, rows)
        return document

    def _base(self, total: Decimal, key: str) -> Decimal | None:
        if self.terms.currency == RUPEE:
            return None
        rate = self.terms.fx_rate
        return self.trace.add(
            "base_total", Fraction(total) * Fraction(rate), key, "", RUPEE, total=total, rate=rate
        )

    def book(self, document: Document, rows: Iterable[Row]) -> None:
        """Add a document and one posting per line: nothing for zero, sides exchanged for negative."""
        self.documents.append(document)
        for row in rows:
            if row.amount:
                sides = (document.debtor, document.creditor)
                debtor, creditor = sides if row.amount > 0 else sides[::-1]
                self.post(row.posting, debtor, creditor, abs(row.amount), document.key, row.line_no)

    def post(self, kind: str, debtor: str, creditor: str, amount: Decimal, key: str, line_no: int) -> None:
        self.postings.append(
            Posting(kind=kind, debtor=debtor, creditor=creditor, amount=amount, document=key, line_no=line_no)
        )

    # Rule 11

    def _deduct(self) -> None:
        """TDS of each invoice in order; advances already counted are not counted again, each rupee once."""
        if self.terms.direction is not Direction.DOMESTIC or self.terms.currency != RUPEE:
            return
        advances = sum((row.amount for row in self.payments if row.kind is PaymentKind.ADVANCE), ZERO)
        for billed in self.billed:
            document = billed.document
            assert document is not None
            used = min(advances, document.taxable)
            advances -= used
            tds = self._tds(
                RowKind.TDS_GOODS, document, document.taxable - used, self.terms.seller, document.day
            )
            billed.document = self._withhold(document, tds)

    def _tds(self, kind: RowKind, document: Document, amount: Decimal, deductee: Party, day: date) -> Decimal:
        year = taxes.financial_year(day)
        position = self.positions.get((kind, document.debtor, deductee.partner_id, year))
        if position is None:
            detail = (
                f"The {kind} position of {document.debtor} and {deductee.partner_id} for {year} is missing."
            )
            self.trace.miss("tds_position", f"{kind} {year}", detail)
            return ZERO
        row = taxes.row_for(self.facts.tax_rows, kind, day)
        done = taxes.deduct(row, position, amount, deductee, day)
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
        self.move(position, done.position, document.key)
        return tds

    def _withhold(self, document: Document, tds: Decimal) -> Document:
        """Note the TDS on a document: the creditor owes it to the debtor, who pays it to the state."""
        if tds:
            self.post("TDS", document.creditor, document.debtor, tds, document.key, len(self.trace.lines))
        withheld = replace(document, tds=tds)
        self.documents[self.documents.index(document)] = withheld
        return withheld

    def move(self, before: Position, after: Position, key: str) -> None:
        used = {row.number: row.used for row in before.certificates}
        self.positions[position_key(after)] = after
        self.moves.append(
            PositionMove(
                kind=before.kind,
                deductor=before.deductor,
                deductee=before.deductee,
                financial_year=before.financial_year,
                document=key,
                counted=after.counted - before.counted,
                taxed=after.taxed - before.taxed,
                certificates={
                    row.number: row.used - used[row.number]
                    for row in after.certificates
                    if row.used != used[row.number]
                },
            )
        )

    # Rules 13, 14, 18 to 20: notes of an invoice

    def note(self) -> None:
        """Draw up the notes on the goods: returns, true-up, claims on weight, awards."""
        for billed in self.billed:
            self._return(billed)
            self._true_up(billed)
        self._claim()
        for award in sorted(self.facts.awards, key=lambda award: award.id):
            invoices = [row for row in self.billed if award.lot_no in row.kg] or self.billed
            if not invoices:
                self.trace.miss("invoice", award.id, f"Award {award.id} has no invoice.")
                continue
            kind = DocumentKind.CREDIT_NOTE if award.to is Side.BUYER else DocumentKind.DEBIT_NOTE
            key = f"{kind}/AWARD/{award.id}"
            amount = self.trace.add("award", award.amount, key, award.id, to=award.to)
            row = Row("CLAIM", f"award {award.id}", amount, len(self.trace.lines))
            self._note(kind, "AWARD", invoices[0], [row], key)

    def _note(self, kind: DocumentKind, reason: str, billed: Billed, rows: list[Row], key: str) -> None:
        """A note at the rate of its invoice; a credit note too late for tax carries none and says so."""
        is_credit, invoice = kind is DocumentKind.CREDIT_NOTE, billed.goods
        is_taxed, remarks = True, [self._regime(invoice.day).remark]
        if is_credit and self._regime(invoice.day).heads:
            is_taxed = taxes.note_is_taxed(self.facts, invoice.day, self.facts.as_of)
            if not is_taxed:
                remarks = ["No tax: past the last day for credit notes with tax"]
        debtor = self.seller if is_credit else self.buyer
        document = self._close(
            rows,
            kind,
            reason,
            invoice,
            self.facts.as_of,
            debtor,
            rate_day=invoice.day,
            is_taxed=is_taxed,
            remarks=remarks,
            key=key,
        )
        position = self.positions.get(
            (RowKind.TDS_GOODS, self.buyer, self.seller, taxes.financial_year(invoice.day))
        )
        if is_credit and position is not None:
            self.move(position, taxes.lower(position, document.taxable), document.key)

    def _note_key(self, kind: DocumentKind, reason: str, billed: Billed) -> str:
        return "/".join(filter(None, (kind, reason, billed.goods.number)))

    def _returned(self, billed: Billed, lot_no: str) -> Fraction:
        weight = sum((self.goods.returned[row, lot_no] for row in billed.goods.dispatches), ZERO)
        return min(Fraction(1), Fraction(weight) / Fraction(billed.goods.weights[lot_no]))

    def _return(self, billed: Billed) -> None:
        key, rows = self._note_key(DocumentKind.CREDIT_NOTE, "RETURN", billed), []
        for lot_no, amount in billed.amounts.items():
            share = self._returned(billed, lot_no)
            if share and amount:
                credit = self.trace.add(
                    "return", Fraction(amount) * share, key, lot_no, line_amount=amount, returned_share=share
                )
                rows.append(Row("CLAIM", f"{lot_no} return", credit, len(self.trace.lines)))
        if rows:
            self._note(DocumentKind.CREDIT_NOTE, "RETURN", billed, rows, key)

    def _true_up(self, billed: Billed) -> None:
        for kind, sign in ((DocumentKind.CREDIT_NOTE, -1), (DocumentKind.DEBIT_NOTE, 1)):
            key, rows = self._note_key(kind, "TRUE_UP", billed), []
            for lot in self.goods.lots:
                if lot.lot_no not in billed.kg or lot.lot_no not in self.final_prices:
                    continue
                final_exact, first_exact = self._both_amounts(billed, lot)
                kept = 1 - self._returned(billed, lot.lot_no)
                exact = sign * (final_exact - first_exact) * kept
                if exact > 0:
                    amount = self.trace.add(
                        "true_up", exact, key, lot.lot_no, final=final_exact, invoiced=first_exact
                    )
                    rows.append(Row("CLAIM", f"{lot.lot_no} true-up", amount, len(self.trace.lines)))
            if any(row.amount for row in rows):
                self._note(kind, "TRUE_UP", billed, rows, key)

    def _both_amounts(self, billed: Billed, lot: Lot) -> tuple[Fraction, Fraction]:
        """Exact amounts of a lot at the final price and at the invoiced one."""
        kg, unit = billed.kg[lot.lot_no], self.terms.unit
        final = weighted(self.final_prices[lot.lot_no])
        first = weighted(self.prices[lot.lot_no])
        assert final is not None
        assert first is not None
        return Fraction(kg) * final / unit.k, Fraction(kg) * first / unit.k

    def _claim(self) -> None:
        rows: dict[int, list[Row]] = {}
        for lot, kg, dispatches in self.goods.claims():
            price = weighted(self.final_prices.get(lot.lot_no) or self.prices[lot.lot_no])
            if price is None:
                continue
            exact = Fraction(kg) * price / self.terms.unit.k
            found = [
                n
                for n, b in enumerate(self.billed)
                if lot.lot_no in b.kg and set(dispatches) & set(b.goods.dispatches)
            ]
            keys = [self._note_key(DocumentKind.CREDIT_NOTE, "CLAIM", self.billed[n]) for n in found]
            inputs = {"claim_kg": kg, "price": price, "k": self.terms.unit.k}
            amounts = [
                self.trace.add("claim", exact, keys[0] if len(keys) == 1 else "", lot.lot_no, **inputs)
            ]
            first = len(self.trace.lines)
            if len(found) > 1:
                weights = [
                    self.goods.dispatched_kg(
                        lot, [d for d in dispatches if d in self.billed[n].goods.dispatches]
                    )
                    for n in found
                ]
                parts = [(key, lot.lot_no, weight) for key, weight in zip(keys, weights, strict=True)]
                amounts, first = self.trace.split("claim_part", amounts[0], parts), first + 1
            for place, (n, amount) in enumerate(zip(found, amounts, strict=True)):
                rows.setdefault(n, []).append(Row("CLAIM", f"{lot.lot_no} claim", amount, first + place))
        for n in sorted(rows):
            if any(row.amount for row in rows[n]):
                key = self._note_key(DocumentKind.CREDIT_NOTE, "CLAIM", self.billed[n])
                self._note(DocumentKind.CREDIT_NOTE, "CLAIM", self.billed[n], rows[n], key)

    # Rules 12, 15 and 21: obligations and interest

    def owe(self) -> None:
        """Turn invoices and notes into obligations, and allocate what was paid to them."""
        advance_left, terms = advance_due(self.terms, self.trace), self.terms.payment
        advance_on = payments.due_date(
            self.terms.trade_date, terms.advance_days, terms.day_kind, self.facts.holidays
        )
        for billed in self.billed:
            document = billed.document
            assert document is not None
            net = document.total - document.tds
            advance = max(min(advance_left, net), ZERO)
            advance_left -= advance
            start = self._balance_start(billed)
            billed.due = payments.due_date(start, terms.balance_days, terms.day_kind, self.facts.holidays)
            if advance:
                self.owed.append(Owed("ADVANCE", document.key, self.buyer, self.seller, advance, advance_on))
            self.owed.append(
                Owed("BALANCE", document.key, self.buyer, self.seller, net - advance, billed.due)
            )
        for document in self.documents:
            if document.kind is not DocumentKind.INVOICE:
                self._owe(document)
        goods = {PaymentKind.ADVANCE, PaymentKind.BALANCE, PaymentKind.CLAIM}
        self.on_account = payments.allocate(self.owed, (row for row in self.payments if row.kind in goods))

    def owe_rest(self, documents: Iterable[Document]) -> None:
        """The same for documents that were drawn up from those payments."""
        for document in documents:
            self._owe(document)
        goods = {PaymentKind.ADVANCE, PaymentKind.BALANCE, PaymentKind.CLAIM}
        rest = [row for row in self.payments if row.kind not in goods]
        self.on_account += payments.allocate(self.owed, rest)

    def _owe(self, document: Document) -> None:
        reason = document.reason
        self.owed.append(
            Owed(
                reason,
                document.key,
                document.debtor,
                document.creditor,
                document.total - document.tds,
                self.facts.as_of,
            )
        )

    def _balance_start(self, billed: Billed) -> date:
        if self.terms.payment.balance_from is BalanceFrom.INVOICE:
            return billed.goods.day
        return self._accepted(billed) or self.facts.as_of

    def _accepted(self, billed: Billed) -> date | None:
        rows = [self.goods.delivered.get(row) for row in billed.goods.dispatches]
        days = [row.delivered_date for row in rows if row is not None]
        return max(days) if days and len(days) == len(rows) else None

    def carry(self) -> list[Document]:
        """The carrying charge on what was paid late or is open, as a debit note."""
        goods = [owed for owed in self.owed if owed.kind in ("ADVANCE", "BALANCE")]
        covered = self.withheld()
        self._show_statutory_interest(goods, covered)
        slabs = self.terms.payment.carrying_slabs
        late = payments.late_parts(goods, covered, self.facts.as_of)
        if not slabs or not late:
            return []
        by_slab = [
            sum(column)
            for column in zip(*(payments.interest(Fraction(a), d, slabs) for _, a, d in late), strict=True)
        ]
        key = f"{DocumentKind.DEBIT_NOTE}/CARRYING"
        parts = "; ".join(f"{owed.kind} {amount} for {days} days" for owed, amount, days in late)
        amount = self.trace.add("carrying", sum(by_slab, Fraction(0)), key, parts=parts)
        line_no = len(self.trace.lines)
        if not amount:
            return []
        names = [f"{slab.days or 'further'} days at {slab.annual_percent} %" for slab in slabs]
        used = [(key, name, exact) for name, exact in zip(names, by_slab, strict=True) if exact]
        self.trace.split("carrying_slab", amount, used)
        is_taxed = self.terms.payment.carrying_tax is NoteTax.AS_GOODS
        row = Row("CARRYING", "carrying", amount, line_no, is_taxed)
        remark = self._regime(self.facts.as_of).remark if is_taxed else "No tax by the terms"
        return [
            self._close(
                [row],
                DocumentKind.DEBIT_NOTE,
                "CARRYING",
                None,
                self.facts.as_of,
                self.buyer,
                is_taxed=is_taxed,
                remarks=[remark],
                key=key,
            )
        ]

    def withheld(self) -> Decimal:
        """The open credit notes, which the buyer may set off against the invoices."""
        return sum((owed.open for owed in self.owed if owed.document.startswith("CREDIT_NOTE")), ZERO)

    def _show_statutory_interest(self, goods: list[Owed], covered: Decimal) -> None:
        """What the MSMED Act gives a micro or small seller, beside the contract's charge."""
        seller = self.terms.seller
        if seller.msme not in (Msme.MICRO, Msme.SMALL) or seller.is_trader:
            return
        due: dict[str, date] = {}
        for billed in self.billed:
            accepted = self._accepted(billed)
            if accepted is not None:
                row = taxes.row_for(self.facts.tax_rows, RowKind.MSME, accepted)
                due[billed.goods.key] = min(billed.due, accepted + timedelta(days=row.days or 0))
        statutory = [replace(owed, due=due[owed.document]) for owed in goods if owed.document in due]
        total, parts = Fraction(0), []
        for owed, amount, days in payments.late_parts(statutory, covered, self.facts.as_of):
            end = owed.due + timedelta(days=days)
            total += payments.statutory_interest(Fraction(amount), owed.due, end, self.facts.tax_rows)
            parts.append(f"{amount} from {owed.due} to {end}")
        self.trace.add("msme_interest", total, "", seller.partner_id, parts="; ".join(parts))

    # Rule 16

    def pay_brokers(self) -> list[Document]:
        """Brokerage of each side, shared by its brokers, with GST and TDS."""
        taxable = sum((row.document.taxable for row in self.billed if row.document), ZERO)
        kg = sum(self.accounted.values(), ZERO)
        drawn = []
        for brokerage in sorted(self.terms.brokerage, key=lambda row: row.side):
            brokers = self.terms.brokers(brokerage.side)
            exact = {
                Basis.PERCENT: Fraction(taxable) * Fraction(brokerage.rate) / 100,
                Basis.PER_PRICE_UNIT: Fraction(kg) / self.terms.unit.k * Fraction(brokerage.rate),
                Basis.FIXED: Fraction(brokerage.rate),
            }[brokerage.basis]
            if not self.billed or not brokers:
                continue
            keys = [f"BROKERAGE/{brokerage.side}/{broker.partner_id}" for broker in brokers]
            inputs = {"basis": brokerage.basis, "rate": brokerage.rate, "taxable": taxable, "kg": kg}
            side = brokerage.side.value
            amounts = [self.trace.add("brokerage", exact, keys[0] if len(keys) == 1 else "", side, **inputs)]
            first = len(self.trace.lines)
            if len(brokers) > 1:
                weights = [(key, b.partner_id, b.share or ZERO) for key, b in zip(keys, brokers, strict=True)]
                amounts, first = self.trace.split("brokerage_share", amounts[0], weights), first + 1
            for place, (key, broker, amount) in enumerate(zip(keys, brokers, amounts, strict=True)):
                if amount:
                    row = Row("BROKERAGE", side, amount, first + place)
                    drawn.append(self._brokerage(brokerage, broker, row, key))
        return drawn

    def _brokerage(self, brokerage: Brokerage, broker: Party, row: Row, key: str) -> Document:
        payer = self.terms.seller if brokerage.side is Side.SELLER else self.terms.buyer
        day, rows, remarks = self.facts.as_of, [row], []
        if broker.tax_status is TaxStatus.REGISTERED:
            tax_row = taxes.row_for(self.facts.tax_rows, RowKind.GST, day, brokerage.sac)
            for head, part in taxes.heads(broker.state_code, payer.state_code):
                percent = taxes.rate(tax_row) * part
                tax = self.trace.add(
                    "brokerage_tax",
                    Fraction(row.amount) * percent / 100,
                    key,
                    head,
                    amount=row.amount,
                    percent=percent,
                    tax_row=f"{tax_row.code} version {tax_row.version}",
                )
                rows.append(Row("TAX", head, tax, len(self.trace.lines)))
        else:
            remarks.append("The broker charges no tax")
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
            remarks=tuple(remarks),
        )
        self.book(document, rows)
        if self.terms.currency != RUPEE:
            return document
        position = self.positions.get(
            (RowKind.TDS_BROKERAGE, payer.partner_id, broker.partner_id, taxes.financial_year(day))
        )
        if position is not None and not payer.is_individual and not position.liable:
            # Only an individual or a Hindu undivided family may be too small to deduct.
            self.positions[position_key(position)] = replace(position, liable=True)
        tds = self._tds(RowKind.TDS_BROKERAGE, document, row.amount, broker, day)
        return self._withhold(document, tds)

    # What remains

    def balance_lines(self) -> None:
        """Rule 12: what is due after advances, and what is open on the date, per invoice."""
        for billed in self.billed:
            document = billed.document
            assert document is not None
            parts = [part for owed in self.owed if owed.document == document.key for part in owed.parts]
            advances = sum((amount for kind, amount, _ in parts if kind is PaymentKind.ADVANCE), ZERO)
            paid = sum((amount for _, amount, _ in parts), ZERO)
            net = document.total - document.tds
            for name, less in (("balance_due", advances), ("balance", paid)):
                self.trace.add(
                    name,
                    net - less,
                    document.key,
                    due_date=billed.due,
                    invoice_total=document.total,
                    tds=document.tds,
                    paid=less,
                )

    def obligations(self) -> tuple[Obligation, ...]:
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
            for owed in sorted(self.owed, key=lambda owed: (owed.due, owed.kind, owed.document))
        )


def position_key(position: Position) -> tuple[RowKind, str, str, str]:
    """What a position is about: kind, deductor, deductee, financial year."""
    return position.kind, position.deductor, position.deductee, position.financial_year


def contract_value(terms: Terms, trace: Trace) -> Decimal:
    """Contract kilograms at the contract price; a price that is still open by its provisional one."""
    price = terms.price.provisional_price if isinstance(terms.price, OnCall | Formula) else terms.price.price
    exact = Fraction(terms.weight_kg) * Fraction(price or 0) / terms.unit.k
    return trace.add("contract_value", exact, price=price, kg=terms.weight_kg, k=terms.unit.k)


def advance_due(terms: Terms, trace: Trace) -> Decimal:
    """The part of the contract value that is due in advance."""
    percent = terms.payment.advance_percent
    if not percent:
        return ZERO
    value = contract_value(terms, trace)
    exact = Fraction(value) * Fraction(percent) / 100
    return trace.add("advance_due", exact, contract_value=value, percent=percent)
