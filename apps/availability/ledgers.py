"""Sums that ``verify_ledger`` recomputes."""

from collections.abc import Iterator

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from apps.availability.models import Availability, Reservation, quantity_field
from erp.ledgers import Mismatch, register

_RESERVED = Q(reservations__status__in=[Reservation.Status.HELD, Reservation.Status.IN_TRADE])
_SOLD = Q(reservations__status=Reservation.Status.SOLD)


def _sum(condition: Q) -> Coalesce:
    return Coalesce(Sum("reservations__open_quantity", filter=condition), 0, output_field=quantity_field())


def find_mismatches() -> Iterator[Mismatch]:
    """Offers whose reserved or sold quantity isn't that of their reservations."""
    offers = Availability.objects.annotate(reserved=_sum(_RESERVED), sold=_sum(_SOLD))
    differs = ~Q(reserved=F("reserved_quantity")) | ~Q(sold=F("sold_quantity"))
    for offer in offers.filter(differs).order_by("pk").iterator():
        yield Mismatch(
            str(offer.pk),
            f"{offer.number}: {offer.reserved_quantity} reserved and {offer.sold_quantity} sold, but its reservations "
            f"add up to {offer.reserved} and {offer.sold}",
            {
                "reserved_quantity": offer.reserved_quantity,
                "reserved": offer.reserved,
                "sold_quantity": offer.sold_quantity,
                "sold": offer.sold,
            },
        )


register(
    "availability.reservations",
    "offers whose reservations add up",
    rows=lambda: Availability.objects.count(),
    mismatches=find_mismatches,
)
