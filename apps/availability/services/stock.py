"""The ledger of an offer: every movement locks the offer, then its reservations by id, then credit accounts by id.

Modules above call these services inside their own transaction. They name the holder, and the rules for a partner's own
reservation don't apply to them (rulings X9).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Sum

from apps.availability import capabilities, events
from apps.availability.models import Availability, Reservation, Stage
from apps.availability.models.base import step_price
from apps.availability.services import content, rules, terms
from apps.availability.services.approval import request_approval, withdraw_request
from apps.availability.services.listing import measured
from apps.availability.services.rules import head
from apps.commodities.models.terms import PaymentTerms
from apps.commodities.tax import ConditionNeeded, NoTaxRate
from apps.partners.models import CreditAccount, Partner
from apps.partners.services import exposure
from apps.partners.services.gate import are_related
from erp import clock
from erp.access import SYSTEM, Actor
from erp.errors import FieldError, Invalid
from erp.masked import masked_checks
from erp.services import Refusal, emit, refuse, service

NEGOTIATION_HOURS: Final = 72
BIND_HOURS: Final = 24
UNSECURED: Final = timedelta(hours=4)  # that a partner's own reservation lives that needs no credit
FRUITLESS, FRUITLESS_DAYS = 3, 7  # own reservations without a trade, before a partner waits
_PAISA: Final = Decimal("0.01")
_Status = Availability.Status
CREDIT_ERRORS: Final = (
    exposure.CreditLimitMissing, exposure.CreditExceeded, rules.PriceUnknown, rules.RateMissing, NoTaxRate,
    ConditionNeeded,
)  # fmt: skip
RELEASES: Final = [events.AvailabilityReleased]
# Whether a partner has a requirement of that id, a live one unless a deal goes on: the module of requirements answers.
requirement_checks: list[Callable[[UUID, UUID, bool], bool]] = []


@service(
    requires=capabilities.RESERVE,
    emits=[
        events.AvailabilityReserved,
        events.AvailabilityReleased,
        events.AvailabilityReservationRefused,
    ],
    raises=[
        rules.InvalidState,
        rules.QuantityExceeded,
        rules.SellerNotEligible,
        rules.HolderNotEligible,
        rules.RelatedParty,
        rules.BelowMinimum,
        rules.WholeLotOnly,
        rules.QuantityNotWhole,
        rules.HoldTooLong,
        rules.PartnerInvalid,
        rules.ThroughMatch,
        rules.ReservationLimit,
        *CREDIT_ERRORS,
    ],
)
def reserve(
    offer: Availability,
    *,
    actor: Actor,
    quantity: Decimal,
    hold_hours: int | None = None,
    holder_partner: Partner | None = None,
    requirement_id: UUID | None = None,
    match_id: UUID | None = None,
    negotiation_id: UUID | None = None,
    unit_price: Decimal | None = None,
    payment_term: PaymentTerms | None = None,
    until: datetime | None = None,
    rate: exposure.Rate | None = None,
) -> Reservation | Refusal:
    """Reserve part of an offer until a deadline.

    The available quantity is checked on the locked row, so nothing is oversold; the credit that it needs is held in the
    same transaction. With a match or negotiation ``unit_price`` and ``payment_term`` are the agreed ones, else the
    offer's; ``until`` is then the deadline.
    """
    now = clock.now()
    from_above = match_id is not None or negotiation_id is not None
    holder = rules.acting_partner(actor if not from_above else _ANY, holder_partner, "/holder_partner_id")
    own_call = actor.partner_id is not None and not from_above
    rules.require_status(offer, _Status.ACTIVE)
    if offer.expires_at is not None and offer.expires_at <= now:
        raise rules.InvalidState("The offer has expired.", status_now=offer.status, allowed_actions=[])
    expires_at = until or _deadline(offer, now, hold_hours, own_call=own_call)
    rules.require_whole(offer, quantity, "/quantity")
    rules.require_holder(offer, holder)
    if requirement_id is not None:
        _check_requirement(requirement_id, holder, from_above=from_above)
    if own_call:
        _check_own_call(offer, holder, now)
    if are_related(holder, offer.seller_partner):
        emit(
            events.AvailabilityReservationRefused(
                **head(offer), holder_partner_id=holder.pk, reason="related_party"
            )
        )
        return refuse(rules.RelatedParty("A seller can't reserve its own goods, nor can a related firm."))

    # The caller's own input is checked above; what follows depends on figures that the caller may not see.
    stage = offer.stage_for(actor)
    sees_seller, sees_quantity = stage >= Stage.OWNER, stage >= Stage.NEGOTIATING
    sees_price = offer.price_public or stage >= Stage.MATCHED
    with masked_checks(actor, offer, visible=sees_seller):
        rules.require_seller(offer, destination=holder.country, with_reasons=sees_seller)
    overdue = list(offer.reservations.overdue(now).locked().order_by("pk"))
    free = offer.available_quantity + sum(reservation.still_open for reservation in overdue)
    with masked_checks(actor, offer, visible=sees_quantity):
        _check_quantity(offer, quantity, free, with_available=sees_quantity, minimum=not from_above)

    # Those whose reservations end here, and the buyer: locked together, since one order everywhere can't deadlock.
    accounts = exposure.lock_accounts({holder.pk, *(each.holder_partner_id for each in overdue)})
    end_reservations(offer, overdue, actor=actor, status=Reservation.Status.EXPIRED, reason="expired")
    is_agreed = from_above and unit_price is not None
    agreed = unit_price if is_agreed else offer.price_for(quantity)
    weight = _weight(offer, quantity)
    reservation = Reservation(
        availability=offer,
        holder_partner=holder,
        requirement_id=requirement_id,
        match_id=match_id,
        negotiation_id=negotiation_id,
        quantity=quantity,
        weight_kg=weight,
        reserved_weight_kg=weight,
        terms_version=offer.terms_version,
        unit_price=agreed,
        currency=offer.currency,
        pricing_unit=offer.pricing_unit,
        pricing_unit_version=offer.pricing_unit_version,
        price_basis=offer.price_basis or "",
        price_steps=[] if is_agreed else _prices(offer),
        payment_term=(payment_term if from_above else None) or offer.payment_term,
        tax_basis=offer.tax_basis,
        expires_at=expires_at,
        reserved_by_id=actor.pk,
        by_holder=own_call,
    )
    price = agreed if agreed is not None else _dearest(unit_price, offer.reference_price)
    amount = rules.credit_needed(offer, reservation, price)
    if own_call and (not amount or (agreed is None and offer.reference_price is None)):
        # Nothing is held, or as little as the buyer says.
        reservation.expires_at = expires_at = min(expires_at, now + UNSECURED)
    reservation.credit_amount = _in_account(accounts.get(holder.pk), amount, offer.currency, rate)
    offer.available_quantity -= quantity
    offer.reserved_quantity += quantity
    offer.save()
    reservation.save()
    with masked_checks(actor, offer, visible=sees_price), _price_hidden(hidden=not sees_price):
        exposure.take_hold(
            actor=actor,
            partner=holder,
            amount=reservation.credit_amount,
            source=_source(reservation),
            entry_key=str(reservation.pk),
            expires_at=reservation.expires_at,
            rate=rate,
        )
    emit(
        events.AvailabilityReserved(
            **head(offer),
            reservation_id=reservation.pk,
            holder_partner_id=holder.pk,
            requirement_id=requirement_id,
            match_id=match_id,
            negotiation_id=negotiation_id,
            quantity=measured(offer, quantity),
            remaining=measured(offer, offer.available_quantity),
            weight_kg=reservation.weight_kg,
            unit_price=agreed,
            currency=offer.currency,
            expires_at=expires_at,
        )
    )
    return reservation


class _Above:
    """Stands for a module above, which names the holder."""

    partner_id = None


_ANY: Any = _Above()


def _deadline(offer: Availability, now: datetime, hours: int | None, *, own_call: bool) -> datetime:
    most = offer.max_hold_hours if own_call else rules.HOURS_FOR_STAFF
    wanted = hours or offer.max_hold_hours
    if wanted > most:
        raise rules.HoldTooLong(
            f"The reservation can last at most {most} hours.",
            errors=[FieldError("/hold_hours", "too_long", f"At most {most} hours.")],
        )
    return now + timedelta(hours=wanted)


def _check_requirement(requirement_id: UUID, holder: Partner, *, from_above: bool) -> None:
    """Raise Invalid unless it is the holder's and live; a deal above goes on after its requirement has ended."""
    if not any(check(requirement_id, holder.pk, from_above) for check in requirement_checks):
        words = "This row does not exist, or you may not see it."
        raise Invalid(errors=[FieldError("/requirement_id", "does_not_exist", words)])


