"""Events of offers and reservations. Each carries the head of its offer."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from apps.availability import capabilities
from apps.partners.pseudonyms import veil
from erp.events import ALL, EVERYONE, DecimalText, Event, Quantity, event, rows_of

rows_of("availability", model="availability.Availability", reads=capabilities.VIEW, veil=veil)
rows_of("market_calendar", model="availability.MarketCalendar", reads=capabilities.VIEW)


class Head(Event):
    """Fields of the offer that every event carries."""

    availability_id: UUID
    seller_partner_id: UUID
    commodity_id: UUID
    status: str
    terms_version: int


OFFER = ("availability", "availability_id")
HEAD = ("commodity_id", "status", "terms_version")
PUBLIC = ("commodity_id", "status")  # what everybody sees of an offer
# Neither seller nor holder learns the other's name, and the seller doesn't learn which reservation it is.
SELLER, HOLDER = "seller_partner_id", "holder_partner_id"


def _of_seller(name: str, **more: Any) -> Any:
    return event(f"availability.{name}", version=1, aggregate=OFFER, readers={SELLER: ALL, **more})


@_of_seller("created")
class AvailabilityCreated(Head):
    variety_id: UUID | None
    crop_year: str | None
    location_id: UUID | None
    state_code: str
    quantity: Quantity
    weight_kg: DecimalText
    unit_price: DecimalText | None
    currency: str
    visibility: str
    available_from_date: date
    available_until_date: date | None


@_of_seller("submitted")
class AvailabilitySubmitted(Head):
    cause: str
    thresholds: list[str]
    estimated_value: DecimalText | None
    currency: str
    price_flag: str | None
    approval_id: UUID | None


@_of_seller("updated")
class AvailabilityUpdated(Head):
    changed: list[str]


@_of_seller("price_changed")
class AvailabilityPriceChanged(Head):
    old: DecimalText | None
    new: DecimalText | None
    currency: str
    percent: DecimalText | None


@_of_seller("quantity_changed")
class AvailabilityQuantityChanged(Head):
    old_total: Quantity
    new_total: Quantity
    available: Quantity


@_of_seller("visibility_changed")
class AvailabilityVisibilityChanged(Head):
    old: str
    new: str
    invited_count: int


@_of_seller("test_report_added")
class AvailabilityTestReportAdded(Head):
    report_id: UUID
    lot_no: str | None
    parameters: list[str]
    governing: bool


@_of_seller("test_report_verified")
class AvailabilityTestReportVerified(Head):
    report_id: UUID


@_of_seller("media_prepared")
class AvailabilityMediaPrepared(Head):
    media_id: UUID
    readable: bool


@_of_seller("media_cleared")
class AvailabilityMediaCleared(Head):
    media_id: UUID


@_of_seller("approved", **{EVERYONE: [*PUBLIC, "expires_at"]})
class AvailabilityApproved(Head):
    approval_id: UUID | None
    listed_at: datetime
    expires_at: datetime | None
    visibility: str


@_of_seller("rejected")
class AvailabilityRejected(Head):
    reason_code: str


@_of_seller("cancelled")
class AvailabilityCancelled(Head):
    reason_code: str
    withdrawn: Quantity


@_of_seller("extended")
class AvailabilityExtended(Head):
    old_expires_at: datetime | None
    new_expires_at: datetime | None
    cause: str


@_of_seller("expired")
class AvailabilityExpired(Head):
    withdrawn: Quantity


@_of_seller("suspended")
class AvailabilitySuspended(Head):
    cause: str


@_of_seller("reactivated")
class AvailabilityReactivated(Head):
    cause: str


@event(
    "availability.reserved",
    version=1,
    aggregate=OFFER,
    readers={
        SELLER: [*HEAD, "quantity", "remaining", "weight_kg", "unit_price", "currency", "expires_at"],
        HOLDER: [
            *HEAD,
            "reservation_id",
            "requirement_id",
            "match_id",
            "negotiation_id",
            "quantity",
            "remaining",
            "weight_kg",
            "unit_price",
            "currency",
            "expires_at",
        ],
    },
)
class AvailabilityReserved(Head):
    reservation_id: UUID
    holder_partner_id: UUID
    requirement_id: UUID | None
    match_id: UUID | None
    negotiation_id: UUID | None
    quantity: Quantity
    remaining: Quantity
    weight_kg: DecimalText
    unit_price: DecimalText | None
    currency: str
    expires_at: datetime


@event(
    "availability.released",
    version=1,
    aggregate=OFFER,
    readers={
        SELLER: [*HEAD, "quantity", "remaining", "reason"],
        # Not what remains: with its last reservation the holder no longer sees the exact quantity.
        HOLDER: [*HEAD, "reservation_id", "quantity", "open_quantity", "reason"],
    },
)
class AvailabilityReleased(Head):
    reservation_id: UUID
    holder_partner_id: UUID
    requirement_id: UUID | None
    quantity: Quantity
    open_quantity: Quantity
    remaining: Quantity
    reason: str


@event(
    "availability.reservation_refused",
    version=1,
    aggregate=OFFER,
    readers={HOLDER: [*HEAD, "reason"]},
)
class AvailabilityReservationRefused(Head):
    holder_partner_id: UUID
    reason: str


class OfReservation(Head):
    """Fields of the reservation that backs a deal."""

    reservation_id: UUID
    holder_partner_id: UUID
    quantity: Quantity


def _of_deal(name: str, *members: str) -> Any:
    """Events of a reservation behind a deal: ``members`` are what both sides read beside the quantity."""
    both = [*HEAD, "quantity", *members]
    return event(
        f"availability.{name}", version=1, aggregate=OFFER,
        readers={SELLER: both, HOLDER: [*both, "reservation_id"]},
    )  # fmt: skip


@_of_deal("hold_bound", "negotiation_id", "expires_at")
class AvailabilityHoldBound(OfReservation):
    negotiation_id: UUID
    expires_at: datetime


@_of_deal("hold_extended", "expires_at")
class AvailabilityHoldExtended(OfReservation):
    expires_at: datetime


@_of_deal("committed", "trade_id", "unit_price", "currency")
class AvailabilityCommitted(OfReservation):
    trade_id: UUID
    unit_price: DecimalText
    currency: str


@_of_deal("sold", "trade_id", "price", "currency")
class AvailabilitySold(OfReservation):
    trade_id: UUID
    price: DecimalText | None
    currency: str
    remaining: Quantity


@_of_deal("returned", "trade_id", "to")
class AvailabilityReturned(OfReservation):
    trade_id: UUID
    to: str


@_of_deal("sale_closed", "trade_id")
class AvailabilitySaleClosed(OfReservation):
    trade_id: UUID


@event("availability.disclosed", version=1, aggregate=OFFER, readers={})
class AvailabilityDisclosed(Head):
    partner_id: UUID
    stage: str
    source_type: str
    source_id: UUID


@event("availability.concealed", version=1, aggregate=OFFER, readers={})
class AvailabilityConcealed(Head):
    source_type: str
    source_id: UUID


@event("availability.risk_recorded", version=1, aggregate=OFFER, readers={})
class AvailabilityRiskRecorded(Head):
    risk_status: str


@event("availability.bulk_uploaded", version=1, aggregate=("job", "job_id"), readers={})
class AvailabilityBulkUploaded(Event):
    job_id: UUID
    accepted: int
    refused: int


@event("market_calendar.changed", version=1, aggregate=("market_calendar", "market_calendar_id"), readers={})
class MarketCalendarChanged(Event):
    market_calendar_id: UUID
    commodity_id: UUID
    calendar_id: UUID
