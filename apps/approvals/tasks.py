"""Periodic work on requests, and what people are told of them."""

from celery import shared_task
from django.utils import timezone

from apps.approvals import events, notices, services
from apps.approvals.models import ApprovalRequest
from apps.notifications import services as notifications
from erp.access import SYSTEM
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK = 500  # rows of one sweep


@shared_task
def expire_overdue() -> int:
    """End requests past their time, each in a transaction of its own; returns their number."""
    due = list(ApprovalRequest.objects.overdue(timezone.now()).order_by("expires_at", "pk")[:CHUNK])
    for request in due:
        services.expire(request, actor=SYSTEM)
    return len(due)


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
