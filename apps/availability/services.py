"""Services of offers and their reservations."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalDecision, ApprovalRequest
from apps.availability import capabilities, events
from apps.availability.models import Availability, Reservation, Stage
from apps.commodities.models.commodities import Commodity
from apps.partners.models import Partner
from erp import access, clock
from erp.access import SYSTEM, Actor
from erp.approvals import ApprovalKind
from erp.errors import Conflict, FieldError, RuleBroken
from erp.events import Quantity
from erp.masked import masked_checks
from erp.services import Refusal, emit, refuse, service

HOURS_FOR_STAFF = 168
CHUNK = 500  # reservations per run of the periodic task


def _authors(request: ApprovalRequest) -> Iterable[UUID]:
    offer = Availability.objects.get(pk=request.subject_id)
    return [person for person in (offer.created_by_id, offer.updated_by_id) if person is not None]


OFFER = ApprovalKind(
    name="availability.approve",
    title="Offer of goods",
    subject="availability",
    model="availability.Availability",
    capability=capabilities.APPROVE,
    days=None,
    decided_at="module",
    excludes=_authors,
    version_of=lambda offer: int(offer.terms_version),
)


class InvalidState(Conflict):
    """The offer's status doesn't allow this action."""


class SellerNotEligible(Conflict):
    """The seller isn't open for new business at present."""


class HolderNotEligible(Conflict):
    """The buyer isn't open for new business at present."""


class QuantityExceeded(Conflict):
    """The quantity exceeds what is available."""


class WindowOver(Conflict):
    """The offer's window has closed."""


class ReservationClosed(Conflict):
    """The reservation has ended."""


class ReservationInTrade(Conflict):
    """The reservation backs a trade."""


class ReservationNotFound(RuleBroken):
    """The offer has no such reservation that you can release."""


class RelatedParty(RuleBroken):
    """Buyer and seller are related parties."""


class BelowMinimum(RuleBroken):
    """The quantity is below the offer's minimum."""


class WholeLotOnly(RuleBroken):
    """The offer is sold only as a whole."""


class QuantityNotWhole(RuleBroken):
    """Quantity must be a whole number of packages."""


class HoldTooLong(RuleBroken):
    """The reservation is longer than the offer allows."""


class UnitNotAllowed(RuleBroken):
    """The commodity isn't traded in this unit."""


class WindowInvalid(RuleBroken):
    """The dates of the offer are invalid."""


class PlaceInvalid(RuleBroken):
    """The place is incomplete."""


class PartnerInvalid(RuleBroken):
    """The partner is missing or isn't your own."""


class CommodityNotActive(RuleBroken):
    """The commodity isn't open for new offers."""


class Incomplete(RuleBroken):
    """Required information is missing."""


class Place(TypedDict, total=False):
    """Where the goods are stored."""

    address: str
    country: str
    state_code: str
    district: str
    time_zone: str