def _check_own_call(offer: Availability, holder: Partner, now: datetime) -> None:
    """What a partner's own reservation must keep to; modules above and staff needn't."""
    if offer.visibility == Availability.Visibility.MATCHED_ONLY:
        raise rules.ThroughMatch
    fruitless = offer.reservations.filter(
        holder_partner=holder,
        by_holder=True,
        status__in=(Reservation.Status.RELEASED, Reservation.Status.EXPIRED),
        ended_at__gt=now - timedelta(days=FRUITLESS_DAYS),
    )
    if fruitless.count() >= FRUITLESS:
        raise rules.ReservationLimit


def _check_quantity(
    offer: Availability, quantity: Decimal, free: Decimal, *, with_available: bool, minimum: bool
) -> None:
    if quantity > free:
        members: dict[str, Any] = {"available": format(free, "f")} if with_available else {}
        raise rules.QuantityExceeded("The quantity exceeds what is available. Reserve less.", **members)
    if not offer.allow_partial and quantity != offer.total_quantity - offer.withdrawn_quantity:
        raise rules.WholeLotOnly
    least = offer.min_order_quantity
    if minimum and least is not None and quantity < least and quantity != free:
        raise rules.BelowMinimum


def _weight(offer: Availability, quantity: Decimal) -> Decimal:
    """The weight of a part by its share; the last part takes what the others leave."""
    if quantity != offer.available_quantity or offer.withdrawn_quantity:
        return offer.weight_of(quantity)
    taken = offer.reservations.filter(status__in=("HELD", "IN_TRADE", "SOLD")).aggregate(kg=Sum("weight_kg"))[
        "kg"
    ]
    rest = offer.total_weight_kg - (taken or 0)
    return rest if rest > 0 else offer.weight_of(quantity)


