"""What a requirement has bought: lines that are only added, under the lock of the requirement (§5.1).

A trade's creation commits, its approval moves committed to purchased, its cancellation takes off what wasn't
delivered. The database's constraint stands behind every check here.
"""

from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, Sum

from apps.availability.models import Reservation
from apps.availability.services.listing import measured
from apps.requirement import capabilities, events
from apps.requirement.models import Fulfilment, Requirement
from apps.requirement.services import rules
from apps.requirement.services.approval import withdraw_request
from apps.requirement.services.rules import head
from erp import clock
from erp.access import Actor
from erp.services import emit, service

_Kind, _Status = Fulfilment.Kind, Requirement.Status
EMITS: Final = (events.RequirementFulfillmentUpdated, events.RequirementFulfilled)
ERRORS: Final = (
    rules.InvalidState, rules.OverPurchase, rules.BelowZero, rules.NotTradable, rules.EntryReused,
    rules.QuantityNotWhole,
)  # fmt: skip
NOTHING: Final = Decimal(0)


@service(requires=capabilities.FULFILL, emits=EMITS, raises=ERRORS)
def commit(
    requirement: Requirement,
    *,
    actor: Actor,
    trade_id: UUID,
    quantity: Decimal,
    negotiation_id: UUID | None = None,
) -> Requirement:
    """Commit what a new trade buys, up to the cap.

    Trades of accepted negotiations commit whatever the status, unless everything was bought.
    """
    line = Fulfilment.objects.filter(entry_key=f"commit:{trade_id}").first()
    if line is not None:
        if (line.requirement_id, line.committed_delta) != (requirement.pk, quantity):
            raise rules.EntryReused
        return requirement
    if requirement.intent == Requirement.Intent.PRICE_DISCOVERY_ONLY:
        raise rules.NotTradable
    if negotiation_id is None or requirement.status == _Status.FULFILLED:
        rules.require_status(requirement, *Requirement.LIVE)
    rules.require_whole(requirement, quantity, "/quantity")
    _write(requirement, actor, _Kind.COMMIT, trade_id, f"commit:{trade_id}", committed=quantity)
    return requirement


@service(requires=capabilities.FULFILL, emits=EMITS, raises=ERRORS)
def confirm(requirement: Requirement, *, actor: Actor, trade_id: UUID, amount: Decimal) -> Requirement:
    """Count what a trade committed as bought, for an amount, when the trade is approved."""
    committed, _, _ = _of_trade(requirement, trade_id)
    key = f"confirm:{trade_id}"
    line = Fulfilment.objects.filter(entry_key=key).first()
    if line is not None:
        if line.amount_delta != amount:
            raise rules.EntryReused
        return requirement
    if not committed:
        raise rules.BelowZero("The trade has committed nothing.")
    _write(
        requirement,
        actor,
        _Kind.CONFIRM,
        trade_id,
        key,
        committed=-committed,
        purchased=committed,
        amount=amount,
    )
    return requirement


@service(requires=capabilities.FULFILL, emits=EMITS, raises=ERRORS)
def adjust(
    requirement: Requirement,
    *,
    actor: Actor,
    trade_id: UUID,
    quantity: Decimal,
    entry_key: str,
    amount: Decimal = NOTHING,
) -> Requirement:
    """Follow the amendment of a trade, signed: what it committed changes, or what it has bought."""
    committed, purchased, _ = _of_trade(requirement, trade_id)
    is_bought = bool(purchased) and not committed
    deltas = (NOTHING, quantity) if is_bought else (quantity, NOTHING)
    line = Fulfilment.objects.filter(entry_key=entry_key).first()
    if line is not None:  # a repeat, though the trade was confirmed meanwhile
        figures = (line.requirement_id, line.committed_delta + line.purchased_delta, line.amount_delta)
        if figures != (requirement.pk, quantity, amount):
            raise rules.EntryReused
        return requirement
    if (purchased if is_bought else committed) + quantity < 0:
        raise rules.BelowZero
    rules.require_whole(requirement, quantity, "/quantity")
    _write(
        requirement, actor, _Kind.ADJUST, trade_id, entry_key,
        committed=deltas[0], purchased=deltas[1], amount=amount,
    )  # fmt: skip
    return requirement


