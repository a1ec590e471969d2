"""Events of trades. Both sides read them; none holds a name, tax number, vehicle, bank reference or free text."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from apps.trades import capabilities
from erp.events import ALL, DecimalText, Event, Quantity, event, rows_of

rows_of("trade", model="trade.Trade", reads=capabilities.VIEW)


class Head(Event):
    """Fields of the trade that every event carries."""

    trade_id: UUID
    number: str
    organization_id: UUID
    seller_id: UUID
    buyer_id: UUID
    status: str
    currency: str
    fx_rate: DecimalText


def _event(name: str) -> Any:
    """An event that both sides read. The seller doesn't learn which requirement the trade serves (rulings X28)."""

    def declare(model: type[Event]) -> type[Event]:
        shown = [field for field in model.model_fields if field != "requirement_id"]
        readers = {"seller_id": shown, "buyer_id": ALL}
        return event(f"trade.{name}", version=1, aggregate=("trade", "trade_id"), readers=readers)(model)

    return declare


def _internal(name: str) -> Any:
    """An event that stays in the company."""
    return event(f"trade.{name}", version=1, aggregate=("trade", "trade_id"), readers={})


class LotGoods(BaseModel):
    """Goods of a lot that moved."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    lot_id: UUID
    count: int | None
    weight_kg: DecimalText


@_event("created")
class TradeCreated(Head):
    match_id: UUID | None
    negotiation_id: UUID | None
    reservation_id: UUID
    availability_id: UUID
    requirement_id: UUID
    commodity_id: UUID
    quantity: Quantity
    weight_kg: DecimalText
    price: DecimalText
    pricing_unit_id: UUID
    unit_definition_version: int
    contract_value: DecimalText
    trade_date: date
    terms_version: int
    contract_hash: str
    approvals_required: int


@event("trade.refused", version=1, aggregate=("negotiation", "negotiation_id"), readers={})
class TradeRefused(Event):
    """No trade could be made of an accepted negotiation; the desk makes it once the cause is mended."""

    negotiation_id: UUID
    refusal: str


@event("trade.refusal_closed", version=1, aggregate=("negotiation", "negotiation_id"), readers={})
class TradeRefusalClosed(Event):
    """Staff closed an accepted negotiation of which no trade can be created any more: its reservation has ended."""

    negotiation_id: UUID
    refusal: str


@_event("acknowledged")
class TradeAcknowledged(Head):
    role: str
    partner_id: UUID
    terms_version: int
    contract_hash: str
    on_behalf: bool
    complete: bool


@_internal("approval_recorded")
class TradeApprovalRecorded(Head):
    terms_version: int
    given: int
    required: int


@_event("approved")
class TradeApproved(Head):
    terms_version: int
    contract_hash: str
    reservation_id: UUID
    availability_id: UUID
    requirement_id: UUID
    quantity: Quantity
    contract_value: DecimalText
    approvals: int


@_event("quality_recorded")
class TradeQualityRecorded(Head):
    result_id: UUID
    lot_id: UUID
    source: str
    decision: str
    governing: bool


@_event("weighed")
class TradeWeighed(Head):
    weighment_id: UUID
    lot_id: UUID
    stage: str
    net_kg: DecimalText
    count: int | None


@_event("dispatched")
class TradeDispatched(Head):
    dispatch_id: UUID
    direction: str
    lines: list[LotGoods]
    distance_km: int
    eway_status: str


@_event("dispatch_voided")
class TradeDispatchVoided(Head):
    dispatch_id: UUID


@_event("eway_recorded")
class TradeEwayRecorded(Head):
    dispatch_id: UUID
    valid_until: datetime


@_event("eway_failed")
class TradeEwayFailed(Head):
    dispatch_id: UUID


@_event("eway_extended")
class TradeEwayExtended(Head):
    dispatch_id: UUID
    kind: str
    valid_until: datetime | None


@_event("delivered")
class TradeDelivered(Head):
    delivery_id: UUID
    dispatch_id: UUID
    lines: list[LotGoods]
    complete: bool


@_event("payment_recorded")
class TradePaymentRecorded(Head):
    payment_id: UUID
    kind: str
    payer_id: UUID
    payee_id: UUID
    amount: DecimalText
    tds: DecimalText
    paid_date: date


@_event("settled")
class TradeSettled(Head):
    settlement_id: UUID
    revision: int
    taxable: DecimalText
    tax: DecimalText
    round_off: DecimalText
    invoice_total: DecimalText
    tds: DecimalText
    claim: DecimalText
    carrying: DecimalText
    brokerage: DecimalText
    net_due: DecimalText
    net_debtor_role: str | None
    engine_version: int
    lines_hash: str


@_event("cancelled")
class TradeCancelled(Head):
    reason_code: str
    scope: str
    quantity: Quantity
    stock: str
    washout_amount: DecimalText | None
    washout_debtor_role: str | None


@_event("amendment_proposed")
class TradeAmendmentProposed(Head):
    amendment_id: UUID
    side: str
    pointers: list[str]
    commercial: bool


@_event("amendment_accepted")
class TradeAmendmentAccepted(Head):
    amendment_id: UUID
    terms_version: int
    contract_hash: str
    commercial: bool
    applied: bool


@_event("amendment_rejected")
class TradeAmendmentRejected(Head):
    amendment_id: UUID


@_event("amendment_closed")
class TradeAmendmentClosed(Head):
    """An accepted amendment that was refused at its approval, or overtaken."""

    amendment_id: UUID
    amendment_status: str


@_event("amended")
class TradeAmended(Head):
    amendment_id: UUID
    terms_version: int
    contract_hash: str


@_event("disputed")
class TradeDisputed(Head):
    dispute_id: UUID
    kind: str
    side: str


@_event("dispute_resolved")
class TradeDisputeResolved(Head):
    dispute_id: UUID
    outcome: str
    award_amount: DecimalText | None
    award_to: str | None


@_event("flagged")
class TradeFlagged(Head):
    hold_code: str | None


@_event("deadline_missed")
class TradeDeadlineMissed(Head):
    deadline_id: UUID
    kind: str
    due_date: date


@_event("document_generated")
class TradeDocumentGenerated(Head):
    document_id: UUID
    kind: str
    subject_version: int
    sha256: str
