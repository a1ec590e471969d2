"""Ending a trade, or what isn't delivered of it: washout, stock, demand, credit and advances."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from apps.approvals import services as approvals
from apps.commodities.exact import rounded
from apps.trades import capabilities, engine, events
from apps.trades.engine import facts as f
from apps.trades.engine.terms import Side
from apps.trades.models import Amendment, Deadline, Trade
from apps.trades.services import deadlines, effects, judging, rules, settlement
from apps.trades.services.credit import in_rupees
from apps.trades.services.execution import arrived, in_transit
from apps.trades.services.rules import head, quantity_of
from erp import clock
from erp.access import Actor
from erp.services import emit, service

_Status = Trade.Status
DEFAULTS = {"SELLER_DEFAULT": Side.SELLER, "BUYER_DEFAULT": Side.BUYER}
RETURN, WITHDRAW = "RETURN", "WITHDRAW"


@service(
    requires=capabilities.CANCEL,
    emits=[events.TradeCancelled],
    raises=dict.fromkeys([
        rules.InvalidState, rules.SnapshotDamaged, rules.GoodsInTransit, rules.WashoutMissing, rules.DateInFuture,
        rules.FileUsed,
        engine.errors.FactsMissing, engine.errors.TaxRuleMissing, *effects.ERRORS,
    ]),
    label="Cancel",
)  # fmt: skip
def cancel(
    trade: Trade,
    *,
    actor: Actor,
    reason_code: str,
    reason: str,
    stock: str = RETURN,
    washout: dict[str, Any] | None = None,
    evidence: rules.Evidence | None = None,
) -> Trade:
    """Cancel a trade of which nothing was dispatched, or the rest that wasn't delivered.

    Stock returns to the offer or to the seller; the market's difference and advances are owed.
    """
    rules.require_writable(trade, *Trade.OPEN)
    if in_transit(trade):
        raise rules.GoodsInTransit
    if washout is not None and trade.approved_at is None:
        raise rules.InvalidState.of_status(trade)  # nobody is bound yet, so nothing is owed
    if washout is None and reason_code in DEFAULTS and trade.approved_at is not None:
        raise rules.WashoutMissing.at("/washout", "required", "A default needs the market price.")
    priced = None
    if washout is not None:
        if washout["source_date"] > clock.today():
            raise rules.DateInFuture.at(
                "/washout/source_date", "future", f"Not after today, {clock.today()}."
            )
        priced = f.Washout(
            market_price=washout["market_price"],
            source=washout["source"],
            source_date=washout["source_date"],
            payable=f.Payable(washout.get("payable", "BOTH_WAYS")),
            defaulter=DEFAULTS.get(reason_code),
        )
    evidence = rules.use_file(actor, evidence)
    trade.cancel_note, trade.cancel_evidence = reason, evidence
    return _cancel(trade, actor, reason_code, withdraw=stock == WITHDRAW, washout=priced)


@service(
    requires=capabilities.CREATE,
    emits=[events.TradeCancelled],
    raises=dict.fromkeys([rules.SnapshotDamaged, *effects.ERRORS]),
    label="Cancel an unfinished trade",
)
def cancel_unfinished(trade: Trade, *, actor: Actor, reason_code: str) -> Trade:
    """Cancel a trade that wasn't acknowledged in time, or that was refused; a repeat changes nothing."""
    waiting = (_Status.PENDING_ACKNOWLEDGEMENT, _Status.PENDING_APPROVAL)
    overdue = trade.status == waiting[0] and trade.acknowledge_until <= clock.now()
    if trade.status not in waiting or not (overdue or reason_code == "NOT_APPROVED"):
        return trade
    return _cancel(trade, actor, reason_code, withdraw=False, washout=None)


def _cancel(trade: Trade, actor: Actor, code: str, *, withdraw: bool, washout: f.Washout | None) -> Trade:
    came = arrived(trade)
    was_approved = trade.approved_at is not None
    quantity, kg, amount = _rest(trade, came["count"] or 0, came["kg"] or Decimal(0))
    whole = came["kg"] is None
    effects.locked(trade)
    effects.give_back(
        trade, actor, quantity=quantity, amount=amount if was_approved else Decimal(0), key=f"cancel:{trade.pk}",
        withdraw=withdraw,
    )  # fmt: skip
    if whole:
        effects.end_credit(trade, actor)
    else:
        effects.contract_again(trade, actor, Decimal(0), f"cancel:{trade.pk}")
    owed = None
    if was_approved:
        facts, done = settlement.close_undelivered(trade, actor, washout=washout, day=clock.today())
        owed = next((row for row in done.documents if row.kind == "WASHOUT"), None)
        trade.cancel_facts = facts
    approvals.mark_stale(actor=actor, row_type="trade", row_id=trade.pk)
    for amendment in Amendment.objects.filter(trade=trade, status__in=Amendment.OPEN):
        approvals.mark_stale(actor=actor, row_type="trade_amendment", row_id=amendment.pk)
        amendment.status = Amendment.Status.STALE
        amendment.save()
    if whole:
        deadlines.close(trade, status=Deadline.Status.VOID)
    else:
        deadlines.close(trade, Deadline.Kind.DELIVERY, Deadline.Kind.LIFTING, status=Deadline.Status.VOID)
    rules.touch(
        trade,
        status=_Status.CANCELLED if whole else _Status.DELIVERED,
        cancelled_count=trade.cancelled_count + (int(quantity) if trade.count is not None else 0),
        cancelled_kg=trade.cancelled_kg + kg,
        cancel_reason=code,
    )
    if whole:
        judging.cancelled(actor, trade, DEFAULTS.get(code), kg, in_rupees(trade, amount), clock.today())
    roles = {str(trade.seller_id): "SELLER", str(trade.buyer_id): "BUYER"}
    emit(
        events.TradeCancelled(
            **head(trade),
            reason_code=code,
            scope="WHOLE" if whole else "REST",
            quantity=quantity_of(trade, quantity),
            stock=WITHDRAW if withdraw else RETURN,
            washout_amount=None if owed is None else owed.total,
            washout_debtor_role=None if owed is None else roles[owed.debtor],
        )
    )
    return trade


def _rest(trade: Trade, count: int, kg: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """What was not delivered: quantity in the offer's unit, kilograms, and its value at the contract price."""
    if trade.count is not None:
        packages = trade.count - trade.cancelled_count - count
        share = Fraction(packages, trade.count)
        return (
            Decimal(packages),
            rounded(Fraction(trade.weight_kg) * share, 3),
            rounded(Fraction(trade.contract_value) * share, 2),
        )
    left = max(Decimal(trade.open_kg) - kg, Decimal(0))
    share = Fraction(left) / Fraction(trade.weight_kg)
    return (
        rounded(Fraction(trade.quantity) * share, 3),
        left,
        rounded(Fraction(trade.contract_value) * share, 2),
    )
