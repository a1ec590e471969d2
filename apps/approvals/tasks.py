"""Periodic work on requests, changes of rights, and what people are told of requests."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from celery import shared_task
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.accounts import events as account_events
from apps.accounts import services as accounts
from apps.accounts.models import AccessPolicy, CapabilityChange, Operation, User
from apps.approvals import events, notices, services
from apps.approvals.models import ApprovalRequest
from apps.notifications import services as notifications
from erp import metrics
from erp.access import SYSTEM
from erp.errors import DomainError
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK = 500  # rows of one sweep


# --- Figures ------------------------------------------------------------------------------------------


def waiting() -> Iterator[Metric]:
    """How many requests wait for a decision, and for how long the oldest has, by kind."""
    queue = GaugeMetricFamily("erp_approval_queue", "Requests that wait for a decision.", labels=["kind"])
    age = GaugeMetricFamily(
        "erp_approval_age_seconds", "How long the oldest of them has waited.", labels=["kind"]
    )
    now = timezone.now()
    pending = ApprovalRequest.objects.pending().values("kind").order_by("kind")
    for line in pending.annotate(number=Count("pk"), since=Min("created_at")):
        queue.add_metric([line["kind"]], line["number"])
        age.add_metric([line["kind"]], (now - line["since"]).total_seconds())
    yield queue
    yield age


metrics.of_modules.append(waiting)


@shared_task
def expire_overdue() -> int:
    """End requests past their time, each in a transaction of its own; returns their number."""
    due = list(ApprovalRequest.objects.overdue(timezone.now()).order_by("expires_at", "pk")[:CHUNK])
    for request in due:
        services.expire(request, actor=SYSTEM)
    return len(due)


# --- Changes of rights: accounts proposes, a second person decides, accounts applies ------------------


@handles(account_events.CapabilityChangeProposed)
def ask_for_rights(event: account_events.CapabilityChangeProposed, *, meta: Envelope) -> None:
    """Open the request for a proposed change of rights."""
    change = CapabilityChange.objects.get(pk=event.change_id)
    if change.status != CapabilityChange.Status.PROPOSED:
        return
    base_type, base_id = _base(event)
    adds = change.operation == Operation.ADD
    lines = {
        "role": change.role,
        "user": str(change.user) if change.user is not None else None,
        "right": change.capability,
        "scope": change.scope,
        "row": f"{change.object_type} {change.object_id}" if change.object_id else None,
        "until": change.grant_expires_at,
    }
    what = [(name, None, text) if adds else (name, text, None) for name, text in lines.items() if text]
    services.request(
        actor=SYSTEM,
        maker=change.proposed_by,
        kind=services.CAPABILITY_CHANGE,
        subject_id=change.pk,
        subject_version=change.version,
        base_type=base_type,
        base_id=base_id,
        base_version=change.base_version,
        reason=change.reason,
        diff=what,
    )


@handles(account_events.CapabilityChanged)
def void_other_rights(event: account_events.CapabilityChanged, *, meta: Envelope) -> None:
    """What else was proposed on the same base can't be granted any more."""
    row_type, row_id = _base(event)
    if event.user_id is None:
        version = AccessPolicy.objects.get(pk=row_id).version
    else:
        version = User.objects.get(pk=row_id).rights_version
    services.mark_stale(actor=SYSTEM, row_type=row_type, row_id=row_id, version=version)


@handles(account_events.CapabilityChangeWithdrawn)
def withdraw_rights(event: account_events.CapabilityChangeWithdrawn, *, meta: Envelope) -> None:
    """The proposer took it back in the accounts' own screen."""
    for request in ApprovalRequest.objects.pending().filter(
        kind=services.CAPABILITY_CHANGE.name, subject_id=event.change_id
    ):
        services.withdraw(request, actor=SYSTEM)


@handles(events.ApprovalGranted)
def apply_rights(event: events.ApprovalGranted, *, meta: Envelope) -> None:
    """Have accounts make the change, as SYSTEM on behalf of maker and deciders; once, and only on its base."""
    if event.kind != services.CAPABILITY_CHANGE.name:
        return
    request = ApprovalRequest.objects.get(pk=event.approval_id)
    change = CapabilityChange.objects.get(pk=event.subject_id)
    try:
        change = accounts.apply_capability_change(change, actor=SYSTEM, approval_id=request.pk)
    except DomainError:  # nothing was changed: rules or rows stand against it by now
        if change.status == CapabilityChange.Status.PROPOSED:
            change = accounts.stale_capability_change(change, actor=SYSTEM, approval_id=request.pk)
    applied = change.status == CapabilityChange.Status.APPLIED
    services.report(request, actor=SYSTEM, outcome="applied" if applied else "stale")


_ENDED = {
    "approval.refused": accounts.refuse_capability_change,
    "approval.expired": accounts.expire_capability_change,
    "approval.staled": accounts.stale_capability_change,
}


@handles(events.ApprovalRefused, events.ApprovalExpired, events.ApprovalStaled, events.ApprovalWithdrawn)
def end_rights(event: events.Head, *, meta: Envelope) -> None:
    """Tell accounts that its proposal came to nothing."""
    if event.kind != services.CAPABILITY_CHANGE.name:
        return
    change = CapabilityChange.objects.get(pk=event.subject_id)
    if change.status != CapabilityChange.Status.PROPOSED:
        return
    if isinstance(event, events.ApprovalWithdrawn):
        accounts.withdraw_capability_change(change, actor=SYSTEM)
    else:
        _ENDED[event.__event__.name](change, actor=SYSTEM, approval_id=event.approval_id)


def _base(event: Any) -> tuple[str, UUID]:
    """The row on whose version a change of rights builds: the matrix, or the user (its rights version)."""
    return ("user", event.user_id) if event.user_id is not None else ("access_policy", AccessPolicy.ONLY)


# --- What people are told ---------------------------------------------------------------------------


@handles(events.ApprovalRequested, events.ApprovalEscalated)
def tell_deciders(event: events.Head, *, meta: Envelope) -> None:
    """Whoever may decide learns that a request waits."""
    request = ApprovalRequest.objects.get(pk=event.approval_id)
    for person in request.possible_deciders():
        notifications.notify(
            actor=SYSTEM,
            notice=notices.WAITING,
            event_id=meta.event_id,
            user=person,
            context={"approval_id": str(request.pk)},
            not_after=request.expires_at,
        )


@handles(
    events.ApprovalGranted,
    events.ApprovalRefused,
    events.ApprovalExpired,
    events.ApprovalStaled,
)
def tell_maker(event: events.Head, *, meta: Envelope) -> None:
    """Whoever asked learns how it ended, unless they ended it themselves."""
    request = ApprovalRequest.objects.get(pk=event.approval_id)
    if request.maker is not None and request.maker_id != event.by:
        notifications.notify(
            actor=SYSTEM,
            notice=notices.DECIDED,
            event_id=meta.event_id,
            user=request.maker,
            context={"approval_id": str(request.pk)},
        )
