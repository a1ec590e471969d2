"""Contract note, settlement statement and notes as PDF: pure, so that the same data gives the same bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from apps.commodities.differences import Band
from apps.commodities.exact import rounded
from apps.trades.engine import report
from apps.trades.engine.report import day, words
from apps.trades.engine.settlement import Document, DocumentKind, Line, Settlement
from apps.trades.engine.terms import Party, Slab, Terms
from erp import figures, pdf

_SPELLED: Final = ("INR", "USD")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The trade that a paper is about. ``names``: legal names of its partners by id."""

    number: str
    organization: str
    names: Mapping[str, str]
    terms: Terms
    terms_version: int
    contract_hash: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A settlement to print, with its number and those of its notes by document key."""

    number: str
    revision: int
    settled_date: date
    settlement: Settlement
    note_numbers: Mapping[str, str]


def contract_note(subject: Subject, contract_value: Decimal) -> bytes:
    """What the parties agreed, with the hash of the terms."""
    terms = subject.terms
    paper = _open(f"Contract note {subject.number}", subject, terms.trade_date)
    paper.facts([("Trade date", day(terms.trade_date)), *_agreed(subject)])
    paper.heading("Parties")
    rows = [
        (
            words(party.role).capitalize(),
            subject.names.get(party.partner_id, ""),
            party.state_code,
            _status(party),
        )
        for party in terms.parties
    ]
    paper.table(["Role", "Name", "State", "Tax status"], rows, widths=[3, 6, 1, 3])
    paper.heading("Goods and price")
    paper.facts(_goods(terms))
    paper.facts(
        [("Contract value", figures.money(contract_value, terms.currency)), *_spelled(contract_value, terms)]
    )
    if terms.schedule is not None:
        paper.heading(f"Premiums and discounts: {terms.schedule.code} version {terms.schedule.version}")
        paper.table(["Parameter", "Method", "Rule"], list(_schedule(terms)), widths=[3, 2, 8])
    paper.heading("Weight, delivery and payment")
    paper.facts(_conditions(terms))
    return paper.render()


def statement(subject: Subject, found: Figures) -> bytes:
    """Every figure of a settlement with its rule and inputs, what is owed, and the net."""
    done, title = found.settlement, f"Settlement statement {found.number}"
    revision = f", revision {found.revision}" if found.revision > 1 else ""
    paper = _open(title, subject, found.settled_date)
    paper.facts(
        [
            ("Trade", f"{subject.number} of {day(subject.terms.trade_date)}{revision}"),
            ("Settled on", day(found.settled_date)),
            *_agreed(subject),
            ("Engine version", str(done.engine_version)),
            ("Hash of the lines", done.lines_hash),
        ]
    )
    _group(paper, subject, done, "", "Weights, prices and other amounts")
    for document in done.documents:
        _document(paper, subject, found, document)
    paper.heading("What is owed")
    paper.table(
        ["Due on", "From", "To", "For", "Amount", "Open"],
        [
            (
                day(owed.due_date),
                subject.names.get(owed.debtor, ""),
                subject.names.get(owed.creditor, ""),
                words(owed.kind),
                figures.money(owed.amount, done.totals.currency),
                figures.money(owed.open, done.totals.currency),
            )
            for owed in done.obligations
        ],
        widths=[2, 4, 4, 2, 3, 3],
        numbers=[4, 5],
    )
    totals = done.totals
    debtor = f"The {totals.net_debtor.lower()} owes" if totals.net_debtor else "Nothing is owed:"
    paper.paragraph(f"Net after all payments: {debtor} {figures.money(totals.net_due, totals.currency)}.")
    return paper.render()


def note(subject: Subject, found: Figures, key: str) -> bytes:
    """A credit or debit note of a settlement."""
    document = next(row for row in found.settlement.documents if row.key == key)
    title = report.heading(document, found.note_numbers[key])
    paper = _open(title, subject, document.day)
    invoice = next((row for row in found.settlement.documents if row.key == document.invoice), None)
    paper.facts(
        [
            ("Trade", f"{subject.number} of {day(subject.terms.trade_date)}"),
            ("Invoice", "" if invoice is None else f"{invoice.number} of {day(invoice.day)}"),
            *_agreed(subject),
        ]
    )
    _document(paper, subject, found, document)
    return paper.render()


def notes_of(settlement: Settlement) -> list[Document]:
    """The documents of a settlement that are numbered and printed apart."""
    kinds = (DocumentKind.CREDIT_NOTE, DocumentKind.DEBIT_NOTE)
    return [row for row in settlement.documents if row.kind in kinds]


def _open(title: str, subject: Subject, of: date) -> pdf.Document:
    return pdf.Document(title, day=of, note=f"{subject.organization} · {subject.number}")


def _agreed(subject: Subject) -> list[tuple[str, str]]:
    return [
        ("Terms", f"version {subject.terms_version}"),
        ("Hash of the terms", subject.contract_hash),
    ]


def _document(paper: pdf.Document, subject: Subject, found: Figures, document: Document) -> None:
    currency = found.settlement.totals.currency
    title = report.heading(document, found.note_numbers.get(document.key, ""))
    _group(paper, subject, found.settlement, document.key, title)
    payable = document.total - document.tds
    paper.facts(
        [
            ("From", subject.names.get(document.debtor, "")),
            ("To", subject.names.get(document.creditor, "")),
            ("Total", figures.money(document.total, currency)),
            *_spelled(document.total, subject.terms),
        ]
    )
    if document.tds:
        paper.facts(
            [("TDS", figures.money(document.tds, currency)), ("Payable", figures.money(payable, currency))]
        )
    for remark in document.remarks:
        paper.paragraph(f"{remark}.")


def _group(paper: pdf.Document, subject: Subject, done: Settlement, key: str, title: str) -> None:
    lines = [line for line in done.lines if line.document == key]
    if not lines:
        return
    paper.heading(title)
    rows = [
        (
            report.caption(line, subject.names),
            report.trace(_known(line)),
            report.amount(line, done.totals.currency),
        )
        for line in lines
    ]
    paper.table(["Amount", "Rule and inputs", "Figure"], rows, widths=[4, 8, 3], numbers=[2])


def _known(line: Line) -> Line:
    """Both sides read a paper, and what one has counted with its broker is not for the other."""
    is_private = line.name == "tds" and line.document.startswith("BROKERAGE/")
    return replace(line, inputs={}) if is_private else line


def _spelled(amount: Decimal, terms: Terms) -> list[tuple[str, str]]:
    if terms.currency not in _SPELLED or amount < 0:
        return []
    return [("In words", figures.amount_in_words(amount, terms.currency))]


def _status(party: Party) -> str:
    share = "" if party.share is None else f", share {figures.percent(party.share)}"
    return f"{words(party.tax_status)}{share}"


def _goods(terms: Terms) -> Iterator[tuple[str, str]]:
    unit = terms.unit
    variety = f", {terms.goods.variety}" if terms.goods.variety else ""
    count = "" if terms.count is None else f"{figures.group(terms.count)} {words(terms.count_unit)}, "
    yield "Goods", f"{terms.goods.commodity}{variety}, HSN {terms.goods.hsn}"
    yield "Quantity", f"{count}{figures.quantity(terms.weight_kg, 'kg')}"
    yield "Lots", ", ".join(lot.lot_no for lot in terms.lots)
    yield "Price", _price(terms)
    kg = figures.trim(rounded(unit.kg, 8))
    yield (
        "Price unit",
        f"{unit.code}: 1 {words(unit.unit)} is {kg} kg, version {unit.definition_version} ({unit.source})",
    )


def _price(terms: Terms) -> str:
    price: Any = terms.price
    if hasattr(price, "price"):
        suffix = "" if price.form == "FLAT" else " (provisional)"
        return f"{figures.trim(price.price)} {terms.unit.code}{suffix}"
    if price.form == "ON_CALL":
        return f"{price.futures} and {figures.trim(price.basis_points)} points, fixed until {day(price.deadline)}"
    between = f"{day(price.average_from)} to {day(price.average_to)}"
    return f"average of {price.source}, {between}, and {figures.trim(price.difference)}"


def _schedule(terms: Terms) -> Iterator[tuple[str, str, str]]:
    assert terms.schedule is not None
    for line in terms.schedule.rules.lines:
        parts = [words(line.form)]
        parts += [f"{_range(band)}: {figures.trim(band.effect)}" for band in line.bands]
        if line.base_low is not None:
            parts.append(f"base {figures.trim(line.base_low)}")
        if line.rate is not None:
            parts.append(f"{figures.trim(line.rate)} {words(line.effect)} each")
        if line.reject_below is not None:
            parts.append(f"reject below {figures.trim(line.reject_below)}")
        if line.reject_above is not None:
            parts.append(f"reject above {figures.trim(line.reject_above)}")
        yield words(line.parameter), line.method, "; ".join(parts)


def _range(band: Band) -> str:
    if band.start is None or band.end is None:
        limit = band.end if band.start is None else band.start
        return f"{'below' if band.start is None else 'from'} {figures.trim(limit or Decimal(0))}"
    return f"{figures.trim(band.start)} to {figures.trim(band.end)}"


def _conditions(terms: Terms) -> Iterator[tuple[str, str]]:
    weight, delivery, payment = terms.weight, terms.delivery, terms.payment
    yield (
        "Final quality",
        f"{words(terms.quality.final_source)}, claims within {terms.quality.claim_days} days",
    )
    yield "Final weight", f"{words(weight.final)}, tolerance {figures.percent(weight.tolerance_percent)}"
    if weight.franchise_kind != "NONE":
        yield "Franchise", f"{figures.percent(weight.franchise_percent)}, {words(weight.franchise_kind)}"
    yield "Delivery", f"{words(delivery.basis)}, {day(delivery.window_start)} to {day(delivery.window_end)}"
    if payment.advance_percent:
        yield "Advance", f"{figures.percent(payment.advance_percent)} in {payment.advance_days} days"
    kind = words(payment.day_kind)
    yield "Balance", f"{payment.balance_days} {kind} days from {words(payment.balance_from)}"
    yield "Carrying charge", _slabs(payment.carrying_slabs)
    for row in terms.brokerage:
        yield f"Brokerage, {words(row.side)}", f"{figures.trim(row.rate)} {words(row.basis)}"
    for charge in terms.charges:
        yield words(charge.kind).capitalize(), f"{figures.trim(charge.rate)} {words(charge.basis)}"


def _slabs(slabs: tuple[Slab, ...]) -> str:
    return ", ".join(
        f"{figures.percent(slab.annual_percent)} a year for {slab.days or 'further'} days" for slab in slabs
    )