def _prices(offer: Availability) -> list[dict[str, str]]:
    """Prices by quantity, the offer's own from 0 on; none without steps."""
    if not offer.price_steps:
        return []
    return [{"min_quantity": "0", "unit_price": f"{offer.unit_price:f}"}, *offer.price_steps]


def _dearest(*prices: Decimal | None) -> Decimal | None:
    return max((price for price in prices if price is not None), default=None)


# Credit


@contextmanager
def _price_hidden(*, hidden: bool) -> Iterator[None]:
    """Leave out of a refusal what the goods would have cost, from which their price follows."""
    try:
        yield
    except exposure.CreditExceeded as refusal:
        if not hidden:
            raise
        known = {name: value for name, value in refusal.members.items() if name != "asked"}
        raise exposure.CreditExceeded(**known) from None


def _source(reservation: Reservation) -> exposure.Source:
    return exposure.Source("reservation", reservation.pk)


def _in_account(
    account: CreditAccount | None, amount: Decimal, currency: str, rate: exposure.Rate | None
) -> Decimal:
    """The amount in the currency of the holder's credit. Raises RateMissing."""
    if not amount:
        return Decimal("0.00")
    if account is None or account.currency == currency:
        return amount
    if rate is None:
        raise rules.RateMissing
    return (amount * rate.rate).quantize(_PAISA, ROUND_HALF_UP)


def _credit_of(reservation: Reservation, quantity: Decimal) -> Decimal:
    """The credit that an open quantity of the reservation holds."""
    return (reservation.credit_amount * quantity / Decimal(reservation.quantity)).quantize(
        _PAISA, ROUND_HALF_UP
    )


