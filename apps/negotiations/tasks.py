"""Periodic work on negotiations, and what they follow of other modules."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final
from uuid import UUID

from celery import shared_task
from django.core.cache import cache
from django.db import transaction
from django.db.models import Min
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.accounts.models import User
from apps.availability import events as offer_events
from apps.matching import events as match_events
from apps.negotiations import capabilities, events, notices
from apps.negotiations.models import Negotiation, Side
from apps.negotiations.services import decisions
from apps.notifications import services as notifications
from apps.notifications.models import Notice
from apps.partners import events as partner_events
from apps.requirement import events as requirement_events
from erp import access, clock, metrics, sweeps
from erp.access import SYSTEM
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK, CHUNKS = 200, 50  # rows taken at once, and how often in one run
WAKE: Final = 3  # seconds in which events start one run together


def negotiations_overdue() -> Iterator[Metric]:
    """How long the first negotiation past its end has waited; the sweep ends them each minute."""
    now = clock.now()
    since = Negotiation.objects.due(now).order_by().aggregate(since=Min("expires_at"))["since"]
    yield GaugeMetricFamily(
        "erp_negotiations_overdue_seconds",
        "How long the first negotiation past its end has waited for the sweep.",
        value=0 if since is None else (now - since).total_seconds(),
    )


metrics.of_modules.append(negotiations_overdue)


@shared_task
def expire_negotiations() -> int:
    """End negotiations and lapse offers past their time, the first due first, each in its own transaction.

    What another worker is ending at this moment is skipped, and the services look again under the lock.
    """
    now = clock.now()
    due, lapsed = Negotiation.objects.due(now), Negotiation.objects.with_lapsed_offer(now)
    return _each(due, decisions.expire) + _each(lapsed, decisions.lapse)


def _each(rows: Any, step: Any) -> int:
    """Take a step with every row, chunk by chunk: rows that fail hold up no other, and wait for the next run."""
    done = 0
    seen: list[UUID] = []
    for _ in range(CHUNKS):
        chunk = _free(rows.exclude(pk__in=seen))
        if not chunk:
            break
        seen += [row.pk for row in chunk]
        done += sweeps.each(chunk, partial(step, actor=SYSTEM))
    return done


def _free(rows: Any) -> list[Negotiation]:
    """A chunk of the rows, without those that somebody has locked."""
    with transaction.atomic():
        return list(rows.select_for_update(no_key=True, skip_locked=True, of=("self",))[:CHUNK])


@shared_task
def close_negotiations() -> int:
    """Close negotiations that can't go on, and note reservations that are gone; return how many.

    What there is to do follows from the listings, partners, matches and reservations, so the next run makes good what
    failed in one.
    """
    now = clock.now()
    lost = _each(Negotiation.objects.without_hold(now), decisions.lose_hold)
    return lost + _each(Negotiation.objects.to_close(now), decisions.close)


@handles(
    offer_events.AvailabilityCancelled,
    offer_events.AvailabilityExpired,
    offer_events.AvailabilityRejected,
    offer_events.AvailabilityReleased,
    requirement_events.RequirementCancelled,
    requirement_events.RequirementExpired,
    requirement_events.RequirementFulfilled,
    requirement_events.RequirementRejected,
    partner_events.PartnerSuspended,
    match_events.MatchConverted,
    match_events.MatchSuperseded,
    match_events.MatchExpired,
)
def start_closing(event: object, *, meta: Envelope) -> None:
    """Have the sweep close soon what can't go on, once for many events; what it misses the next run finds."""
    transaction.on_commit(_wake, robust=True)


def _wake() -> None:
    if cache.add("negotiation:closing", "started", WAKE):
        close_negotiations.apply_async(countdown=WAKE, expires=60, retry=False)


# Notices


@handles(events.NegotiationOfferMade)
def notify_of_offer(event: events.NegotiationOfferMade, *, meta: Envelope) -> None:
    """Notify the other side of an offer."""
    row = Negotiation.objects.get(pk=event.negotiation_id)
    _notify(row, Side(event.side).other, notices.OFFER, meta.event_id, offer_id=str(event.offer_id))


@handles(
    events.NegotiationAccepted,
    events.NegotiationRejected,
    events.NegotiationWithdrawn,
    events.NegotiationExpired,
)
def notify_of_end(event: events.Head, *, meta: Envelope) -> None:
    """Notify the sides that didn't end the negotiation themselves."""
    row = Negotiation.objects.get(pk=event.negotiation_id)
    for side in Side:
        if side != row.closed_by:
            _notify(row, side, notices.ENDED, meta.event_id)


def _notify(row: Negotiation, side: Side, notice: Notice, event_id: UUID, **context: str) -> None:
    people = User.objects.filter(partner_id=row.partner_on(side).pk, status=User.Status.ACTIVE)
    for person in people.order_by("pk"):
        if access.may(person, capabilities.TAKE_PART, row):
            notifications.notify(
                actor=SYSTEM, notice=notice, event_id=event_id, user=person,
                context={"negotiation_id": str(row.pk), **context},
            )  # fmt: skip
