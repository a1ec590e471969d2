"""What the two sides decide about a match, and how it ends by itself.

Locks: match, requirement, availability, then the reservations and credit accounts that availability locks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from apps.availability.models import Availability, Reservation
from apps.availability.services import rules as offer_rules
from apps.availability.services import stock
from apps.availability.services.listing import measured
from apps.matching import capabilities, events
from apps.matching.models import Match, Side
from apps.matching.services import pairs, problems, profiles
from apps.matching.services.candidates import Candidate, scored
from apps.matching.services.deals import conceal, decide, end, head
from apps.requirement.models import Requirement
from apps.risk.models import Verdict
from apps.risk.services import assessing, rates
from erp import clock
from erp.access import Actor
from erp.errors import DomainError, FieldError, SelfApproval
from erp.services import Refusal, emit, refuse, service

HOLD_HOURS: Final = 24
_Status, _Decision = Match.Status, Match.Decision
# Why the other side can't make the deal: only it may read which of them it is.
_OF_SELLER: Final = (offer_rules.SellerNotEligible, offer_rules.InvalidState)
_OF_BUYER: Final = (offer_rules.HolderNotEligible, *stock.CREDIT_ERRORS)


@service(
    requires=capabilities.APPROVE,
    emits=[events.MatchApproved],
    raises=[
        problems.NotOpen, problems.Expired, problems.AlreadyDecided, problems.Stale, problems.QuantityOutOfRange,
        problems.SideRequired, problems.SideNotAllowed, problems.CounterpartNotReady, assessing.Blocked, SelfApproval,
    ],
    forwards=lambda: (stock.reserve,),
    writes_on_refusal=assessing.WRITES,
)  # fmt: skip
def approve(
    match: Match,
    *,
    actor: Actor,
    quantity: Decimal | None = None,
    unit: str = "",
    side: str | None = None,
    note: str = "",
) -> Match | Refusal:
    """Approve a match for a side. With the second approval the stock is reserved for the buyer."""
    own = _side(match, actor, side, note)
    _require_open(match)
    if match.expires_at <= clock.now() and not _is_protected(match):
        raise problems.Expired
    if match.decision_of(own) is not None:
        raise problems.AlreadyDecided
    _require_another_person(match, own, actor)
    candidate = _unchanged(match)
    _check_quantity(match, own, quantity, unit)
    other = Side.SELLER if own == Side.BUYER else Side.BUYER
    taken = _taken(match, quantity)
    if match.decision_of(other) != _Decision.APPROVED:
        decide(match, own, actor.pk, _Decision.APPROVED, note=note)
        match.buyer_quantity = quantity if quantity is not None else match.buyer_quantity
        match.save()
        _tell(match, own, taken)
        return match
    if int(taken * candidate.row.scale) > candidate.row.demand:
        raise _no_demand(own)
    assessment = assessing.judge(actor=actor, **_deal(match, taken))
    if assessing.is_of_other(assessment, own):
        return refuse(problems.CounterpartNotReady())
    if assessment.status in (Verdict.FAIL, Verdict.REVIEW):
        return refuse(assessing.Blocked(reasons=assessing.own_reasons(assessment, own)))
    match.reservation_id = _reserve(match, actor, own, taken).pk
    decide(match, own, actor.pk, _Decision.APPROVED, note=note)
    match.status, match.buyer_quantity = _Status.APPROVED, taken
    match.save()
    _tell(match, own, taken)
    return match


def _side(match: Match, actor: Actor, side: str | None, note: str) -> Side:
    """The side that the actor decides for: a partner's own; staff say which, and why."""
    own = match.side_of(actor)
    if own is not None:
        if side is not None:
            raise problems.SideNotAllowed.at("/side", "not_allowed", "You decide for your own side.")
        return own
    missing = [name for name, value in (("side", side), ("note", note)) if not value]
    if missing or side is None:
        raise problems.SideRequired(
            errors=[
                FieldError(f"/{name}", "required", "Required where staff decide for a side.")
                for name in missing
            ]
        )
    return Side(side)


def _require_open(match: Match) -> None:
    if match.status == _Status.APPROVED:
        raise problems.AlreadyDecided
    if match.status != _Status.PROPOSED:
        raise problems.NotOpen(status_now=match.status)


