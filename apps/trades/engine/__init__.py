"""The settlement engine: terms and facts in, every figure with its trace out.

Pure functions of the standard library: no database, no clock, no settings. ``python -m apps.trades.engine FILE``
recomputes an exported settlement anywhere. A change of any result is a new version; old ones stay callable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.trades.engine import errors, records, v1
from apps.trades.engine.facts import Facts
from apps.trades.engine.settlement import Settlement
from apps.trades.engine.terms import Terms, thaw

OPERATIONS: Final = ("settle", "preview", "cancel")
VERSIONS: Final[Mapping[int, Mapping[str, Callable[[Terms, Facts], Settlement]]]] = {
    v1.VERSION: {"settle": v1.settle, "preview": v1.preview, "cancel": v1.cancel}
}
CURRENT: Final = v1.VERSION
FORMAT: Final = "settlement-trace/1"


def settle(version: int, terms: Terms, facts: Facts) -> Settlement:
    """Settle a trade by a version of the engine. Raises FactsMissing, BalanceOpen, ScheduleGap, TaxRuleMissing …"""
    return _function(version, "settle")(terms, facts)


def preview(version: int, terms: Terms, facts: Facts) -> Settlement:
    """Settle with estimates for missing facts, which the result names."""
    return _function(version, "preview")(terms, facts)


def cancel(version: int, terms: Terms, facts: Facts) -> Settlement:
    """Close the undelivered quantity: washout and advances to give back."""
    return _function(version, "cancel")(terms, facts)


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
    operation = exported["operation"]
    if operation not in OPERATIONS:
        raise records.reject("/operation", f"Must be one of {', '.join(OPERATIONS)}.")
    terms = _read_terms(exported)
    facts = records.from_json(Facts, exported["facts"], "/facts")
    result = _function(exported["engine_version"], operation)(terms, facts)
    found = records.differences(exported["settlement"], records.to_json(result), "/settlement")
    return Recomputed(terms, facts, result, found)


def _read_terms(exported: dict[str, Any]) -> Terms:
    records.from_json(Terms, exported["terms"], "/terms")  # for pointers into the file
    return thaw(exported["terms"], exported["contract_hash"])


def _function(version: Any, operation: str) -> Callable[[Terms, Facts], Settlement]:
    if type(version) is not int or version not in VERSIONS:
        raise errors.VersionUnknown(f"There is no engine version {version}.")
    return VERSIONS[version][operation]