def _move_credit(
    reservation: Reservation, before: Decimal, actor: Actor, key: str, rate: exposure.Rate | None = None
) -> None:
    """Bring the credit that is held from ``before`` to what the reservation holds as it stands now."""
    difference = _credit_of(reservation, reservation.still_open) - before
    shared: dict[str, Any] = {
        "actor": actor,
        "partner": reservation.holder_partner,
        "source": _source(reservation),
        "entry_key": f"{reservation.pk}:{key}",
    }
    if difference > 0:
        exposure.take_hold(**shared, amount=difference, expires_at=reservation.expires_at, rate=rate)
    elif difference < 0:
        exposure.release_hold(**shared, amount=-difference if reservation.still_open else None)


def _price_rest(reservation: Reservation, rest: Decimal) -> None:
    """Price what stays reserved by its own step: the price of a larger quantity isn't kept for a smaller one."""
    old = reservation.unit_price
    new = step_price(reservation.price_steps, rest, old)
    if old is not None and new is not None and new != old:
        reservation.credit_amount = (reservation.credit_amount * new / old).quantize(_PAISA, ROUND_HALF_UP)
        reservation.unit_price = new


# Release


@service(
    requires=capabilities.RELEASE,
    emits=RELEASES,
    raises=[
        rules.ReservationNotFound,
        rules.ReservationInTrade,
        rules.ReservationClosed,
        rules.ReservationBound,
        rules.QuantityExceeded,
        rules.BelowMinimum,
        rules.WholeLotOnly,
        rules.QuantityNotWhole,
        rules.Incomplete,
        exposure.CreditLimitMissing,
        exposure.CreditExceeded,
    ],
)
def release(
    offer: Availability,
    *,
    actor: Actor,
    reservation_id: UUID,
    quantity: Decimal | None = None,
    reason: str = "",
    cause: str = "",
) -> Reservation:
    """Release all or part of a reservation. Only its buyer or staff can release it. The rest has its own step's price.

    ``cause`` is what the event says where a module above releases it, such as ``by_match``.
    """
    rows = offer.reservations.locked().filter(pk=reservation_id)
    reservation: Reservation | None = (rows if cause else rows.visible_to(actor)).first()
    if reservation is None:
        raise _not_found()
    if reservation.status in Reservation.TRADED:
        raise rules.ReservationInTrade
    if reservation.status != Reservation.Status.HELD:
        raise rules.ReservationClosed(status_now=reservation.status)
    by_staff = actor.is_staff
    if reservation.bound_negotiation_id is not None and not (by_staff or actor.is_system or cause):
        raise rules.ReservationBound
    if by_staff and not cause and len(reason) < 3:
        words = "Enter a reason of at least 3 characters."
        raise rules.Incomplete.at("/reason", "required", words)
    part = quantity if quantity is not None else reservation.still_open
    rules.require_whole(offer, part, "/quantity")
    if part > reservation.still_open:
        raise rules.QuantityExceeded(f"Only {reservation.still_open:f} {offer.unit} is still reserved.")
    rest = reservation.still_open - part
    if rest and not cause:
        if not offer.allow_partial:
            raise rules.WholeLotOnly
        with masked_checks(actor, offer, visible=offer.stage_for(actor) >= Stage.NEGOTIATING):
            if offer.min_order_quantity is not None and rest < offer.min_order_quantity:
                raise rules.BelowMinimum(
                    "The quantity that would remain reserved is below the offer's minimum."
                )
    reservation.release_reason = reason
    before = _credit_of(reservation, reservation.still_open)
    if rest:
        _price_rest(reservation, rest)
    _give_back(offer, reservation, part, Reservation.Status.RELEASED)
    _tell_released(offer, reservation, part, cause or ("by_staff" if by_staff else "by_holder"))
    _move_credit(reservation, before, actor, _released(reservation))
    refresh_lots(offer)
    return reservation


@service(requires=capabilities.RELEASE, emits=RELEASES, label="End reservations that have run out")
def expire_reservations(offer: Availability, *, actor: Actor) -> Availability:
    """End the reservations of an offer that are past their deadline; a rerun changes nothing."""
    overdue = list(offer.reservations.overdue(clock.now()).locked().order_by("pk"))
    end_reservations(offer, overdue, actor=actor, status=Reservation.Status.EXPIRED, reason="expired")
    return offer