def _require_another_person(match: Match, own: str, actor: Actor) -> None:
    """One person never decides for both sides."""
    decided_by = match.seller_decided_by_id if own == Side.BUYER else match.buyer_decided_by_id
    if actor.pk is not None and decided_by == actor.pk:
        raise SelfApproval("You decided for the other side, so another person must decide for this one.")


def _is_protected(match: Match) -> bool:
    """Whether a module above works on the match."""
    return not Match.objects.filter(pk=match.pk).unprotected().exists()


def _unchanged(match: Match) -> Candidate:
    """The pair as it is now, its listings locked. Raises Stale where its facts are others than those matched."""
    want = Requirement.objects.filter(pk=match.requirement_id)
    offer = Availability.objects.filter(pk=match.availability_id)
    goods = [*want.values_list("commodity_id", flat=True), *offer.values_list("commodity_id", flat=True)]
    rules = profiles.refresh_for(set(goods), offers=offer, wants=want)  # before the locks, as runs do
    list(want.locked().values_list("pk"))
    list(offer.locked().values_list("pk"))
    scope = pairs.Scope(wants=[match.requirement_id], offers=[match.availability_id])
    found = scored(pairs.find(scope, rules).rows, rules)
    if not found or found[0].digest != match.inputs_digest:
        raise problems.Stale
    return found[0]


def _taken(match: Match, quantity: Decimal | None) -> Decimal:
    """What the buyer takes: as chosen, else its share of contested stock, else what was proposed."""
    chosen = (quantity, match.buyer_quantity, match.allocated_quantity, match.proposed_quantity)
    return Decimal(next(value for value in chosen if value is not None))


def _check_quantity(match: Match, own: str, quantity: Decimal | None, unit: str) -> None:
    if quantity is None:
        return
    if own != Side.BUYER:
        raise problems.QuantityOutOfRange.at(
            "/quantity", "not_allowed", "Only the buyer chooses the quantity."
        )
    if unit and unit != match.unit:
        raise problems.QuantityOutOfRange.at("/quantity/unit", "mismatch", f"Use {match.unit}.")
    most = match.proposed_quantity if match.allocated_quantity is None else match.allocated_quantity
    if not match.need_quantity <= quantity <= most or (match.counted and quantity % 1):
        words = f"Between {match.need_quantity.normalize():f} and {most.normalize():f} {match.unit}."
        raise problems.QuantityOutOfRange.at("/quantity/value", "out_of_range", words)


def _no_demand(own: str) -> DomainError:
    """More than the requirement is still open for."""
    if own == Side.BUYER:
        words = "The requirement is open for less than this quantity."
        return problems.QuantityOutOfRange.at("/quantity/value", "over_demand", words)
    return problems.CounterpartNotReady()


def _deal(match: Match, quantity: Decimal) -> dict[str, Any]:
    """What risk judges: this quantity at the offer's price."""
    offer, want = match.availability, match.requirement
    price = offer.price_for(quantity)
    quoted = offer.pricing_unit or want.pricing_unit
    return {
        "requirement": want,
        "availability": offer,
        "quantity_kg": offer.weight_of(quantity),
        "price": price if price is not None else offer.reference_price or Decimal(0),
        "pricing_unit": quoted,
        "currency": quoted.currency,
        "match_id": match.pk,
    }


def _reserve(match: Match, actor: Actor, own: str, quantity: Decimal) -> Reservation:
    """Reserve the stock for the buyer, credit included."""
    offer, buyer = match.availability, match.buyer_partner
    hours = min(HOLD_HOURS, offer.max_hold_hours)
    with _counterpart_hidden(own):
        reservation: Reservation = stock.reserve(
            offer,
            actor=actor,
            quantity=quantity,
            holder_partner=buyer,
            requirement_id=match.requirement_id,
            match_id=match.pk,
            unit_price=offer.price_for(quantity),
            until=clock.now() + timedelta(hours=hours),
            payment_term=offer.payment_term,
            rate=rates.rate_for(match.buyer_partner_id, offer.currency),
        )
    return reservation


@contextmanager
def _counterpart_hidden(own: str) -> Iterator[None]:
    """Tell a side only that the other can't make the deal, not why."""
    hidden = _OF_BUYER if own == Side.SELLER else _OF_SELLER
    try:
        yield
    except hidden:
        raise problems.CounterpartNotReady from None


