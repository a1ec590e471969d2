"""A settlement as an accountant reads it: document by document, each figure with its rule and inputs."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from apps.commodities.exact import exponent_of, rounded
from apps.trades.engine.settlement import Document, Line, Rounding, Settlement
from erp import figures

WIDTH = 60
INDENT = "      "


def statement(settlement: Settlement) -> str:
    """The whole settlement as text."""
    return "\n".join(_lines(settlement)) + "\n"


def _lines(settlement: Settlement) -> Iterator[str]:
    yield f"Engine version {settlement.engine_version}, hash of the lines {settlement.lines_hash}"
    yield from _group("Weights, prices and other amounts", settlement, "")
    for document in settlement.documents:
        yield from _group(_title(document), settlement, document.key)
        if document.tds:
            yield _columns(
                "payable after TDS", figures.money(document.total - document.tds, settlement.totals.currency)
            )
        if settlement.totals.currency in ("INR", "USD"):
            yield INDENT + figures.amount_in_words(document.total, settlement.totals.currency)
        yield from (f"{INDENT}{remark}." for remark in document.remarks)
    yield ""
    yield "Obligations"
    for owed in settlement.obligations:
        words = f"{owed.debtor} owes {owed.creditor}: {_words(owed.kind)}, due {day(owed.due_date)}"
        yield _columns(words, figures.money(owed.amount, settlement.totals.currency))
        yield f"{INDENT}paid {figures.group(owed.paid)}, open {figures.group(owed.open)}"
    yield ""
    totals = settlement.totals
    debtor = f"the {totals.net_debtor.lower()} owes" if totals.net_debtor else "nothing is owed"
    yield _columns(f"Net after all payments: {debtor}", figures.money(totals.net_due, totals.currency))
    yield from (f"Provisional: {fact.detail}" for fact in settlement.missing)


def _group(title: str, settlement: Settlement, key: str) -> Iterator[str]:
    lines = [line for line in settlement.lines if line.document == key]
    if lines:
        yield ""
        yield title
    for line in lines:
        yield _columns(
            f"{_words(line.name)} {line.subject}".strip(), _amount(line, settlement.totals.currency)
        )
        yield f"{INDENT}rule {line.rule}{_exact(line)}{_inputs(line)}"


def _title(document: Document) -> str:
    number = f" {document.number}" if document.number else ""
    reason = "" if document.reason in ("GOODS", document.kind) else f" ({_words(document.reason)})"
    kind = _words(document.kind).capitalize()
    return f"{kind}{number}{reason} of {day(document.day)}: {document.debtor} owes {document.creditor}"


def _amount(line: Line, currency: str) -> str:
    if line.unit in (currency, "INR") and line.places <= max(exponent_of(currency), 2):
        return figures.money(line.amount, line.unit)
    return figures.quantity(line.amount, line.unit)


def _exact(line: Line) -> str:
    if line.rounding is Rounding.EXACT:
        return ""
    words = "share" if line.rounding is Rounding.LARGEST_REMAINDER else "exact"
    return f", {words} {figures.group(rounded(line.unrounded, 10))}"


def _inputs(line: Line) -> str:
    return "".join(f", {_words(name)} {_number(value)}" for name, value in line.inputs.items() if value)


def _number(value: str) -> str:
    whole, _, places = value.lstrip("-").partition(".")
    is_number = whole.isdecimal() and (not places or places.isdecimal())
    return figures.trim(Decimal(value)) if is_number else value


def _columns(words: str, amount: str) -> str:
    return f"  {words:<{WIDTH}} {amount:>24}"


def _words(name: str) -> str:
    return name.replace("_", " ").lower().replace("tds", "TDS").replace("msme", "MSME")


def day(value: date) -> str:
    """A date as people write it: ``16 Jan 2026``."""
    return f"{value.day} {value:%b %Y}"
