"""Periodic tasks, requests for modules below, and notifications of approvers and requesters."""

from collections.abc import Iterator

import structlog
from celery import shared_task
from django.apps import apps
from django.db.models import Count, Min
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.accounts.models import User
from apps.approvals import events, notices, services
from apps.approvals.models import ApprovalQuestion, ApprovalRequest
from apps.notifications import services as notifications
from apps.notifications.models import Notice
from erp import clock, metrics
from erp.access import SYSTEM
from erp.approvals import kinds
from erp.events import Event
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

_PENDING = ApprovalRequest.Status.PENDING

log = structlog.get_logger(__name__)


def pending_requests() -> Iterator[Metric]:
    """Number of pending requests and age of the oldest, by kind."""
    queue = GaugeMetricFamily("erp_approval_queue", "Pending approval requests.", labels=["kind"])
    age = GaugeMetricFamily("erp_approval_age_seconds", "Age of the oldest pending request.", labels=["kind"])
    now = clock.now()
    pending = ApprovalRequest.objects.pending().values("kind").order_by("kind")
    for line in pending.annotate(number=Count("pk"), since=Min("created_at")):
        queue.add_metric([line["kind"]], line["number"])
        age.add_metric([line["kind"]], (now - line["since"]).total_seconds())
    yield queue
    yield age


metrics.of_modules.append(pending_requests)


@shared_task
def expire_overdue() -> int:
    """End expired and stale requests, each in its own transaction; return how many."""
    ended = 0
    for request in list(ApprovalRequest.objects.pending().order_by("pk")):
        try:
            ended += services.expire(request, actor=SYSTEM).status != _PENDING
        except Exception:
            log.exception("approval_not_ended", approval_id=str(request.pk))
    return ended


@handles(*(kind.opened_by for kind in kinds.values() if kind.opened_by is not None))
def open_request(event: Event, *, meta: Envelope) -> None:
    """Open a request for what a module below proposed."""
    for kind in kinds.values():
        if kind.opened_by is type(event) and kind.describe is not None:
            subject = apps.get_model(kind.model)._default_manager.get(pk=event.aggregate_id)
            description = kind.describe(subject)
            if description is not None:
                services.request(
                    actor=SYSTEM,
                    kind=kind,
                    subject_id=subject.pk,
                    subject_version=kind.version_of(subject),
                    **description,
                )


@handles(*(kind.closed_by for kind in kinds.values() if kind.closed_by is not None))
def withdraw_request(event: Event, *, meta: Envelope) -> None:
    """Withdraw the request for a proposal that its module withdrew."""
    names = [kind.name for kind in kinds.values() if kind.closed_by is type(event)]
    for request in ApprovalRequest.objects.pending().filter(kind__in=names, subject_id=event.aggregate_id):
        services.withdraw(request, actor=SYSTEM)


@handles(events.ApprovalRequested, events.ApprovalEscalated)
def notify_approvers(event: events.ApprovalEvent, *, meta: Envelope) -> None:
    """Notify everybody who may decide on the request."""
    request = ApprovalRequest.objects.get(pk=event.approval_id)
    for person in [] if _is_decided_elsewhere(request) else request.possible_deciders():
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
def notify_requester(event: events.ApprovalEvent, *, meta: Envelope) -> None:
    """Notify the requester of the outcome, unless they ended the request themselves."""
    request = ApprovalRequest.objects.get(pk=event.approval_id)
    if request.maker is not None and request.maker_id != event.by and not _is_decided_elsewhere(request):
        notifications.notify(
            actor=SYSTEM,
            notice=notices.DECIDED,
            event_id=meta.event_id,
            user=request.maker,
            context={"approval_id": str(request.pk)},
        )


@handles(events.ApprovalQuestioned)
def notify_of_question(event: events.ApprovalQuestioned, *, meta: Envelope) -> None:
    """Notify the requester of a question."""
    _notify(notices.QUESTIONED, event, meta, ApprovalRequest.objects.get(pk=event.approval_id).maker)


@handles(events.ApprovalAnswered)
def notify_of_answer(event: events.ApprovalAnswered, *, meta: Envelope) -> None:
    """Notify whoever asked last."""
    question = ApprovalQuestion.objects.filter(request_id=event.approval_id).latest("created_at")
    _notify(notices.ANSWERED, event, meta, question.asked_by)


def _notify(notice: Notice, event: events.ApprovalEvent, meta: Envelope, user: User | None) -> None:
    if user is not None:
        notifications.notify(
            actor=SYSTEM,
            notice=notice,
            event_id=meta.event_id,
            user=user,
            context={"approval_id": str(event.approval_id)},
        )


def _is_decided_elsewhere(request: ApprovalRequest) -> bool:
    """Whether the subject's module has its own queue and notices for the request."""
    return request.kind in kinds and kinds[request.kind].decided_at == "module"