def _tell(match: Match, side: str, quantity: Decimal) -> None:
    """Tell both sides; what the buyer chose they read once it is agreed, and what was proposed before that."""
    complete = match.status == _Status.APPROVED
    emit(
        events.MatchApproved(
            **head(match),
            side=side,
            complete=complete,
            quantity=measured(match, quantity if complete else match.proposed_quantity),
            reservation_id=match.reservation_id,
        )
    )


@service(
    requires=capabilities.REJECT,
    emits=[events.MatchRejected],
    raises=[
        problems.NotOpen, problems.AlreadyDecided, problems.Bound, problems.NoteRequired, problems.SideRequired,
        problems.SideNotAllowed, problems.NegotiationOpen, SelfApproval,
    ],
    forwards=lambda: (stock.release,),
)  # fmt: skip
def reject(match: Match, *, actor: Actor, reason: str, note: str = "", side: str | None = None) -> Match:
    """Reject a match for a side. What it had reserved is released."""
    own = _side(match, actor, side, note)
    if reason == Match.Reason.OTHER and not note:
        raise problems.NoteRequired.at("/note", "required", "Explain the reason.")
    if match.status not in Match.LIVE:
        if match.decision_of(own) == _Decision.REJECTED:
            raise problems.AlreadyDecided
        raise problems.NotOpen(status_now=match.status)
    if own == Side.SELLER and match.seller_decision == _Decision.APPROVED:
        raise problems.Bound
    if _is_protected(match):
        raise problems.NegotiationOpen
    _require_another_person(match, own, actor)
    if match.status == _Status.APPROVED:
        _release(match, actor)
    decide(match, own, actor.pk, _Decision.REJECTED, reason=reason, note=note)
    end(match, _Status.REJECTED, actor)
    emit(events.MatchRejected(**head(match), side=own, reason=reason))
    return match


def _release(match: Match, actor: Actor) -> None:
    """Release the match's reservation, if it still binds stock; a trade keeps it."""
    Requirement.objects.filter(pk=match.requirement_id).locked().first()
    offer = Availability.objects.locked().get(pk=match.availability_id)
    held = offer.reservations.filter(pk=match.reservation_id).first()
    if held is not None and held.status in Reservation.TRADED:
        raise problems.NotOpen(status_now=match.status)
    if held is not None and held.status == Reservation.Status.HELD:
        stock.release(offer, actor=actor, reservation_id=held.pk, cause="by_match")


# How matches end by themselves


@service(requires=capabilities.EXECUTE, emits=[events.MatchExpired], label="End a match that is due")
def expire(match: Match, *, actor: Actor) -> Match:
    """End a proposed match past its time; a rerun changes nothing, and a negotiation keeps it open."""
    due = match.status == _Status.PROPOSED and match.expires_at <= clock.now()
    if due and not _is_protected(match):
        end(match, _Status.EXPIRED, actor)
        emit(events.MatchExpired(**head(match)))
    return match


@service(requires=capabilities.EXECUTE, emits=[events.MatchExpired], label="Follow a released reservation")
def follow_release(match: Match, *, actor: Actor, reservation_id: UUID) -> Match:
    """End an approved match whose reservation has ended without a trade."""
    if match.status == _Status.APPROVED and match.reservation_id == reservation_id and match.trade_id is None:
        end(match, _Status.EXPIRED, actor)
        emit(events.MatchExpired(**head(match)))
    return match


@service(
    requires=capabilities.EXECUTE,
    emits=[events.MatchExpired, events.MatchSuperseded],
    label="End matches of a listing",
)
def end_for_listing(
    *, actor: Actor, status: str, requirement_id: UUID | None = None, availability_id: UUID | None = None
) -> int:
    """End the proposed matches of a listing that has ended (EXPIRED), or is off the market for now (SUPERSEDED)."""
    rows = Match.objects.proposed().unprotected()
    rows = (
        rows.filter(requirement=requirement_id)
        if requirement_id
        else rows.filter(availability=availability_id)
    )
    ended = list(rows.locked().order_by("pk"))
    for match in ended:
        match.status = status
        match.save()
        expired = status == _Status.EXPIRED
        emit(
            events.MatchExpired(**head(match))
            if expired
            else events.MatchSuperseded(**head(match), successor_id=None)
        )
    for match in sorted(ended, key=lambda row: row.availability_id):
        conceal(match, actor)
    return len(ended)
