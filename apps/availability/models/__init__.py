"""Offers, their parts, and the reservations on them."""

from apps.availability.models.base import KG, Stage, price_field, quantity_field
from apps.availability.models.offers import Availability, PriceStep, band
from apps.availability.models.parts import (
    Disclosure,
    Invitation,
    Lot,
    MarketCalendar,
    Media,
    QualityValue,
    TestReport,
)
from apps.availability.models.reservations import Reservation

__all__ = [
    "KG",
    "Availability",
    "Disclosure",
    "Invitation",
    "Lot",
    "MarketCalendar",
    "Media",
    "PriceStep",
    "QualityValue",
    "Reservation",
    "Stage",
    "TestReport",
    "band",
    "price_field",
    "quantity_field",
]
