"""Events of requirements. Each carries the head; none carries target, ceiling, budget or an amount above them.

Only the buyer reads them outside the company: a seller learns of a requirement by its match or negotiation.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from apps.partners.pseudonyms import veil
from apps.requirement import capabilities
from erp.events import ALL, DecimalText, Event, Quantity, event, rows_of

rows_of("requirement", model="requirement.Requirement", reads=capabilities.VIEW, veil=veil)


class Head(Event):
    """Fields of the requirement that every event carries."""

    requirement_id: UUID
    buyer_partner_id: UUID
    commodity_id: UUID
    status: str
    terms_version: int


def _event(name: str) -> Any:
    return event(
        f"requirement.{name}",
        version=1,
        aggregate=("requirement", "requirement_id"),
        readers={"buyer_partner_id": ALL},
    )


class BandFact(BaseModel):
    """A band as sellers may see it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    parameter: str
    minimum: DecimalText | None
    maximum: DecimalText | None
    accepted_codes: list[str]
    required: bool


@_event("created")
class RequirementCreated(Head):
    variety_ids: list[UUID]
    crop_years: list[str]
    min_quantity: Quantity
    preferred_quantity: Quantity
    max_quantity: Quantity
    bands: list[BandFact]
    origin_state_codes: list[str]
    state_code: str
    delivery_from_date: date
    delivery_until_date: date
    intent: str
    urgency: str
    visibility: str


@_event("published")
class RequirementPublished(Head):
    approval_asked: bool
    approval_id: UUID | None
    intent: str
    visibility: str
    expires_at: datetime | None


@_event("updated")
class RequirementUpdated(Head):
    changed: list[str]
    parameters: list[str]


@_event("submitted")
class RequirementSubmitted(Head):
    thresholds: list[str]
    approval_id: UUID


@_event("approved")
class RequirementApproved(Head):
    approval_id: UUID
    live_since: datetime


@_event("rejected")
class RequirementRejected(Head):
    reason_code: str


@_event("cancelled")
class RequirementCancelled(Head):
    reason_code: str
    unfilled: Quantity
    committed: Quantity
    purchased: Quantity


@_event("expired")
class RequirementExpired(Head):
    unfilled: Quantity


@_event("suspended")
class RequirementSuspended(Head):
    cause: str


@_event("reactivated")
class RequirementReactivated(Head):
    cause: str


@_event("extended")
class RequirementExtended(Head):
    old_expires_at: datetime | None
    new_expires_at: datetime | None


@_event("fulfillment_updated")
class RequirementFulfillmentUpdated(Head):
    fulfilment_id: UUID
    kind: str
    trade_id: UUID | None
    quantity: Quantity
    committed: Quantity
    purchased: Quantity
    remaining: Quantity
    percent: DecimalText


@_event("fulfilled")
class RequirementFulfilled(Head):
    purchased: Quantity
    trades: int
    hours_live: int | None


@event("requirement.disclosed", version=1, aggregate=("requirement", "requirement_id"), readers={})
class RequirementDisclosed(Head):
    partner_id: UUID
    stage: int
    source_type: str
    source_id: UUID


@event("requirement.concealed", version=1, aggregate=("requirement", "requirement_id"), readers={})
class RequirementConcealed(Head):
    source_type: str
    source_id: UUID
    partners: int


@_event("ai_adjusted")
class RequirementAiAdjusted(Head):
    suggestion_id: UUID
    action: str
    parameters: list[str]
    options: int
    unlocked: Quantity | None


@_event("ai_opinion_recorded")
class RequirementAiOpinionRecorded(Head):
    suggestion_id: UUID
    provider: str


@_event("risk_recorded")
class RequirementRiskRecorded(Head):
    risk_status: str
