"""Periodic work on requirements, and what they follow of other modules."""

from collections.abc import Iterator
from typing import Final

import structlog
from celery import shared_task
from django.db.models import Count, Min
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.notifications import services as notifications
from apps.partners import events as partner_events
from apps.requirement import events, notices
from apps.requirement.models import Requirement, Suggestion
from apps.requirement.relaxing import RELAX
from apps.requirement.services import decisions, statistics, suggestions
from erp import clock, metrics
from erp.access import SYSTEM
from erp.ai import asking
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK: Final = 500  # rows of one sweep
OPINIONS: Final = 20
PARTNER: Final = "partner"

log = structlog.get_logger(__name__)


def requirements_overdue() -> Iterator[Metric]:
    """How many requirements are past their end, and how long the first has been; the sweep ends them each minute."""
    now = clock.now()
    due = Requirement.objects.due(now).aggregate(number=Count("pk"), since=Min("expires_at"))
    yield GaugeMetricFamily(
        "erp_requirements_overdue_seconds",
        "How long the first requirement past its end has waited for the sweep.",
        value=0 if due["since"] is None else (now - due["since"]).total_seconds(),
    )


metrics.of_modules.append(requirements_overdue)


@shared_task
def expire_requirements() -> int:
    """End or carry forward requirements past their time, each in its own transaction; return how many."""
    due = Requirement.objects.due(clock.now()).order_by("expires_at", "pk")
    ended = 0
    for requirement in list(due[:CHUNK]):
        try:
            decisions.expire(requirement, actor=SYSTEM)
            ended += 1
        except Exception:
            log.exception("requirement_not_expired", requirement_id=str(requirement.pk))
    return ended


@shared_task
def compute_demand() -> int:
    """Compute the statistics of demand anew."""
    return int(statistics.compute_demand(actor=SYSTEM))


@shared_task
def ask_opinions() -> int:
    """Ask a remote model about open suggestions, outside transactions; return how many opinions were recorded."""
    recorded = 0
    for suggestion in list(
        Suggestion.objects.opinion_due(clock.now()).select_related("requirement")[:OPINIONS]
    ):
        question = suggestions.question_of(suggestion.requirement, suggestion.scope, suggestion.keep)
        found = asking.ask(RELAX, question, actor=suggestion.created_by or SYSTEM)
        opinion = None
        if not found.degraded and found.value is not None and found.provider != asking.BUILT_IN:
            opinion = {
                "options": found.value.model_dump(mode="json")["options"],
                "confidence": str(found.confidence),
                "model": found.model,
            }
            recorded += 1
        suggestions.record_opinion(suggestion, actor=SYSTEM, opinion=opinion, provider=found.provider)
    return recorded


@handles(partner_events.PartnerSuspended)
def suspend_requirements(event: partner_events.PartnerSuspended, *, meta: Envelope) -> None:
    """Suspend the open requirements of a suspended partner."""
    rows = Requirement.objects.filter(buyer_partner_id=event.partner_id, status__in=Requirement.OPEN)
    for requirement in rows.order_by("pk"):
        decisions.suspend(requirement, actor=SYSTEM, reason="The buyer is suspended.", cause=PARTNER)


@handles(partner_events.PartnerReactivated)
def reactivate_requirements(event: partner_events.PartnerReactivated, *, meta: Envelope) -> None:
    """Reactivate what the suspension of a partner had suspended."""
    rows = Requirement.objects.filter(
        buyer_partner_id=event.partner_id,
        status=Requirement.Status.SUSPENDED,
        suspended_for__contains=[PARTNER],
    )
    for requirement in rows.order_by("pk"):
        decisions.reactivate(requirement, actor=SYSTEM, cause=PARTNER)


@handles(
    events.RequirementApproved,
    events.RequirementRejected,
    events.RequirementSuspended,
    events.RequirementExpired,
    events.RequirementFulfilled,
)
def notify_buyer(event: events.Head, *, meta: Envelope) -> None:
    """Notify the author of a requirement of what became of it."""
    requirement = Requirement.objects.select_related("created_by").get(pk=event.requirement_id)
    if requirement.created_by is not None and requirement.created_by.partner_id == event.buyer_partner_id:
        notifications.notify(
            actor=SYSTEM,
            notice=notices.STATUS,
            event_id=meta.event_id,
            user=requirement.created_by,
            context={"requirement_id": str(requirement.pk), "status": event.status},
        )