@service(requires=capabilities.RELEASE, emits=RELEASES, label="Release reservations of a requirement")
def release_for_requirement(offer: Availability, *, actor: Actor, requirement_id: UUID) -> Availability:
    """Release what is held for a requirement that has ended, but for reservations that back a deal."""
    rows = offer.reservations.filter(requirement_id=requirement_id).unprotected()
    _release_all(offer, rows, actor, "requirement_ended")
    return offer


@service(requires=capabilities.RELEASE, emits=RELEASES, label="Release reservations of suspended partners")
def release_for_suspended(offer: Availability, *, actor: Actor) -> Availability:
    """Release what suspended partners hold, and all that is held of a suspended seller, whatever the offer's status.

    Also what backs a deal: the trade could not be made.
    """
    _release_all(offer, offer.reservations.of_suspended(), actor, "partner_suspended")
    return offer


def release_all(offer: Availability, actor: Actor, reason: str, *, protected: bool = False) -> None:
    """Release every held reservation of the offer; ``protected``: those that back a deal too."""
    rows = offer.reservations.all() if protected else offer.reservations.unprotected()
    _release_all(offer, rows, actor, reason)


def _release_all(offer: Availability, rows: Any, actor: Actor, reason: str) -> None:
    held = rows.filter(status=Reservation.Status.HELD).locked().order_by("pk")
    end_reservations(offer, list(held), actor=actor, status=Reservation.Status.RELEASED, reason=reason)


def end_reservations(
    offer: Availability, reservations: Iterable[Reservation], *, actor: Actor, status: str, reason: str
) -> None:
    """End reservations, one event each; credit comes last, by account, as every caller locks it."""
    freed = []
    for reservation in reservations:
        part, before = reservation.still_open, _credit_of(reservation, reservation.still_open)
        _give_back(offer, reservation, part, status)
        _tell_released(offer, reservation, part, reason)
        freed.append((reservation, before))
    for reservation, before in sorted(freed, key=lambda each: (each[0].holder_partner_id, each[0].pk)):
        _move_credit(reservation, before, actor, _released(reservation))
    if freed:
        refresh_lots(offer)


def _released(reservation: Reservation) -> str:
    """Key of the credit's movement: each release has its own."""
    return f"{reservation.released_quantity:.3f}"


def _give_back(offer: Availability, reservation: Reservation, part: Decimal, ended: str) -> None:
    """Move a part from reserved to available, or to withdrawn where the offer has ended."""
    reservation.released_quantity += part
    reservation.weigh()
    if not reservation.still_open:
        reservation.status, reservation.ended_at = ended, clock.now()
    reservation.save()
    offer.reserved_quantity -= part
    if offer.has_ended:
        offer.withdrawn_quantity += part
    else:
        offer.available_quantity += part
    offer.save()


def _tell_released(offer: Availability, reservation: Reservation, part: Decimal, reason: str) -> None:
    emit(
        events.AvailabilityReleased(
            **head(offer),
            reservation_id=reservation.pk,
            holder_partner_id=reservation.holder_partner_id,
            requirement_id=reservation.requirement_id,
            quantity=measured(offer, part),
            open_quantity=measured(offer, reservation.still_open),
            remaining=measured(offer, offer.available_quantity),
            reason=reason,
        )
    )


def _not_found() -> rules.ReservationNotFound:
    words = "The offer has no such reservation that you can use."
    return rules.ReservationNotFound(errors=[FieldError("/reservation_id", "does_not_exist", words)])


# For negotiations and trades


def _locked(offer: Availability, reservation_id: UUID) -> Reservation:
    reservation: Reservation | None = offer.reservations.locked().filter(pk=reservation_id).first()
    if reservation is None:
        raise _not_found()
    return reservation


