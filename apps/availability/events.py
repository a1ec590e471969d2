"""Events of offers and reservations. Each carries the head of its offer."""

from datetime import date, datetime
from uuid import UUID

from apps.availability import capabilities
from erp.events import ALL, EVERYONE, DecimalText, Event, Quantity, event, rows_of

rows_of("availability", model="availability.Availability", reads=capabilities.VIEW)


class Head(Event):
    """Fields of the offer that every event carries."""

    availability_id: UUID
    seller_partner_id: UUID
    commodity_id: UUID
    status: str
    terms_version: int


OFFER = ("availability", "availability_id")
HEAD = ("commodity_id", "status", "terms_version")
# Neither seller nor holder learns the other's name, and the seller doesn't learn which reservation it is.
SELLER, HOLDER = "seller_partner_id", "holder_partner_id"


@event("availability.created", version=1, aggregate=OFFER, readers={SELLER: ALL})
class AvailabilityCreated(Head):
    crop_year: str | None
    state_code: str
    quantity: Quantity
    weight_kg: DecimalText
    available_from_date: date
    available_until_date: date
    visibility: str


@event("availability.submitted", version=1, aggregate=OFFER, readers={SELLER: ALL})
class AvailabilitySubmitted(Head):
    cause: str


@event(
    "availability.approved",
    version=1,
    aggregate=OFFER,
    readers={SELLER: ALL, EVERYONE: [*HEAD, "listed_at", "expires_at"]},
)
class AvailabilityApproved(Head):
    listed_at: datetime
    expires_at: datetime
    visibility: str


@event(
    "availability.reserved",
    version=1,
    aggregate=OFFER,
    readers={
        SELLER: [*HEAD, "quantity", "remaining", "weight_kg", "expires_at"],
        HOLDER: [
            *HEAD,
            "reservation_id",
            "requirement_id",
            "match_id",
            "negotiation_id",
            "quantity",
            "remaining",
            "weight_kg",
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
    expires_at: datetime


@event(
    "availability.released",
    version=1,
    aggregate=OFFER,
    readers={
        SELLER: [*HEAD, "quantity", "remaining", "reason"],
        # Not what remains: with its last reservation the holder no longer sees the exact quantity.
        HOLDER: [*HEAD, "reservation_id", "quantity", "reason"],
    },
)
class AvailabilityReleased(Head):
    reservation_id: UUID
    holder_partner_id: UUID
    quantity: Quantity
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
