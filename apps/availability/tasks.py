"""Periodic work on offers."""

from celery import shared_task

from apps.availability import services
from apps.availability.models import Availability, Reservation
from erp import clock
from erp.access import SYSTEM


@shared_task
def expire_reservations() -> int:
    """End reservations past their deadline, one offer at a time; returns the number of offers touched."""
    due = (
        Reservation.objects.overdue(clock.now())
        .order_by("expires_at", "pk")
        .values_list("availability_id", flat=True)[: services.CHUNK]
    )
    offers = list(dict.fromkeys(due))
    for offer in Availability.objects.filter(pk__in=offers):
        services.expire_reservations(offer, actor=SYSTEM)
    return len(offers)