def _held(offer: Availability, reservation_id: UUID) -> Reservation:
    """The reservation, locked, if it still binds stock: past its deadline it is worth nothing, before any sweep."""
    reservation = _locked(offer, reservation_id)
    if reservation.status in Reservation.TRADED:
        raise rules.ReservationInTrade
    if reservation.status != Reservation.Status.HELD:
        raise rules.ReservationClosed(status_now=reservation.status)
    if reservation.expires_at is None or reservation.expires_at <= clock.now():
        raise rules.ReservationExpired
    return reservation


_HELD_ERRORS: Final = [
    rules.ReservationNotFound, rules.ReservationInTrade, rules.ReservationClosed, rules.ReservationExpired,
]  # fmt: skip


def _deal(offer: Availability, reservation: Reservation, part: Decimal | None = None) -> dict[str, Any]:
    return {
        **head(offer),
        "reservation_id": reservation.pk,
        "holder_partner_id": reservation.holder_partner_id,
        "quantity": measured(offer, reservation.still_open if part is None else part),
    }


@service(
    requires=capabilities.RESERVE,
    emits=[events.AvailabilityHoldBound],
    raises=[*_HELD_ERRORS, rules.ReservationBound, rules.HoldTooLong, *CREDIT_ERRORS],
    label="Bind to a negotiation",
)
def bind(
    offer: Availability,
    *,
    actor: Actor,
    reservation_id: UUID,
    negotiation_id: UUID,
    unit_price: Decimal,
    until: datetime,
    payment_term: PaymentTerms | None = None,
    rate: exposure.Rate | None = None,
) -> Reservation:
    """Bind a reservation to an accepted negotiation on the agreed terms, and price its credit anew.

    From now on only the trade of the negotiation can use it, and only staff or SYSTEM release it.
    """
    reservation = _held(offer, reservation_id)
    if reservation.bound_negotiation_id not in (None, negotiation_id):
        raise rules.ReservationBound
    now = clock.now()
    longest = max(
        reservation.created_at + timedelta(hours=NEGOTIATION_HOURS), now + timedelta(hours=BIND_HOURS)
    )
    if until > longest:
        raise rules.HoldTooLong(f"The reservation can last until {clock.local(longest)} at most.")
    reservation.bound_negotiation_id, reservation.expires_at = negotiation_id, until
    _agree(offer, reservation, actor, unit_price, payment_term, rate)
    emit(
        events.AvailabilityHoldBound(
            **_deal(offer, reservation), negotiation_id=negotiation_id, expires_at=until
        )
    )
    return reservation


def _agree(
    offer: Availability,
    reservation: Reservation,
    actor: Actor,
    unit_price: Decimal,
    payment_term: PaymentTerms | None,
    rate: exposure.Rate | None,
) -> None:
    """Store the agreed price and payment terms, and hold the credit that they need until the deadline."""
    before = _credit_of(reservation, reservation.still_open)
    reservation.payment_term = payment_term or reservation.payment_term
    amount = rules.credit_needed(offer, reservation, unit_price)
    account = CreditAccount.objects.filter(partner=reservation.holder_partner_id).first()
    reservation.credit_amount = _in_account(account, amount, reservation.currency, rate)
    reservation.unit_price, reservation.price_steps = unit_price, []
    reservation.save()
    _move_credit(reservation, before, actor, f"agree:{reservation.version}", rate)
    _extend_credit(reservation, actor)


def _extend_credit(reservation: Reservation, actor: Actor) -> None:
    if reservation.credit_amount:
        exposure.extend_hold(
            actor=actor,
            partner=reservation.holder_partner,
            source=_source(reservation),
            expires_at=reservation.expires_at,
        )


