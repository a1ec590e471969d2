"""Periodic work on offers, and what other modules' events do to them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task

from apps.availability.models import Availability, Reservation
from apps.availability.services import decisions, stock
from apps.partners.events import PartnerReactivated, PartnerSuspended
from apps.partners.models import Partner
from erp import clock
from erp.access import SYSTEM
from erp.errors import DomainError
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK = 500  # rows of one run of a sweep

log = structlog.get_logger(__name__)


@shared_task
def expire_reservations() -> int:
    """End reservations past their deadline, one offer at a time; returns the number of offers touched."""
    due = (
        Reservation.objects.overdue(clock.now())
        .order_by("expires_at", "pk")
        .values_list("availability_id", flat=True)[:CHUNK]
    )
    return _each(list(dict.fromkeys(due)), stock.expire_reservations)


@shared_task
def expire_offers() -> int:
    """End offers past their deadline, or carry them forward; returns how many were touched."""
    due = Availability.objects.due(clock.now()).order_by("expires_at", "pk")
    return _each(list(due.values_list("pk", flat=True)[:CHUNK]), decisions.expire)


def _each(keys: list[UUID], run: Callable[..., Any]) -> int:
    """Run a service on each offer, in a transaction each: one that fails keeps no other from its end."""
    for key in keys:
        offer = Availability.objects.get(pk=key)
        try:
            run(offer, actor=SYSTEM)
        except DomainError as problem:
            log.warning("sweep_skipped", row=str(key), code=problem.code)
    return len(keys)


@handles(PartnerSuspended)
def suspend_offers(event: PartnerSuspended, *, meta: Envelope) -> None:
    """Suspend the offers of a suspended partner, and end what it holds of others."""
    live = (Availability.Status.ACTIVE, Availability.Status.PENDING_APPROVAL, Availability.Status.SUSPENDED)
    offers = Availability.objects.filter(seller_partner_id=event.partner_id, status__in=live).order_by("pk")
    for offer in offers.exclude(suspended_for__contains=["partner"]):
        decisions.suspend(offer, actor=SYSTEM, reason="The seller is suspended.", cause="partner")
    partner = Partner.objects.get(pk=event.partner_id)
    held = Reservation.objects.filter(holder_partner=partner, status=Reservation.Status.HELD)
    for offer in Availability.objects.filter(pk__in=held.values("availability_id")).order_by("pk"):
        stock.release_for_partner(offer, actor=SYSTEM, partner=partner)


@handles(PartnerReactivated)
def reactivate_offers(event: PartnerReactivated, *, meta: Envelope) -> None:
    """Put the offers of a partner back that were suspended with it."""
    suspended = Availability.objects.filter(
        seller_partner_id=event.partner_id,
        status=Availability.Status.SUSPENDED,
        suspended_for__contains=["partner"],
    )
    for offer in suspended.order_by("pk"):
        decisions.reactivate(offer, actor=SYSTEM, cause="partner")