@service(requires=capabilities.FULFILL, emits=EMITS, raises=ERRORS)
def revoke(
    requirement: Requirement,
    *,
    actor: Actor,
    trade_id: UUID,
    quantity: Decimal,
    amount: Decimal = NOTHING,
    entry_key: str = "",
) -> Requirement:
    """Take off what a cancelled trade didn't deliver."""
    committed, purchased, _ = _of_trade(requirement, trade_id)
    key = entry_key or f"revoke:{trade_id}"
    line = Fulfilment.objects.filter(entry_key=key).first()
    if line is not None:
        if (line.committed_delta + line.purchased_delta, line.amount_delta) != (-quantity, -amount):
            raise rules.EntryReused
        return requirement
    if quantity > committed + purchased:
        raise rules.BelowZero
    from_committed = min(committed, quantity)
    _write(
        requirement, actor, _Kind.REVOKE, trade_id, key,
        committed=-from_committed, purchased=from_committed - quantity, amount=-amount,
    )  # fmt: skip
    return requirement


@service(
    requires=capabilities.FULFILL,
    emits=EMITS,
    raises=[*ERRORS, rules.CurrencyMismatch, rules.StaffOnly, rules.PriceInvalid],
    label="Correct purchases",
)
def fulfill(
    requirement: Requirement,
    *,
    actor: Actor,
    quantity: Decimal,
    amount: Decimal,
    currency: str,
    reason: str,
    trade_id: UUID | None = None,
) -> Requirement:
    """Correct what was bought. Purchases themselves come from approved trades."""
    if actor.partner_id is not None:
        raise rules.StaffOnly
    rules.require_status(requirement, *Requirement.LIVE, _Status.FULFILLED)
    if requirement.intent == Requirement.Intent.PRICE_DISCOVERY_ONLY:
        raise rules.NotTradable
    if currency != requirement.currency:
        words = f"Amounts of this requirement are in {requirement.currency}."
        raise rules.CurrencyMismatch.at("/currency", "mismatch", words)
    if not quantity or (amount and (amount > 0) != (quantity > 0)):
        raise rules.PriceInvalid.at("/amount", "sign", "Quantity and amount must both add, or both take off.")
    rules.require_whole(requirement, quantity, "/quantity")
    number = requirement.fulfilments.count() + 1  # under the lock of the requirement
    key = f"correction:{requirement.pk}:{number}"
    _write(
        requirement, actor, _Kind.CORRECTION, trade_id, key, purchased=quantity, amount=amount, reason=reason
    )
    return requirement


def counted_of(requirement: Requirement, trade_id: UUID) -> Decimal:
    """What counts for a trade now, committed or bought, in the requirement's unit."""
    committed, purchased, _ = _of_trade(requirement, trade_id)
    return committed + purchased


def _of_trade(requirement: Requirement, trade_id: UUID) -> tuple[Decimal, Decimal, Decimal]:
    """What the lines of a trade add up to: committed, purchased, spent."""
    sums = requirement.fulfilments.filter(trade_id=trade_id).aggregate(
        committed=Sum("committed_delta"), purchased=Sum("purchased_delta"), amount=Sum("amount_delta")
    )
    return tuple(value or NOTHING for value in sums.values())  # type: ignore[return-value]