@service(
    requires=capabilities.RESERVE,
    emits=[events.AvailabilityHoldExtended],
    raises=[*_HELD_ERRORS, rules.HoldTooLong, rules.NotLater, *CREDIT_ERRORS],
    label="Extend a reservation",
)
def extend_hold(
    offer: Availability,
    *,
    actor: Actor,
    reservation_id: UUID,
    until: datetime,
    unit_price: Decimal | None = None,
    payment_term: PaymentTerms | None = None,
    rate: exposure.Rate | None = None,
) -> Reservation:
    """Let a reservation live longer, at most 72 hours after it was made; its credit with it.

    With ``unit_price`` its credit is priced anew, at this price and on these payment terms; the deadline may stay.
    """
    reservation = _held(offer, reservation_id)
    assert reservation.expires_at is not None, "it is held"
    if until < reservation.expires_at or (unit_price is None and until == reservation.expires_at):
        raise rules.NotLater
    if until > reservation.created_at + timedelta(hours=NEGOTIATION_HOURS):
        raise rules.HoldTooLong(f"At most {NEGOTIATION_HOURS} hours after it was made.")
    reservation.expires_at = until
    if unit_price is None:
        reservation.save()
        _extend_credit(reservation, actor)
    else:
        _agree(offer, reservation, actor, unit_price, payment_term, rate)
    emit(events.AvailabilityHoldExtended(**_deal(offer, reservation), expires_at=until))
    return reservation


@service(
    requires=capabilities.MARK_SOLD,
    emits=[events.AvailabilityCommitted],
    raises=[*_HELD_ERRORS, rules.ReservationBound, rules.TradeMismatch],
    label="Commit to a trade",
)
def commit(
    offer: Availability,
    *,
    actor: Actor,
    reservation_id: UUID,
    trade_id: UUID,
    unit_price: Decimal,
    negotiation_id: UUID | None = None,
) -> Reservation:
    """Let a reservation back a trade: it has no deadline any more. All that is open of it goes into the trade."""
    reservation = _held(offer, reservation_id)
    if reservation.bound_negotiation_id not in (None, negotiation_id):
        raise rules.ReservationBound
    reservation.status, reservation.expires_at = Reservation.Status.IN_TRADE, None
    reservation.trade_id, reservation.agreed_price = trade_id, unit_price
    reservation.save()
    emit(
        events.AvailabilityCommitted(
            **_deal(offer, reservation),
            trade_id=trade_id,
            unit_price=unit_price,
            currency=reservation.currency,
        )
    )
    return reservation


def _in_trade(offer: Availability, reservation_id: UUID, trade_id: UUID) -> Reservation:
    reservation = _locked(offer, reservation_id)
    if reservation.status == Reservation.Status.HELD:
        raise rules.ReservationNotInTrade
    if reservation.trade_id != trade_id:
        raise rules.TradeMismatch
    return reservation


@service(
    requires=capabilities.MARK_SOLD,
    emits=[events.AvailabilitySold],
    raises=[
        rules.ReservationNotFound, rules.ReservationNotInTrade, rules.ReservationClosed, rules.TradeMismatch,
    ],
    label="Mark as sold",
)  # fmt: skip
def mark_sold(offer: Availability, *, actor: Actor, reservation_id: UUID, trade_id: UUID) -> Reservation:
    """Move a reservation that backs a trade to sold. Trades do this at approval; here it repairs."""
    reservation = _in_trade(offer, reservation_id, trade_id)
    if reservation.status != Reservation.Status.IN_TRADE:
        raise rules.ReservationClosed(status_now=reservation.status)
    part = reservation.still_open
    reservation.status, reservation.sold_at = Reservation.Status.SOLD, clock.now()
    reservation.save()
    offer.reserved_quantity -= part
    offer.sold_quantity += part
    settle_status(offer)
    offer.save()
    refresh_lots(offer)
    price = reservation.agreed_price if reservation.agreed_price is not None else reservation.unit_price
    emit(
        events.AvailabilitySold(
            **_deal(offer, reservation),
            trade_id=trade_id,
            price=price,
            currency=reservation.currency,
            remaining=measured(offer, offer.available_quantity),
        )
    )
    return reservation


