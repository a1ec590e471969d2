"""Distances on the globe."""

import math
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

EARTH_KM: Final = 6371.0088  # mean radius (IUGG)
Point = tuple[Decimal, Decimal]  # latitude and longitude in degrees


def haversine_km(south: float, west: float, north: float, east: float) -> float:
    """Return the great-circle distance in km of two points in degrees."""
    south, west, north, east = map(math.radians, (south, west, north, east))
    half = math.sin((north - south) / 2) ** 2
    half += math.cos(south) * math.cos(north) * math.sin((east - west) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def great_circle_km(origin: Point, destination: Point) -> Decimal:
    """Return the great-circle distance in km, one decimal."""
    return tenth(haversine_km(*map(float, (*origin, *destination))))


def tenth(km: float) -> Decimal:
    """Round kilometres to one decimal, half up."""
    return Decimal(repr(km)).quantize(Decimal("0.1"), ROUND_HALF_UP)
