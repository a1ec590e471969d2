"""What is due when: set as the trade proceeds, met by what is recorded, missed by the daily task."""

from datetime import date, timedelta
from typing import Any, Final

from apps.trades import capabilities, engine, events
from apps.trades.engine import terms as t
from apps.trades.engine.v1 import payments
from apps.trades.models import Deadline, Dispatch, Trade
from apps.trades.services import gathering
from apps.trades.services.rules import head, touch
from erp.access import Actor
from erp.services import emit, service

_Kind, _Status = Deadline.Kind, Deadline.Status
MSME_DAYS: Final = 45  # MSMED Act s. 15: at most so many days after delivery


def open_one(trade: Trade, kind: str, due: date, actor: Actor) -> None:
    """Set a deadline, unless there is one of its kind and day; one that was void is open again."""
    row = Deadline.objects.filter(trade=trade, kind=kind, due_date=due).first()
    if row is None:
        Deadline(trade=trade, kind=kind, due_date=due, created_by_id=actor.pk).save()
    elif row.status == _Status.VOID:
        row.status = _Status.OPEN
        row.save()


def close(trade: Trade, *kinds: str, status: str = _Status.MET) -> None:
    """Close open deadlines of these kinds; all where none is named."""
    rows = Deadline.objects.filter(trade=trade, status=_Status.OPEN)
    for row in rows.filter(kind__in=kinds) if kinds else rows:
        row.status = status
        row.save()


def start(trade: Trade, terms: t.Terms, actor: Actor) -> None:
    """The deadlines of an approved trade: advance, lifting and delivery."""
    worth = engine.version(engine.CURRENT).value(terms, gathering.holidays(terms))
    if worth.advance_due:
        open_one(trade, _Kind.ADVANCE, worth.advance_due_date, actor)
    delivery = terms.delivery
    if delivery.late_slabs:
        open_one(trade, _Kind.LIFTING, delivery.window_start + timedelta(days=delivery.free_days), actor)
    open_one(trade, _Kind.DELIVERY, delivery.window_end, actor)


def after_dispatch(trade: Trade, terms: t.Terms, dispatch: Dispatch, actor: Actor) -> None:
    """The balance is due from the invoice."""
    close(trade, _Kind.LIFTING)
    payment = terms.payment
    if payment.balance_from is t.BalanceFrom.INVOICE and dispatch.invoice_date is not None:
        due = payments.due_date(
            dispatch.invoice_date, payment.balance_days, payment.day_kind, gathering.holidays(terms)
        )
        open_one(trade, _Kind.BALANCE, due, actor)


def after_void(trade: Trade, terms: t.Terms, dispatch: Dispatch) -> None:
    """A dispatch that never was sets no deadline: its balance isn't due, and lifting is still to be done."""
    live, payment = Dispatch.objects.filter(trade=trade, voided_at=None), terms.payment
    if not live.exists():
        rows = Deadline.objects.filter(trade=trade, kind=_Kind.LIFTING, status=_Status.MET)
        _set(rows, _Status.OPEN)
    day = dispatch.invoice_date
    if day is None or payment.balance_from is not t.BalanceFrom.INVOICE:
        return
    if not live.filter(invoice_date=day).exists():
        due = payments.due_date(day, payment.balance_days, payment.day_kind, gathering.holidays(terms))
        rows = Deadline.objects.filter(trade=trade, kind=_Kind.BALANCE, due_date=due)
        _set(rows.filter(status__in=(_Status.OPEN, _Status.MISSED)), _Status.VOID)


def _set(rows: Any, status: str) -> None:
    for row in rows:
        row.status = status
        row.save()


def after_delivery(trade: Trade, terms: t.Terms, day: date, actor: Actor) -> None:
    """Claims run from the delivery, and the balance where the terms say so; micro and small sellers wait 45 days."""
    weight, quality, payment = terms.weight, terms.quality, terms.payment
    if weight.final is t.WeightFinal.ORIGIN and weight.franchise_kind is not t.Franchise.NONE:
        open_one(trade, _Kind.WEIGHT_CLAIM, day + timedelta(days=weight.claim_days), actor)
    open_one(trade, _Kind.QUALITY_CLAIM, day + timedelta(days=quality.claim_days), actor)
    if payment.balance_from is t.BalanceFrom.DELIVERY:
        due = payments.due_date(day, payment.balance_days, payment.day_kind, gathering.holidays(terms))
        open_one(trade, _Kind.BALANCE, due, actor)
    if terms.seller.msme in (t.Msme.MICRO, t.Msme.SMALL) and not terms.seller.is_trader:
        latest = day + timedelta(days=MSME_DAYS)
        for row in Deadline.objects.filter(
            trade=trade, kind=_Kind.BALANCE, status=_Status.OPEN, due_date__gt=latest
        ):
            row.due_date = latest
            row.save()


@service(
    requires=capabilities.CREATE,
    emits=[events.TradeDeadlineMissed],
    lock_via="trade",
    label="Mark a deadline as missed",
)
def miss(deadline: Deadline, *, actor: Actor) -> Deadline:
    """Mark an open deadline as missed once its day is over; a repeat changes nothing."""
    if deadline.status == _Status.OPEN:
        deadline.status = _Status.MISSED
        deadline.save()
        trade = Trade.objects.get(pk=deadline.trade_id)
        touch(trade)
        emit(
            events.TradeDeadlineMissed(
                **head(trade), deadline_id=deadline.pk, kind=deadline.kind, due_date=deadline.due_date
            )
        )
    return deadline