@service(
    requires=capabilities.CREATE,
    emits=[events.AvailabilityCreated, events.AvailabilitySubmitted],
    raises=[
        SellerNotEligible,
        UnitNotAllowed,
        QuantityNotWhole,
        WindowInvalid,
        PlaceInvalid,
        PartnerInvalid,
        CommodityNotActive,
        BelowMinimum,
        Incomplete,
    ],
)
def post(
    *,
    actor: Actor,
    commodity: Commodity,
    total_quantity: Decimal,
    place: Place,
    available_from_date: date,
    available_until_date: date,
    unit: str | None = None,
    crop_year: str | None = None,
    total_weight_kg: Decimal | None = None,
    weight_basis: str = Availability.WeightBasis.ESTIMATED,
    quantity_tolerance_percent: Decimal = Decimal(5),
    allow_partial: bool = True,
    min_order_quantity: Decimal | None = None,
    max_hold_hours: int = 24,
    visibility: str = Availability.Visibility.PUBLIC,
    internal_reference: str = "",
    notes: str = "",
    seller_partner: Partner | None = None,
    submit: bool = False,
) -> Availability:
    """Post an offer. It is saved as a draft unless it is submitted for approval."""
    now = clock.now()
    unit = unit or commodity.trade_unit
    offer = Availability(
        number=Availability.next_number(now),
        seller_partner=_acting_partner(actor, seller_partner, "/seller_partner_id"),
        created_by_id=actor.pk,
        updated_by_id=actor.pk,
        commodity=commodity,
        crop_year=crop_year,
        **_place(place),
        unit=unit,
        total_quantity=total_quantity,
        available_quantity=total_quantity,
        total_weight_kg=_weight(commodity, unit, total_quantity, total_weight_kg),
        weight_basis=weight_basis,
        quantity_tolerance_percent=quantity_tolerance_percent,
        allow_partial=allow_partial,
        min_order_quantity=min_order_quantity,
        max_hold_hours=max_hold_hours,
        available_from_date=available_from_date,
        available_until_date=available_until_date,
        visibility=visibility,
        internal_reference=internal_reference,
        notes=notes,
    )
    access.authorize(actor, capabilities.CREATE, offer)
    _check_offer(offer, commodity)
    if submit:
        _check_submission(offer, commodity, now)
        offer.status = Availability.Status.PENDING_APPROVAL
        offer.expires_at = offer.window_end()
    offer.save()
    emit(
        events.AvailabilityCreated(
            **_head(offer),
            crop_year=crop_year,
            state_code=offer.state_code,
            quantity=_quantity(offer, offer.total_quantity),
            weight_kg=offer.total_weight_kg,
            available_from_date=available_from_date,
            available_until_date=available_until_date,
            visibility=visibility,
        )
    )
    if submit:
        emit(events.AvailabilitySubmitted(**_head(offer), cause="initial"))
        _request_approval(offer, actor)
    return offer


@service(
    requires=capabilities.CREATE,
    emits=[events.AvailabilitySubmitted],
    raises=[InvalidState, SellerNotEligible, Incomplete, WindowInvalid],
)
def submit(offer: Availability, *, actor: Actor) -> Availability:
    """Submit an offer for approval."""
    _require_status(offer, Availability.Status.DRAFT)
    _check_submission(offer, offer.commodity, clock.now())
    offer.status = Availability.Status.PENDING_APPROVAL
    offer.expires_at = offer.window_end()
    offer.updated_by_id = actor.pk
    offer.save()
    emit(events.AvailabilitySubmitted(**_head(offer), cause="initial"))
    _request_approval(offer, actor)
    return offer


def _request_approval(offer: Availability, actor: Actor) -> ApprovalRequest:
    """Open the request that ``approve`` decides."""
    request: ApprovalRequest = approvals.request(
        actor=actor,
        kind=OFFER,
        subject_id=offer.pk,
        subject_version=offer.terms_version,
        reason=f"Offer {offer.number} was submitted.",
        diff=[
            ("number", None, offer.number),
            ("commodity", None, offer.commodity.name),
            ("quantity", None, f"{offer.total_quantity} {offer.unit}"),
            ("available_from", None, str(offer.available_from_date)),
            ("available_until", None, str(offer.available_until_date)),
        ],
    )
    return request


@service(
    requires=capabilities.APPROVE,
    emits=[events.AvailabilityApproved],
    raises=[*approvals.DECISION_ERRORS, InvalidState, SellerNotEligible, WindowOver],
)
def approve(offer: Availability, *, actor: Actor, note: str = "") -> Availability:
    """Approve an offer. Its creator and its editor can't approve it."""
    _require_status(offer, Availability.Status.PENDING_APPROVAL)
    request = ApprovalRequest.objects.pending().filter(kind=OFFER.name, subject_id=offer.pk).first()
    approvals.decide(
        request or _request_approval(offer, SYSTEM),  # the requester may have withdrawn it
        actor=actor,
        decision=ApprovalDecision.Decision.APPROVE,
        subject_version=offer.terms_version,
        note=note,
    )
    now = clock.now()
    _require_eligible(offer.seller_partner, SellerNotEligible)
    if offer.window_end() <= now:
        raise WindowOver
    offer.status = Availability.Status.ACTIVE
    offer.approved_by_id, offer.approved_at, offer.listed_at = actor.pk, now, now
    offer.expires_at = min(offer.window_end(), now + timedelta(days=180))
    offer.save()
    emit(
        events.AvailabilityApproved(
            **_head(offer), listed_at=now, expires_at=offer.expires_at, visibility=offer.visibility
        )
    )
    return offer


