"""Questions about places that a user waits for."""

import math
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from uuid import UUID

from django.utils import timezone

from apps.locations.models import Distance, Location
from apps.locations.models.places import EARTH_KM
from erp.errors import Fault, Invalid, RuleBroken

TENTH: Final = Decimal("0.1")


class NoCoordinates(RuleBroken):
    """One of the places has no coordinates."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """How far it is from one place to another."""

    from_id: UUID
    to_id: UUID
    mode: str
    great_circle_km: Decimal
    km: Decimal | None = None
    transit_days: int | None = None
    source: str | None = None
    valid_from: date | None = None


def great_circle_km(origin: tuple[Decimal, Decimal], destination: tuple[Decimal, Decimal]) -> Decimal:
    """Haversine distance of two (latitude, longitude) in km, one decimal."""
    (south, west), (north, east) = ((math.radians(x) for x in point) for point in (origin, destination))
    half = math.sin((north - south) / 2) ** 2
    half += math.cos(south) * math.cos(north) * math.sin((east - west) / 2) ** 2
    km = 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
    return Decimal(repr(km)).quantize(TENTH, ROUND_HALF_UP)


def distance(origin: UUID, destination: UUID, mode: str) -> Stretch:
    """How far it is between two places: along the great circle, and by road or rail where that is known.

    Raises Invalid for an id that isn't there, NoCoordinates.
    """
    start, end = _place(origin, "/query/from"), _place(destination, "/query/to")
    if start == end:
        return Stretch(start.pk, end.pk, mode, Decimal("0.0"))
    known = _known(start, end, mode) or _known(end, start, mode)
    told = (known.km, known.transit_days, known.source, known.valid_from) if known else ()
    return Stretch(start.pk, end.pk, mode, great_circle_km(_point(start), _point(end)), *told)


def _point(place: Location) -> tuple[Decimal, Decimal]:
    if place.latitude is None or place.longitude is None:
        raise NoCoordinates(f"{place.name} has no coordinates.")
    return place.latitude, place.longitude


def _place(pk: UUID, pointer: str) -> Location:
    try:
        return Location.objects.resolve(pk)
    except Location.DoesNotExist:
        words = "There is no such row, or none that you can see."
        raise Invalid(errors=[Fault(pointer, "does_not_exist", words)]) from None


def _known(origin: Location, destination: Location, mode: str) -> Distance | None:
    rows = Distance.objects.filter(
        origin=origin, destination=destination, mode=mode, valid_from__lte=timezone.localdate()
    )
    found: Distance | None = rows.order_by("-valid_from").first()
    return found