@service(
    requires=capabilities.MARK_SOLD,
    emits=[events.AvailabilityReturned],
    raises=[
        rules.ReservationNotFound, rules.ReservationNotInTrade, rules.ReservationClosed, rules.TradeMismatch,
        rules.QuantityExceeded, rules.LotAlreadyOffered,
    ],
    label="Return stock",
)  # fmt: skip
def return_stock(
    offer: Availability,
    *,
    actor: Actor,
    reservation_id: UUID,
    trade_id: UUID,
    quantity: Decimal | None = None,
    withdraw: bool = False,
) -> Reservation:
    """Take stock back from a trade that was cancelled or made smaller; without ``quantity`` all that is open.

    It can be reserved again, unless the offer has ended or ``withdraw`` says that the seller keeps it.
    """
    reservation = _in_trade(offer, reservation_id, trade_id)
    if reservation.status not in Reservation.TRADED:
        raise rules.ReservationClosed(status_now=reservation.status)
    part = reservation.still_open if quantity is None else quantity
    if part > reservation.still_open:
        raise rules.QuantityExceeded(f"The trade holds {reservation.still_open:f} {offer.unit}.")
    if reservation.status == Reservation.Status.SOLD:
        offer.sold_quantity -= part
    else:
        offer.reserved_quantity -= part
    is_withdrawn = withdraw or offer.has_ended
    if is_withdrawn:
        offer.withdrawn_quantity += part
    else:
        offer.available_quantity += part
    reservation.released_quantity += part
    reservation.weigh()
    if not reservation.still_open:
        reservation.status, reservation.ended_at = Reservation.Status.RETURNED, clock.now()
    reservation.save()
    was_sold_out = offer.status == _Status.SOLD_OUT
    settle_status(offer)
    offer.save()
    refresh_lots(offer)
    if was_sold_out and offer.status == _Status.PENDING_APPROVAL:
        request_approval(offer, SYSTEM, "came back with other terms")
    emit(
        events.AvailabilityReturned(
            **_deal(offer, reservation, part),
            trade_id=trade_id,
            to="withdrawn" if is_withdrawn else "available",
        )
    )
    return reservation


@service(
    requires=capabilities.MARK_SOLD,
    emits=[events.AvailabilitySaleClosed],
    raises=[
        rules.ReservationNotFound,
        rules.ReservationNotInTrade,
        rules.ReservationClosed,
        rules.TradeMismatch,
    ],
    label="Close a sale",
)
def close_sale(offer: Availability, *, actor: Actor, reservation_id: UUID, trade_id: UUID) -> Reservation:
    """Note that the trade was settled: its lots no longer keep the numbers from being offered."""
    reservation = _in_trade(offer, reservation_id, trade_id)
    if reservation.status != Reservation.Status.SOLD:
        raise rules.ReservationClosed(status_now=reservation.status)
    if reservation.closed_at is None:
        reservation.closed_at = clock.now()
        reservation.save()
        refresh_lots(offer)
        emit(events.AvailabilitySaleClosed(**_deal(offer, reservation), trade_id=trade_id))
    return reservation


def settle_status(offer: Availability) -> None:
    """Let the status follow the ledger: sold out with the last sale, back on the market with returned stock."""
    was_pending = offer.status == _Status.PENDING_APPROVAL
    nothing_open = not offer.available_quantity and not offer.reserved_quantity
    if (offer.is_live or offer.status == _Status.SOLD_OUT) and nothing_open:
        offer.status = _Status.SOLD_OUT if offer.sold_quantity else _Status.CANCELLED
        if was_pending:
            withdraw_request(offer)
    elif offer.status == _Status.SOLD_OUT:
        offer.status = back_status(offer)


def back_status(offer: Availability) -> str:
    """The status in which an offer comes back: suspended while a cause lasts, or awaiting approval of other terms."""
    if offer.seller_partner.status == Partner.Status.SUSPENDED and "partner" not in offer.suspended_for:
        offer.suspended_for = [*offer.suspended_for, "partner"]
    if offer.suspended_for:
        return str(_Status.SUSPENDED)
    return str(_Status.PENDING_APPROVAL if terms.beyond_approval(offer) else _Status.ACTIVE)


def refresh_lots(offer: Availability) -> None:
    """Keep the lots from being offered again while the offer is live or a sale of it is open (rulings A3)."""
    live = offer.is_live or offer.reservations.holding_lots().exists()
    changing = offer.lots.exclude(is_live=live)
    if live and changing.exists():
        content.take_turns_with_lots(offer)
    changing.update(is_live=live)
