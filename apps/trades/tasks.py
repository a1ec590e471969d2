"""Periodic work on trades, what they follow of other modules, and the e-way bill portal."""

from functools import partial
from typing import Any, Final

import structlog
from celery import shared_task
from django.db import transaction

from apps.negotiations import events as negotiation_events
from apps.negotiations.models import Negotiation
from apps.partners import events as partner_events
from apps.trades import events
from apps.trades import money_tasks as money_tasks  # registers its handlers and tasks
from apps.trades.clients import EwayRefused, eway_portal
from apps.trades.models import Deadline, Dispatch, Trade
from apps.trades.services import approval, cancellation, creation, deadlines, execution
from apps.trades.services.rules import day_of
from erp import clock, sweeps
from erp.access import SYSTEM
from erp.clients import RemoteUnavailable
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK: Final = 500  # rows of one sweep
log = structlog.get_logger(__name__)


@handles(negotiation_events.NegotiationAccepted)
def create_from_negotiation(event: negotiation_events.NegotiationAccepted, *, meta: Envelope) -> None:
    """Make the trade of an accepted negotiation, or note why it can't be made; a repeat changes nothing."""
    creation.create_accepted(Negotiation.objects.get(pk=event.negotiation_id), actor=SYSTEM)


@handles(partner_events.PartnerSuspended, partner_events.PartnerReactivated)
def start_following(
    event: partner_events.PartnerSuspended | partner_events.PartnerReactivated, *, meta: Envelope
) -> None:
    """Have the sweep follow the partner's standing at once; what it misses the next run finds."""
    transaction.on_commit(lambda: follow_suspensions.apply_async(retry=False), robust=True)


@handles(events.TradeDispatched)
def start_eway(event: events.TradeDispatched, *, meta: Envelope) -> None:
    """Have the portal asked at once for a dispatch that needs an e-way bill."""
    if event.eway_status == Dispatch.Eway.PENDING:
        dispatch_id = str(event.dispatch_id)
        transaction.on_commit(lambda: ask_eway.apply_async([dispatch_id], retry=False), robust=True)


@shared_task
def follow_suspensions() -> int:
    """Put trades of suspended partners on hold, and free those of reactivated ones; return how many."""
    held = sweeps.each(
        Trade.objects.to_hold().order_by("pk")[:CHUNK],
        partial(approval.flag, actor=SYSTEM, hold_code=Trade.Hold.PARTNER_SUSPENDED),
    )
    freed = Trade.objects.to_free().order_by("pk")[:CHUNK]
    return held + sweeps.each(freed, partial(approval.flag, actor=SYSTEM, hold_code=None))


@shared_task
def cancel_unacknowledged() -> int:
    """Cancel trades that weren't acknowledged in time, each in its own transaction; return how many."""
    return sweeps.each(
        Trade.objects.not_acknowledged(clock.now()).order_by("acknowledge_until", "pk")[:CHUNK],
        partial(cancellation.cancel_unfinished, actor=SYSTEM, reason_code="NOT_ACKNOWLEDGED"),
    )


@shared_task
def miss_deadlines() -> int:
    """Mark deadlines whose day is over; return how many."""
    over = Deadline.objects.missed_on(clock.today()).exclude(kind=Deadline.Kind.ACKNOWLEDGE)
    return sweeps.each(over.order_by("due_date", "pk")[:CHUNK], partial(deadlines.miss, actor=SYSTEM))


@shared_task
def ask_eway(dispatch_id: str) -> str:
    """Ask the portal for the bill of a dispatch, outside transactions, and record the answer; return the status."""
    row = Dispatch.objects.select_related("trade").filter(pk=dispatch_id).first()
    if row is None or row.eway_status != Dispatch.Eway.PENDING or row.voided_at is not None:
        return ""
    try:
        number = eway_portal().issue(_question(row))
    except EwayRefused:
        return str(execution.record_eway(row, actor=SYSTEM).eway_status)
    except RemoteUnavailable:
        return str(execution.postpone_eway(row, actor=SYSTEM).eway_status)
    return str(execution.record_eway(row, actor=SYSTEM, number=number).eway_status)


def _question(row: Dispatch) -> dict[str, Any]:
    """What the portal needs; ship-to only where it differs from bill-to."""
    trade = row.trade
    parties = {party.role: party for party in trade.parties.select_related("registration")}
    consignor, consignee = parties["SELLER"], parties["BUYER"]
    if row.direction == execution.RETURN:
        consignor, consignee = consignee, consignor
    question = {
        "reference": str(row.pk),
        "document": row.eway_document,
        "document_date": str(row.invoice_date or day_of(row.dispatched_at)),
        "from_gstin": consignor.registration.gstin if consignor.registration is not None else "URP",
        "to_gstin": consignee.registration.gstin if consignee.registration is not None else "URP",
        "from_state": consignor.state_code,
        "to_state": consignee.state_code,
        "hsn": trade.commodity.hsn_code or "",
        "value": str(row.consignment_value),
        "distance_km": row.distance_km,
        "vehicle": row.vehicle_number,
    }
    shipped = parties.get("SHIP_TO")
    if shipped is not None and shipped.partner_id != consignee.partner_id:
        question["ship_to_state"] = shipped.state_code
    return question


@shared_task
def ask_eways() -> int:
    """Ask for every e-way bill that is due, one after the other; return how many were answered."""
    due = Dispatch.objects.filter(
        eway_status=Dispatch.Eway.PENDING, voided_at=None, eway_request__next_at__lte=clock.now()
    )
    keys = list(due.order_by("eway_request__next_at", "pk").values_list("pk", flat=True)[:CHUNK])
    return sum(ask_eway(str(key)) in ("RECORDED", "FAILED") for key in keys)
