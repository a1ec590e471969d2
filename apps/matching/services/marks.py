"""Marks: which listings are to be matched again. A burst of changes is one run, and none is lost."""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q

from apps.availability.models import Availability
from apps.matching import capabilities, events
from apps.matching.models import RematchMark
from apps.matching.services.rule_reading import active_rule
from apps.requirement.models import Requirement
from erp import clock
from erp.access import Actor
from erp.services import emit, service

DEBOUNCE, LATEST = timedelta(milliseconds=200), timedelta(seconds=2)
LEASE: Final = timedelta(seconds=60)  # of the worker that has a mark; then another may take it
MOST_BACKOFF: Final = 300  # seconds
LISTINGS: Final = 500  # of a partner, marked at once
QUEUE: Final = "marks say what is to be matched; runs are rows with events of their own"
_Subject, _Priority = RematchMark.Subject, RematchMark.Priority
MODELS: Final[dict[str, Any]] = {_Subject.REQUIREMENT: Requirement, _Subject.AVAILABILITY: Availability}
_ORDER: Final = {_Priority.HIGH: 0, _Priority.MEDIUM: 1, _Priority.LOW: 2}


@service(requires=capabilities.EXECUTE, emits=[events.RematchRequested], label="Ask for another run")
def mark(
    *,
    actor: Actor,
    subject_type: str,
    subject_ids: Collection[UUID],
    cause: str,
    priority: str = _Priority.MEDIUM,
) -> list[RematchMark]:
    """Mark listings as changed. A change during a run is counted, so the run after it sees it."""
    now = clock.now()
    new = [
        RematchMark(subject_type=subject_type, subject_id=key, due_at=now) for key in sorted(set(subject_ids))
    ]
    RematchMark.objects.bulk_create(new, ignore_conflicts=True)
    rows = RematchMark.objects.filter(subject_type=subject_type, subject_id__in=list(subject_ids))
    marked = list(rows.locked().order_by("subject_id"))
    for row in marked:
        if row.wanted == row.matched or row.dirty_at is None:
            row.dirty_at, row.priority = now, priority
        row.wanted += 1
        row.priority = min(row.priority, priority, key=lambda each: _ORDER[_Priority(each)])
        if not row.attempts:  # a failing one waits for its turn
            row.due_at = min(now + DEBOUNCE, row.dirty_at + LATEST)
        row.save()
        emit(
            events.RematchRequested(
                subject_type=subject_type,
                subject_id=row.subject_id,
                cause=cause,
                wanted=row.wanted,
                priority=row.priority,
            )
        )
    return marked


mark_requirements = partial(mark, subject_type=_Subject.REQUIREMENT)
mark_offers = partial(mark, subject_type=_Subject.AVAILABILITY)


def mark_partners(partner_ids: Collection[UUID], *, actor: Actor, cause: str) -> int:
    """Mark the live listings of partners, so many at a time; return how many."""
    count = 0
    for subject, owner in (
        (_Subject.REQUIREMENT, "buyer_partner"),
        (_Subject.AVAILABILITY, "seller_partner"),
    ):
        rows = MODELS[subject].objects.filter(**{f"{owner}__in": list(partner_ids)})
        rows = (
            rows.live() if subject == _Subject.REQUIREMENT else rows.filter(status=Availability.Status.ACTIVE)
        )
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(keys), LISTINGS):
            mark(
                actor=actor, subject_type=subject, subject_ids=keys[start : start + LISTINGS], cause=cause,
                priority=_Priority.HIGH,
            )  # fmt: skip
        count += len(keys)
    return count


@service(requires=capabilities.EXECUTE, machinery=QUEUE, label="Take a mark")
def take(*, actor: Actor, mark_id: UUID, early: bool = False) -> RematchMark | None:
    """Take a dirty mark that is due, for so long that nobody else begins the same run; None if another has it."""
    now = clock.now()
    rows = RematchMark.objects.dirty().filter(pk=mark_id).select_for_update(skip_locked=True, no_key=True)
    row: RematchMark | None = rows.first()
    if row is None or (row.due_at > now and not early):
        return None
    row.due_at = now + LEASE
    row.save()
    return row


@service(requires=capabilities.EXECUTE, machinery=QUEUE, label="Settle a mark")
def settle(row: RematchMark, *, actor: Actor, matched: int, seen_version: int, rules: str) -> RematchMark:
    """Note what a run has matched; what came meanwhile is due at once."""
    row.matched = max(row.matched, min(matched, row.wanted))
    row.seen_version, row.rules = max(row.seen_version, seen_version), rules
    row.attempts, row.last_error, row.due_at = 0, "", clock.now()
    row.dirty_at = None if row.matched == row.wanted else row.dirty_at
    row.save()
    return row


@service(requires=capabilities.EXECUTE, machinery=QUEUE, label="Settle a listing of a batch")
def settle_listing(
    *, actor: Actor, subject_type: str, subject_id: UUID, seen_version: int, rules: str, before: str
) -> None:
    """Note that a batch has matched a listing; a mark that is dirty stays so.

    ``before`` are the mark's rules when the batch began to look: others since then ask for another run.
    """
    row = RematchMark.objects.filter(subject_type=subject_type, subject_id=subject_id).locked().first()
    if row is not None and row.rules != before:
        return
    row = row or RematchMark(subject_type=subject_type, subject_id=subject_id, due_at=clock.now())
    row.seen_version, row.rules = max(row.seen_version, seen_version), rules
    row.save()


@service(requires=capabilities.EXECUTE, machinery=QUEUE, label="Put a mark off")
def put_off(row: RematchMark, *, actor: Actor, error: str) -> RematchMark:
    """Try again later: after 2, 4, 8 … 300 seconds; no worker waits for it."""
    row.attempts += 1
    row.last_error = error[:200]
    row.due_at = clock.now() + timedelta(seconds=min(2**row.attempts, MOST_BACKOFF))
    row.save()
    return row


def unmarked(subject: str, limit: int) -> list[UUID]:
    """Live listings that changed since their last run, or were never matched, and whose mark isn't dirty."""
    model = MODELS[subject]
    rows = model.objects.live() if subject == _Subject.REQUIREMENT else model.objects.filter(status="ACTIVE")
    marks = RematchMark.objects.filter(subject_type=subject, subject_id=OuterRef("pk"))
    seen = marks.filter(Q(seen_version__gte=OuterRef("version")) | Q(matched__lt=F("wanted")))
    return list(rows.filter(~Exists(seen)).order_by("pk").values_list("pk", flat=True)[:limit])


def overdue(now: datetime, wait: timedelta, limit: int) -> list[UUID]:
    """Dirty marks that nobody has taken up."""
    rows = RematchMark.objects.due(now - wait).order_by("due_at", "pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def rules_key(listing: Any) -> str:
    """Names the rules by which a listing is matched."""
    return active_rule(listing.commodity_id).key
