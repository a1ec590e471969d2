"""Events of negotiations, for both sides. None carries a partner, a message or a note.

The members that name rows of the buyer (its requirement and its reservation) stay in the company: both sides read the
same event.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.negotiations import capabilities
from erp.events import EVERYONE, DecimalText, Event, Quantity, event, rows_of

rows_of("negotiation", model="negotiation.Negotiation", reads=capabilities.VIEW)
HEAD = ("negotiation_id", "match_id", "status")


class Head(Event):
    """Fields of the negotiation that every event carries."""

    negotiation_id: UUID
    match_id: UUID
    status: str


def _event(name: str, *members: str) -> Any:
    return event(
        f"negotiation.{name}",
        version=1,
        aggregate=("negotiation", "negotiation_id"),
        readers={EVERYONE: [*HEAD, *members]},
    )


@_event("started", "opened_by", "max_rounds", "expires_at")
class NegotiationStarted(Head):
    opened_by: str
    max_rounds: int
    expires_at: datetime


@_event(
    "offer_made",
    "offer_id",
    "round",
    "side",
    "price",
    "currency",
    "pricing_unit_id",
    "quantity",
    "valid_until",
)
class NegotiationOfferMade(Head):
    offer_id: UUID
    round: int
    side: str
    price: DecimalText
    currency: str
    pricing_unit_id: UUID | None
    quantity: Quantity
    valid_until: datetime
    reservation_id: UUID | None


@_event("accepted", "offer_id", "side", "availability_id", "price", "currency", "pricing_unit_id", "quantity")
class NegotiationAccepted(Head):
    offer_id: UUID
    side: str
    reservation_id: UUID
    requirement_id: UUID
    availability_id: UUID
    price: DecimalText
    currency: str
    pricing_unit_id: UUID | None
    quantity: Quantity


@_event("rejected", "side", "reason")
class NegotiationRejected(Head):
    side: str
    reason: str


@_event("withdrawn", "side", "reason")
class NegotiationWithdrawn(Head):
    side: str
    reason: str


@_event("expired")
class NegotiationExpired(Head):
    pass


@_event("offer_lapsed", "offer_id")
class NegotiationOfferLapsed(Head):
    offer_id: UUID


@_event("hold_lost")
class NegotiationHoldLost(Head):
    reservation_id: UUID


@_event("trade_linked", "trade_id")
class NegotiationTradeLinked(Head):
    trade_id: UUID


@event("negotiation.messages_erased", version=1, aggregate=("negotiation", "negotiation_id"), readers={})
class NegotiationMessagesErased(Head):
    pass
