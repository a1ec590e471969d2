"""Periodic work on requirements, and what they follow of other modules."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import structlog
from celery import shared_task
from django.core.cache import cache
from django.db import transaction
from django.db.models import Count, Min
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.availability.models import Availability, Reservation
from apps.availability.services import stock
from apps.locations.events import LocationMerged
from apps.notifications import services as notifications
from apps.partners import events as partner_events
from apps.requirement import events, notices
from apps.requirement.models import Requirement, Suggestion
from apps.requirement.relaxing import RELAX
from apps.requirement.services import decisions, statistics, suggestions
from erp import clock, metrics, sweeps
from erp.access import SYSTEM, Actor
from erp.ai import asking
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK: Final = 500  # rows of one sweep
OPINIONS: Final = 20
CLAIMED: Final = 3_600  # seconds until another worker may ask for an opinion that was never recorded

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
    return sweeps.each(
        Requirement.objects.due(clock.now()).order_by("expires_at", "pk")[:CHUNK],
        partial(decisions.expire, actor=SYSTEM),
    )


@shared_task
def compute_demand() -> int:
    """Compute the statistics of demand anew."""
    return int(statistics.compute_demand(actor=SYSTEM))


@shared_task
def ask_opinions() -> int:
    """Ask a remote model about open suggestions, outside transactions; return how many were asked about."""
    due = Suggestion.objects.opinion_due(clock.now()).select_related("requirement")[:OPINIONS]
    return sweeps.each(due, partial(_ask_opinion, actor=SYSTEM))


def _ask_opinion(suggestion: Suggestion, *, actor: Actor) -> None:
    if not cache.add(f"requirement:opinion:{suggestion.pk}", "claimed", CLAIMED):
        return  # another worker asks: a question may cost
    requirement = suggestion.requirement
    question = suggestions.question_of(requirement, suggestion.scope, suggestion.keep)
    found = asking.ask(
        RELAX, question, actor=suggestion.created_by or actor, for_partner=requirement.buyer_partner_id
    )
    opinion = None
    if not found.degraded and found.value is not None and found.provider != asking.BUILT_IN:
        opinion = {
            "options": found.value.model_dump(mode="json")["options"],
            "confidence": str(found.confidence),
            "model": found.model,
        }
    suggestions.record_opinion(suggestion, actor=actor, opinion=opinion, provider=found.provider)


@handles(partner_events.PartnerSuspended, partner_events.PartnerReactivated)
def start_following(
    event: partner_events.PartnerSuspended | partner_events.PartnerReactivated, *, meta: Envelope
) -> None:
    """Have the sweep follow the partner's standing at once; what it misses the next run finds."""
    transaction.on_commit(lambda: follow_partners.apply_async(retry=False), robust=True)


@handles(LocationMerged)
def start_following_places(event: LocationMerged, *, meta: Envelope) -> None:
    """Have the sweep follow the place at once."""
    transaction.on_commit(lambda: follow_places.apply_async(retry=False), robust=True)


@shared_task
def follow_places() -> int:
    """Move delivery places from merged places to those that they became; return how many requirements."""
    rows = Requirement.objects.at_merged_places().order_by("pk")
    done = sweeps.each(rows[:CHUNK], partial(decisions.follow_places, actor=SYSTEM))
    if done == CHUNK:
        follow_places.apply_async(retry=False)
    return done


@handles(events.RequirementCancelled, events.RequirementExpired)
def start_releasing(
    event: events.RequirementCancelled | events.RequirementExpired, *, meta: Envelope
) -> None:
    """Have the sweep release at once what is reserved for a requirement that has ended."""
    transaction.on_commit(lambda: release_reservations.apply_async(retry=False), robust=True)


@shared_task
def follow_partners() -> int:
    """Suspend the open requirements of suspended buyers, and put back those of active ones; return how many.

    What there is to do follows from the standing of the partners, so the next run makes good what failed in one.
    """
    cause = Requirement.FOR_PARTNER
    suspend = partial(decisions.suspend, actor=SYSTEM, reason="The buyer is suspended.", cause=cause)
    done = sweeps.each(Requirement.objects.to_suspend().order_by("pk")[:CHUNK], suspend)
    return done + sweeps.each(
        Requirement.objects.to_reactivate().order_by("pk")[:CHUNK],
        partial(decisions.reactivate, actor=SYSTEM, cause=cause),
    )


@shared_task
def release_reservations() -> int:
    """Release what is reserved for requirements that were cancelled or have expired; return how many offers."""
    ended = Requirement.objects.ended().values("pk")
    held = Reservation.objects.filter(status=Reservation.Status.HELD, requirement_id__in=ended).unprotected()
    pairs = held.order_by("availability_id", "requirement_id").values_list("availability", "requirement_id")
    return sum(
        sweeps.each(
            Availability.objects.filter(pk=offer_id),
            partial(stock.release_for_requirement, actor=SYSTEM, requirement_id=requirement_id),
        )
        for offer_id, requirement_id in list(pairs.distinct()[:CHUNK])
    )


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
