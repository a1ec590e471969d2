"""A settlement as an accountant reads it: document by document, each figure with its rule and inputs."""

from collections.abc import Iterator, Mapping
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
        title = f"{heading(document)}: {document.debtor} owes {document.creditor}"
        yield from _group(title, settlement, document.key)
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
        label = f"{owed.debtor} owes {owed.creditor}: {words(owed.kind)}, due {day(owed.due_date)}"
        yield _columns(label, figures.money(owed.amount, settlement.totals.currency))
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
        yield _columns(caption(line), amount(line, settlement.totals.currency))
        yield f"{INDENT}{trace(line)}"


def heading(document: Document, number: str = "") -> str:
    """What a document is, and of which day. ``number``: of a note, which the engine does not know."""
    number = document.number or number
    reason = "" if document.reason in ("GOODS", document.kind) else f" ({words(document.reason)})"
    return f"{words(document.kind).capitalize()}{number and f' {number}'}{reason} of {day(document.day)}"


def caption(line: Line, names: Mapping[str, str] | None = None) -> str:
    """A line's name and subject; partners by ``names``."""
    return f"{words(line.name)} {(names or {}).get(line.subject, line.subject)}".strip()


def amount(line: Line, currency: str) -> str:
    """A line's figure with its unit."""
    if line.unit in (currency, "INR") and line.places <= max(exponent_of(currency), 2):
        return figures.money(line.amount, line.unit)
    return figures.quantity(line.amount, line.unit)


def trace(line: Line) -> str:
    """Rule, exact value and inputs of a line."""
    if line.rounding is Rounding.EXACT:
        return f"rule {line.rule}{_inputs(line)}"
    label = "share" if line.rounding is Rounding.LARGEST_REMAINDER else "exact"
    return f"rule {line.rule}, {label} {exact(line)}{_inputs(line)}"


def exact(line: Line) -> str:
    """A line's exact value to ten decimals."""
    return figures.group(rounded(line.unrounded, 10))


def _inputs(line: Line) -> str:
    return "".join(f", {words(name)} {shown(value)}" for name, value in line.inputs.items() if value)


def shown(value: str) -> str:
    """An input as people read it: a number in Indian grouping."""
    whole, _, places = value.lstrip("-").partition(".")
    is_number = whole.isdecimal() and (not places or places.isdecimal())
    return figures.trim(Decimal(value)) if is_number else value


def _columns(label: str, figure: str) -> str:
    return f"  {label:<{WIDTH}} {figure:>24}"


def words(name: str) -> str:
    """A name of the engine as people read it."""
    return name.replace("_", " ").lower().replace("tds", "TDS").replace("msme", "MSME")


def day(value: date) -> str:
    """A date as people write it: ``16 Jan 2026``."""
    return f"{value.day} {value:%b %Y}"