@service(
    requires=capabilities.RESERVE,
    emits=[
        events.AvailabilityReserved,
        events.AvailabilityReleased,
        events.AvailabilityReservationRefused,
    ],
    raises=[
        InvalidState,
        QuantityExceeded,
        SellerNotEligible,
        HolderNotEligible,
        RelatedParty,
        BelowMinimum,
        WholeLotOnly,
        QuantityNotWhole,
        HoldTooLong,
        PartnerInvalid,
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
) -> Reservation | Refusal:
    """Reserve part of an offer until a deadline.

    The available quantity is checked on the locked row, so nothing is oversold.
    """
    now = clock.now()
    holder = _acting_partner(actor, holder_partner, "/holder_partner_id")
    _require_status(offer, Availability.Status.ACTIVE)
    if offer.expires_at is not None and offer.expires_at <= now:
        raise InvalidState("The offer has expired.", status_now=offer.status, allowed_actions=[])
    most = HOURS_FOR_STAFF if actor.pk is None or actor.is_staff else offer.max_hold_hours
    hours = hold_hours or offer.max_hold_hours
    expires_at = now + timedelta(hours=hours)
    if hours > most:
        raise HoldTooLong(
            f"The reservation can last at most {most} hours.",
            errors=[FieldError("/hold_hours", "too_long", f"At most {most} hours.")],
        )
    _require_whole(offer, quantity, "/quantity")
    _require_eligible(holder, HolderNotEligible)
    if holder.pk == offer.seller_partner_id:
        emit(
            events.AvailabilityReservationRefused(
                **_head(offer), holder_partner_id=holder.pk, reason="related_party"
            )
        )
        return refuse(RelatedParty("A seller can't reserve its own goods."))

    # The caller's own input is checked above; what follows depends on figures that the caller may not see.
    stage = offer.stage_for(actor)
    sees_seller, sees_quantity = stage >= Stage.OWNER, stage >= Stage.NEGOTIATING
    with masked_checks(actor, offer, visible=sees_seller):
        _require_eligible(offer.seller_partner, SellerNotEligible, with_reasons=sees_seller)
    overdue = list(offer.reservations.overdue(now).locked().order_by("pk"))
    free = offer.available_quantity + sum(reservation.still_open for reservation in overdue)
    with masked_checks(actor, offer, visible=sees_quantity):
        _check_quantity(offer, quantity, free, with_available=sees_quantity)

    _end_reservations(offer, overdue, Reservation.Status.EXPIRED, "expired")
    reservation = Reservation(
        availability=offer,
        holder_partner=holder,
        requirement_id=requirement_id,
        match_id=match_id,
        negotiation_id=negotiation_id,
        quantity=quantity,
        weight_kg=offer.weight_of(quantity),
        terms_version=offer.terms_version,
        expires_at=expires_at,
        reserved_by_id=actor.pk,
    )
    offer.available_quantity -= quantity
    offer.reserved_quantity += quantity
    offer.save()
    reservation.save()
    emit(
        events.AvailabilityReserved(
            **_head(offer),
            reservation_id=reservation.pk,
            holder_partner_id=holder.pk,
            requirement_id=requirement_id,
            match_id=match_id,
            negotiation_id=negotiation_id,
            quantity=_quantity(offer, quantity),
            remaining=_quantity(offer, offer.available_quantity),
            weight_kg=reservation.weight_kg,
            expires_at=expires_at,
        )
    )
    return reservation


@service(
    requires=capabilities.RELEASE,
    emits=[events.AvailabilityReleased],
    raises=[
        ReservationNotFound,
        ReservationInTrade,
        ReservationClosed,
        QuantityExceeded,
        BelowMinimum,
        WholeLotOnly,
        QuantityNotWhole,
        Incomplete,
    ],
)
def release(
    offer: Availability,
    *,
    actor: Actor,
    reservation_id: UUID,
    quantity: Decimal | None = None,
    reason: str = "",
) -> Reservation:
    """Release all or part of a reservation. Only its buyer or staff can release it."""
    reservation: Reservation | None = (
        offer.reservations.locked().visible_to(actor).filter(pk=reservation_id).first()
    )
    if reservation is None:
        raise ReservationNotFound(
            errors=[
                FieldError(
                    "/reservation_id",
                    "does_not_exist",
                    "The offer has no such reservation that you can release.",
                )
            ]
        )
    if reservation.status in (Reservation.Status.IN_TRADE, Reservation.Status.SOLD):
        raise ReservationInTrade
    if reservation.status != Reservation.Status.HELD:
        raise ReservationClosed(status_now=reservation.status)
    by_staff = actor.is_staff
    if by_staff and len(reason) < 3:
        raise Incomplete(
            errors=[FieldError("/reason", "required", "Enter a reason of at least 3 characters.")]
        )
    part = quantity if quantity is not None else reservation.still_open
    _require_whole(offer, part, "/quantity")
    if part > reservation.still_open:
        raise QuantityExceeded(f"Only {reservation.still_open:f} {offer.unit} is still reserved.")
    rest = reservation.still_open - part
    if rest and not offer.allow_partial:
        raise WholeLotOnly
    with masked_checks(actor, offer, visible=offer.stage_for(actor) >= Stage.NEGOTIATING):
        if rest and offer.min_order_quantity is not None and rest < offer.min_order_quantity:
            raise BelowMinimum("The quantity that would remain reserved is below the offer's minimum.")
    reservation.release_reason = reason
    _return_stock(offer, reservation, part, Reservation.Status.RELEASED)
    offer.save()
    _emit_released(offer, reservation, part, "by_staff" if by_staff else "by_holder")
    return reservation


@service(requires=capabilities.RELEASE, emits=[events.AvailabilityReleased])
def expire_reservations(offer: Availability, *, actor: Actor) -> Availability:
    """End the reservations of an offer that are past their deadline; a rerun changes nothing."""
    overdue = list(offer.reservations.overdue(clock.now()).locked().order_by("pk"))
    _end_reservations(offer, overdue, Reservation.Status.EXPIRED, "expired")
    return offer


def _end_reservations(
    offer: Availability, reservations: Iterable[Reservation], status: str, reason: str
) -> None:
    for reservation in reservations:
        part = reservation.still_open
        _return_stock(offer, reservation, part, status)
        offer.save()
        _emit_released(offer, reservation, part, reason)


def _return_stock(offer: Availability, reservation: Reservation, part: Decimal, ended: str) -> None:
    reservation.released_quantity += part
    reservation.weight_kg = offer.weight_of(reservation.still_open)
    if not reservation.still_open:
        reservation.status = ended
    reservation.save()
    offer.reserved_quantity -= part
    if offer.status in (Availability.Status.EXPIRED, Availability.Status.CANCELLED):
        offer.withdrawn_quantity += part
    else:
        offer.available_quantity += part


def _emit_released(offer: Availability, reservation: Reservation, part: Decimal, reason: str) -> None:
    emit(
        events.AvailabilityReleased(
            **_head(offer),
            reservation_id=reservation.pk,
            holder_partner_id=reservation.holder_partner_id,
            quantity=_quantity(offer, part),
            remaining=_quantity(offer, offer.available_quantity),
            reason=reason,
        )
    )


def _head(offer: Availability) -> dict[str, Any]:
    return {
        "availability_id": offer.pk,
        "seller_partner_id": offer.seller_partner_id,
        "commodity_id": offer.commodity_id,
        "status": offer.status,
        "terms_version": offer.terms_version,
    }


def _quantity(offer: Availability, value: Decimal) -> Quantity:
    return Quantity(value=value.quantize(Decimal("0.001")), unit=offer.unit)


def _require_status(offer: Availability, *states: str) -> None:
    if offer.status not in states:
        raise InvalidState(
            f"The offer's status is {offer.get_status_display()}.",
            status_now=offer.status,
            allowed_actions=sorted(offer.open_verbs()),
        )


def _acting_partner(actor: Actor, chosen: Partner | None, pointer: str) -> Partner:
    """Return the partner that acts: a user's own, or the one that staff and SYSTEM choose."""
    own = actor.partner_id
    if own is not None:
        if chosen is not None and chosen.pk != own:
            raise PartnerInvalid(
                errors=[FieldError(pointer, "not_your_own", "Choose your own partner, or none.")]
            )
        partner: Partner = Partner.objects.get(pk=own)
        return partner
    if chosen is None:
        raise PartnerInvalid(errors=[FieldError(pointer, "required", "Choose the partner.")])
    return chosen


def _require_eligible(partner: Partner, problem: type[Conflict], *, with_reasons: bool = True) -> None:
    """Raise ``problem`` unless the partner may sell (SellerNotEligible) or buy now."""
    reasons = partner.reasons_against_business("sell" if problem is SellerNotEligible else "buy")
    if reasons:
        members: dict[str, Any] = {"reasons": reasons} if with_reasons else {}
        raise problem(**members)


def _check_quantity(offer: Availability, quantity: Decimal, free: Decimal, *, with_available: bool) -> None:
    if quantity > free:
        members: dict[str, Any] = {"available": format(free, "f")} if with_available else {}
        raise QuantityExceeded("The quantity exceeds what is available. Reserve less.", **members)
    if not offer.allow_partial and quantity != offer.total_quantity - offer.withdrawn_quantity:
        raise WholeLotOnly
    if offer.min_order_quantity is not None and quantity < offer.min_order_quantity and quantity != free:
        raise BelowMinimum


def _require_whole(offer: Availability, quantity: Decimal, pointer: str) -> None:
    if offer.commodity.is_counted_in(offer.unit) and quantity != quantity.to_integral_value():
        raise QuantityNotWhole(
            errors=[FieldError(pointer, "not_whole", f"Enter a whole number of {offer.unit}.")]
        )


def _place(place: Place) -> Place:
    zone = place.get("time_zone") or ("Asia/Kolkata" if place["country"] == "IN" else None)
    if zone is None:
        raise PlaceInvalid(
            errors=[
                FieldError(
                    "/place/time_zone", "required", "Enter the time zone: it is required outside India."
                )
            ]
        )
    return {**place, "time_zone": zone}


def _weight(commodity: Commodity, unit: str, quantity: Decimal, weight: Decimal | None) -> Decimal:
    if unit not in (commodity.base_unit, commodity.trade_unit, commodity.package_unit):
        raise UnitNotAllowed(
            errors=[
                FieldError(
                    "/unit",
                    "not_allowed",
                    f"{commodity.code} isn't traded in {unit}. Choose one of its units.",
                )
            ]
        )
    if unit == "KG" and weight is None:
        return quantity
    if weight is None:
        raise Incomplete(
            errors=[FieldError("/total_weight_kg", "required", "Enter the total weight in kilograms.")]
        )
    if unit == "KG" and weight != quantity:
        raise UnitNotAllowed(
            errors=[
                FieldError(
                    "/total_weight_kg",
                    "contradicts",
                    "The weight must equal the quantity when the unit is KG.",
                )
            ]
        )
    return weight


def _check_offer(offer: Availability, commodity: Commodity) -> None:
    if commodity.status != Commodity.Status.ACTIVE:
        raise CommodityNotActive(
            errors=[FieldError("/commodity_id", "not_active", f"{commodity.code} isn't active.")]
        )
    _require_whole(offer, offer.total_quantity, "/total_quantity")
    if offer.min_order_quantity is not None:
        _require_whole(offer, offer.min_order_quantity, "/min_order_quantity")
        if offer.min_order_quantity > offer.total_quantity:
            raise BelowMinimum(
                errors=[
                    FieldError(
                        "/min_order_quantity",
                        "above_total",
                        "The minimum order quantity exceeds the total quantity.",
                    )
                ]
            )
    if offer.available_until_date < offer.available_from_date:
        raise WindowInvalid(
            errors=[
                FieldError("/available_until_date", "before_from", "The last day is before the first day.")
            ]
        )


def _check_submission(offer: Availability, commodity: Commodity, now: datetime) -> None:
    """Check what an offer needs before it is submitted."""
    if commodity.season_start_month is not None and not offer.crop_year:
        words = f"Enter the crop year: {commodity.name} is seasonal."
        raise Incomplete(errors=[FieldError("/crop_year", "required", words)])
    _require_eligible(offer.seller_partner, SellerNotEligible)
    if offer.window_end() <= now:
        raise WindowInvalid(
            errors=[FieldError("/available_until_date", "past", "The last day of the offer has passed.")]
        )
