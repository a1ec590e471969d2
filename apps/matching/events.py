"""Events of matches, runs, rules and marks. None carries a partner's id, a target or a ceiling.

Both sides of a match read the same members, so none names the requirement or the other side's reasons.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from apps.matching import capabilities
from erp.events import EVERYONE, Event, Quantity, event, rows_of

rows_of("match", model="matching.Match", reads=capabilities.VIEW)


class Head(Event):
    """Fields of the match that every event carries."""

    match_id: UUID
    requirement_id: UUID
    availability_id: UUID
    status: str


def _of_match(name: str, *members: str) -> Any:
    shown = ["availability_id", "status", *members]
    return event(f"match.{name}", version=1, aggregate=("match", "match_id"), readers={EVERYONE: shown})


@_of_match("found", "commodity_id", "label", "quantity", "replaces_match_id")
class MatchFound(Head):
    run_id: UUID
    commodity_id: UUID
    requirement_terms_version: int
    availability_terms_version: int
    rule_version: int
    label: str
    quantity: Quantity
    expires_at: datetime
    replaces_match_id: UUID | None


@_of_match("approved", "side", "complete", "quantity")
class MatchApproved(Head):
    side: str
    complete: bool
    quantity: Quantity
    reservation_id: UUID | None


@_of_match("rejected", "side")
class MatchRejected(Head):
    side: str
    reason: str


@_of_match("superseded", "successor_id")
class MatchSuperseded(Head):
    successor_id: UUID | None


@_of_match("expired")
class MatchExpired(Head):
    pass


@_of_match("converted")
class MatchConverted(Head):
    trade_id: UUID


@event("match.purged", version=1, aggregate=("match", "match_id"), readers={})
class MatchPurged(Head):
    pass


def _of_run(name: str) -> Any:
    return event(f"matching.{name}", version=1, aggregate=("match_run", "run_id"), readers={})


class Run(Event):
    """Fields of the run that every event carries."""

    run_id: UUID
    kind: str
    requirement_id: UUID | None
    availability_id: UUID | None
    commodity_id: UUID | None
    states: list[str]
    mode: str
    rule_version: int


@_of_run("run_started")
class RunStarted(Run):
    pass


@_of_run("run_completed")
class RunCompleted(Run):
    pool: int
    kept: int
    found: int
    superseded: int


@_of_run("run_failed")
class RunFailed(Run):
    reason: str


class Part(BaseModel):
    """What one match got."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    match_id: UUID
    quantity: Quantity


@event("matching.stock_allocated", version=1, aggregate=("allocation", "allocation_id"), readers={})
class StockAllocated(Event):
    allocation_id: UUID
    availability_id: UUID
    parts: list[Part]


@event("matching.rematch_requested", version=1, aggregate=("rematch_mark", "subject_id"), readers={})
class RematchRequested(Event):
    subject_type: str
    subject_id: UUID
    cause: str
    wanted: int
    priority: str


class OfRules(Event):
    """Fields of a version of the rules."""

    rule_set_id: UUID
    commodity_id: UUID | None
    rule_version: int
    base_version: int


def _of_rules(name: str) -> Any:
    return event(f"matching.{name}", version=1, aggregate=("rule_set", "rule_set_id"), readers={})


@_of_rules("rules_proposed")
class RulesProposed(OfRules):
    approval_id: UUID


@_of_rules("rules_changed")
class RulesChanged(OfRules):
    pass


@_of_rules("rules_refused")
class RulesRefused(OfRules):
    status: str


@event("matching.digest_due", version=1, aggregate=("match_digest", "digest_id"), readers={})
class DigestDue(Event):
    digest_id: UUID
    user_id: UUID
    match_ids: list[UUID]
    more: int


@_of_run("run_purged")
class RunPurged(Event):
    run_id: UUID


@event("matching.allocation_purged", version=1, aggregate=("allocation", "allocation_id"), readers={})
class AllocationPurged(Event):
    allocation_id: UUID
