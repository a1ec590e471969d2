"""The settlement engine: terms and facts in, every figure with its trace out.

Pure functions of the standard library: no database, no clock, no settings. ``python -m apps.trades.engine FILE``
recomputes an exported settlement anywhere. A change of any result is a new version; old ones stay callable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from apps.trades.engine import errors, records, v1
from apps.trades.engine.facts import Facts
from apps.trades.engine.settlement import Settlement
from apps.trades.engine.terms import Terms, thaw

OPERATIONS: Final = ("settle", "preview", "cancel")
VERSIONS: Final[Mapping[int, ModuleType]] = {v1.VERSION: v1}
CURRENT: Final = v1.VERSION
FORMAT: Final = "settlement-trace/1"


def version(number: int) -> ModuleType:
    """Return a version with all its functions. Raises VersionUnknown."""
    if type(number) is not int or number not in VERSIONS:
        raise errors.VersionUnknown(f"There is no engine version {number}.")
    return VERSIONS[number]


def settle(number: int, terms: Terms, facts: Facts) -> Settlement:
    """Settle a trade by a version of the engine. Raises FactsMissing, BalanceOpen, ScheduleGap, TaxRuleMissing …"""
    settlement: Settlement = version(number).settle(terms, facts)
    return settlement


def preview(number: int, terms: Terms, facts: Facts) -> Settlement:
    """Settle with estimates for missing facts, which the result names."""
    settlement: Settlement = version(number).preview(terms, facts)
    return settlement


def cancel(number: int, terms: Terms, facts: Facts) -> Settlement:
    """Close the undelivered quantity: washout and advances to give back."""
    settlement: Settlement = version(number).cancel(terms, facts)
    return settlement


def export(
    operation: str, terms_body: Any, contract_hash: str, facts: Facts, result: Settlement
) -> dict[str, Any]:
    """Return everything that somebody needs to recompute a settlement, as JSON values."""
    return {
        "format": FORMAT,
        "engine_version": result.engine_version,
        "operation": operation,
        "terms": terms_body,
        "contract_hash": contract_hash,
        "facts": records.to_json(facts),
        "settlement": records.to_json(result),
    }


@dataclass(frozen=True)
class Recomputed:
    """A settlement computed anew, and where the exported one differs: pointer, exported, computed."""

    terms: Terms
    facts: Facts
    settlement: Settlement
    differences: list[tuple[str, Any, Any]]


def recompute(exported: Any) -> Recomputed:
    """Compute an exported settlement anew from its terms and facts.

    Raises BadInput with JSON pointers, SnapshotDamaged, and what the engine refuses.
    """
    needed = {"format", "engine_version", "operation", "terms", "contract_hash", "facts", "settlement"}
    if not isinstance(exported, dict) or exported.keys() != needed or exported["format"] != FORMAT:
        words = f"An export has the members {', '.join(sorted(needed))}; format is {FORMAT}."
        raise records.reject("", words)
    records.canonical(exported)  # refuses what is no exact JSON, floats among it
    operation = exported["operation"]
    if operation not in OPERATIONS:
        raise records.reject("/operation", f"Must be one of {', '.join(OPERATIONS)}.")
    terms = _read_terms(exported)
    facts = records.from_json(Facts, exported["facts"], "/facts")
    result = getattr(version(exported["engine_version"]), operation)(terms, facts)
    found = records.differences(exported["settlement"], records.to_json(result), "/settlement")
    return Recomputed(terms, facts, result, found)


def _read_terms(exported: dict[str, Any]) -> Terms:
    records.from_json(Terms, exported["terms"], "/terms")  # for pointers into the file
    return thaw(exported["terms"], exported["contract_hash"])
