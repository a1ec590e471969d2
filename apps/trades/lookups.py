"""Previews: what a settlement would come to."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from apps.commodities.exact import rounded
from apps.trades.engine import records
from apps.trades.engine import settlement as s
from apps.trades.models import Settlement, Trade
from apps.trades.services import rules, settlement
from erp import clock
from erp.access import Actor
from erp.errors import FieldError

DECIMALS = 10  # of exact values, beside their fraction


@dataclass(frozen=True)
class PreviewResult:
    """A settlement that is not stored, as it is returned."""

    trade_id: Any
    terms_version: int
    engine_version: int
    as_of_date: date
    provisional: bool
    missing: list[dict[str, str]]
    blocking: tuple[str, ...]
    lines: list[dict[str, Any]]
    documents: list[Any]
    obligations: list[Any]
    totals: Any
    lines_hash: str
    preview_hash: str


def preview_settlement(trade: Trade, *, actor: Actor, as_of_date: date | None = None) -> PreviewResult:
    """Compute the settlement of a day: every line with rule, inputs and exact value, documents, and what is missing.

    Estimates stand in for missing facts. Stores nothing. Raises NotASide for brokers and carriers.
    """
    if actor.partner_id is not None and trade.side_of(actor) is None:
        raise rules.NotASide
    rules.require_status(trade, *settlement.PREVIEWED)
    day = as_of_date or clock.today()
    if day > clock.today():
        raise rules.DateInFuture(
            errors=[FieldError("/as_of_date", "future", f"Not after today, {clock.today()}.")]
        )
    found = settlement.preview(trade, as_of=day)
    done = found.settlement
    return PreviewResult(
        trade_id=trade.pk,
        terms_version=found.terms_version,
        engine_version=done.engine_version,
        as_of_date=day,
        provisional=done.is_provisional,
        missing=records.to_json(done.missing),
        blocking=found.blocking,
        lines=[known_line(line_as_json(line), trade.side_of(actor)) for line in done.lines],
        documents=records.to_json(done.documents),
        obligations=records.to_json(done.obligations),
        totals=records.to_json(done.totals),
        lines_hash=done.lines_hash,
        preview_hash=found.preview_hash,
    )


def line_as_json(line: s.Line) -> dict[str, Any]:
    """A line as it is returned, with its exact value as a fraction and to ten decimals."""
    row: dict[str, Any] = records.to_json(line)
    return {**row, "exact": exact(line.unrounded.numerator, line.unrounded.denominator)}


def known_inputs(name: str, document: str, inputs: dict[str, str], side: str | None) -> dict[str, str]:
    """Inputs of a line as a side may know them: what the other side counts with its broker stays theirs."""
    if not _is_foreign(document, side) or name != "tds":
        return inputs
    return {key: value for key, value in inputs.items() if key in ("added", "threshold", "tax_row")}


def known_line(line: dict[str, Any], side: str | None) -> dict[str, Any]:
    """A line of the engine with the inputs that a side may know. None: staff, who know all."""
    return {**line, "inputs": known_inputs(line["name"], line["document"], line["inputs"], side)}


def _is_foreign(document: str, side: str | None) -> bool:
    return side is not None and document.startswith("BROKERAGE/") and document.split("/")[1] != side


def known_trace(row: Settlement, actor: Actor) -> dict[str, Any]:
    """The export of a settlement; for a partner without the positions of other pairs."""
    found, side = settlement.export(row), row.trade.side_of(actor)
    if side is None:
        return found
    own = str(row.trade.seller_id if side == "SELLER" else row.trade.buyer_id)
    done, facts = found["settlement"], found["facts"]
    facts["positions"] = [each for each in facts["positions"] if own in (each["deductor"], each["deductee"])]
    done["lines"] = [known_line(line, side) for line in done["lines"]]
    done["position_moves"] = [
        each for each in done["position_moves"] if not _is_foreign(each["document"], side)
    ]
    return found


def exact(numerator: int, denominator: int) -> str:
    """A fraction to ten decimals, half up."""
    return f"{Decimal(rounded(Fraction(numerator, denominator), DECIMALS)):f}"
