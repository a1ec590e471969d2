"""What negotiations and trades make of a match, inside their own transaction (rulings X3)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.availability.models import Availability
from apps.availability.services import decisions as offers
from apps.availability.services.listing import measured
from apps.matching import capabilities, events
from apps.matching.models import Match, Side
from apps.matching.services import problems
from erp import clock
from erp.access import Actor
from erp.services import emit, service

SOURCE = "match"  # of what is disclosed
_Status, _Decision = Match.Status, Match.Decision


def head(match: Match) -> dict[str, Any]:
    """The fields of the match that its events carry."""
    return {
        "match_id": match.pk,
        "requirement_id": match.requirement_id,
        "availability_id": match.availability_id,
        "status": match.status,
    }


def decide(
    match: Match,
    side: str,
    actor_id: UUID | None,
    decision: str,
    *,
    reason: str = "",
    note: str = "",
) -> None:
    """Write a side's decision into the match."""
    name = side.lower()
    setattr(match, f"{name}_decision", decision)
    setattr(match, f"{name}_decided_by_id", actor_id)
    setattr(match, f"{name}_decided_at", clock.now())
    setattr(match, f"{name}_reason", reason or None)
    setattr(match, f"{name}_note", note)


def end(match: Match, status: str, actor: Actor) -> None:
    """End a match, and with it what it disclosed of the offer to the buyer."""
    match.status = status
    match.save()
    conceal(match, actor)


def conceal(match: Match, actor: Actor) -> None:
    """Hide what the match had disclosed."""
    offer = Availability.objects.get(pk=match.availability_id)
    offers.conceal(offer, actor=actor, source_type=SOURCE, source_id=match.pk)


@service(
    requires=capabilities.APPROVE,
    emits=[events.MatchApproved],
    raises=[problems.NotOpen],
    requires_transaction=True,
    label="Accept through a negotiation",
)
def accept_from_negotiation(
    match: Match,
    *,
    actor: Actor,
    reservation_id: UUID,
    by: Mapping[str, UUID | None],
    quantity: Decimal | None = None,
) -> Match:
    """Approve a match for both sides, with the reservation of its accepted negotiation; ``by`` names the users.

    The terms were agreed there, so the facts behind the match aren't compared. Stock that the match had reserved
    before is the negotiation's to release or to use.
    """
    if match.status not in Match.LIVE:
        raise problems.NotOpen(status_now=match.status)
    for side in Side:
        decide(match, side, by.get(side), _Decision.APPROVED)
    match.status, match.reservation_id = _Status.APPROVED, reservation_id
    match.buyer_quantity = quantity if quantity is not None else match.buyer_quantity
    match.save()
    taken = match.buyer_quantity if match.buyer_quantity is not None else match.proposed_quantity
    emit(
        events.MatchApproved(
            **head(match),
            side=Side.BUYER,
            complete=True,
            quantity=measured(match, taken),
            reservation_id=reservation_id,
        )
    )
    return match


@service(
    requires=capabilities.REJECT,
    emits=[events.MatchRejected],
    raises=[problems.NotOpen],
    requires_transaction=True,
    label="Reject through a negotiation",
)
def reject_from_negotiation(match: Match, *, actor: Actor, side: str, reason: str) -> Match:
    """Reject a match because its negotiation failed; a match that has ended meanwhile stays as it is."""
    if match.status not in Match.LIVE:
        return match
    decide(match, side, actor.pk, _Decision.REJECTED, reason=reason)
    end(match, _Status.REJECTED, actor)
    emit(events.MatchRejected(**head(match), side=side, reason=reason))
    return match


@service(
    requires=capabilities.EXECUTE,
    emits=[events.MatchConverted],
    raises=[problems.NotOpen, problems.ReservationMismatch],
    requires_transaction=True,
    label="Convert to a trade",
)
def convert(match: Match, *, actor: Actor, trade_id: UUID, reservation_id: UUID) -> Match:
    """Note the trade that an approved match has become, with the match's own reservation; a rerun changes nothing."""
    if match.status == _Status.CONVERTED and match.trade_id == trade_id:
        return match
    if match.status != _Status.APPROVED:
        raise problems.NotOpen(status_now=match.status)
    if match.reservation_id != reservation_id:
        raise problems.ReservationMismatch
    match.trade_id = trade_id
    end(match, _Status.CONVERTED, actor)
    emit(events.MatchConverted(**head(match), trade_id=trade_id))
    return match
