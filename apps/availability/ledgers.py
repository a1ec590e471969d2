"""Sums that ``verify_ledger`` recomputes."""

from collections.abc import Iterator

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from apps.availability.models import Availability, Reservation, quantity_field
from erp.ledgers import Mismatch, register

_RESERVED = Q(reservations__status__in=[Reservation.Status.HELD, Reservation.Status.IN_TRADE])


def _offers() -> Iterator[Mismatch]:
    offers = Availability.objects.annotate(
        reserved=Coalesce(
            Sum("reservations__open_quantity", filter=_RESERVED), 0, output_field=quantity_field()
        )
    )
    for offer in offers.exclude(reserved=F("reserved_quantity")).order_by("pk").iterator():
        yield Mismatch(
            str(offer.pk),
            f"{offer.number}: {offer.reserved_quantity} reserved, but its reservations add up to {offer.reserved}",
            {"reserved_quantity": offer.reserved_quantity, "reservations": offer.reserved},
        )


register(
    "availability.reservations",
    "offers whose reservations add up",
    rows=lambda: Availability.objects.count(),
    mismatches=_offers,
)