def _write(
    requirement: Requirement,
    actor: Actor,
    kind: str,
    trade_id: UUID | None,
    key: str,
    *,
    committed: Decimal = NOTHING,
    purchased: Decimal = NOTHING,
    amount: Decimal = NOTHING,
    reason: str = "",
) -> None:
    """Add a line and move the figures and the status of the locked requirement with it."""
    line = Fulfilment(
        requirement=requirement, kind=kind, trade_id=trade_id, committed_delta=committed, purchased_delta=purchased,
        amount_delta=amount, reason=reason, by_id=actor.pk, entry_key=key,
    )  # fmt: skip
    requirement.committed_quantity += committed
    requirement.purchased_quantity += purchased
    requirement.spent_amount += amount
    bought = requirement.committed_quantity + requirement.purchased_quantity
    if committed + purchased > 0 and bought > requirement.cap:
        left = requirement.cap - (bought - committed - purchased)
        raise rules.OverPurchase(
            f"At most {left.normalize():f} {requirement.unit} more.", remaining=f"{left:f}"
        )
    if min(requirement.committed_quantity, requirement.purchased_quantity, requirement.spent_amount) < 0:
        raise rules.BelowZero
    was_complete = requirement.status == _Status.FULFILLED
    _settle(requirement)
    requirement.save()
    line.save()
    emit(
        events.RequirementFulfillmentUpdated(
            **head(requirement),
            fulfilment_id=line.pk,
            kind=kind,
            trade_id=trade_id,
            quantity=measured(requirement, purchased or committed),
            committed=measured(requirement, requirement.committed_quantity),
            purchased=measured(requirement, requirement.purchased_quantity),
            remaining=measured(requirement, requirement.open_quantity),
            percent=(requirement.purchased_quantity * 100 / requirement.max_quantity).quantize(
                Decimal("0.01")
            ),
        )
    )
    if requirement.status == _Status.FULFILLED and not was_complete:
        withdraw_request(requirement)
        tell_fulfilled(requirement)


def live_status(requirement: Requirement) -> str:
    """The status that follows from what was bought, of a requirement that nothing else holds up."""
    if requirement.is_complete:
        return _Status.FULFILLED
    return _Status.PARTIALLY_FULFILLED if requirement.purchased_quantity else _Status.ACTIVE


def _settle(requirement: Requirement) -> None:
    """Let the status follow what was bought. That of an ended requirement stays, and a hold-up stays one."""
    if requirement.is_live or requirement.status == _Status.FULFILLED:
        requirement.status = live_status(requirement)
    elif requirement.status in (_Status.PENDING_APPROVAL, _Status.SUSPENDED) and requirement.is_complete:
        requirement.status = _Status.FULFILLED


def tell_fulfilled(requirement: Requirement) -> None:
    """Emit that enough was bought."""
    since = requirement.live_since
    trades = requirement.fulfilments.exclude(trade_id=None).values("trade_id").distinct().count()
    emit(
        events.RequirementFulfilled(
            **head(requirement),
            purchased=measured(requirement, requirement.purchased_quantity),
            trades=trades,
            hours_live=None if since is None else int((clock.now() - since).total_seconds() // 3600),
        )
    )


def open_demand(requirement: Requirement) -> Decimal:
    """What may still be agreed: the cap less what is committed, bought and reserved for a deal, at least 0."""
    bound, matched = (
        _held(requirement, bound_negotiation_id__isnull=False),
        _held(requirement, match_id__isnull=False),
    )
    alike = Q(availability__unit=requirement.unit)
    sums = (bound | matched).aggregate(
        quantity=Sum("open_quantity", filter=alike), kg=Sum("weight_kg", filter=~alike)
    )
    reserved = (sums["quantity"] or NOTHING) + requirement.in_unit(sums["kg"] or NOTHING)
    left: Decimal = (
        requirement.cap - requirement.committed_quantity - requirement.purchased_quantity - reserved
    )
    return max(left, NOTHING)


def require_no_deal(requirement: Requirement) -> None:
    """Raise DealPending while an accepted negotiation of the requirement waits for its trade."""
    if _held(requirement, bound_negotiation_id__isnull=False).exists():
        raise rules.DealPending


def _held(requirement: Requirement, **backing: bool) -> Any:
    """Reservations for the requirement that back a deal of this kind and no trade yet."""
    held = Reservation.objects.filter(requirement_id=requirement.pk, status=Reservation.Status.HELD)
    return held.filter(expires_at__gt=clock.now(), **backing)
