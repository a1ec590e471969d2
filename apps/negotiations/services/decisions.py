"""How a negotiation ends: accepted, rejected, withdrawn or over; and what becomes of it then."""

from typing import Any, Final
from uuid import UUID

from django.db import transaction
from prometheus_client import Counter

from apps.availability.services import decisions as listings
from apps.availability.services import stock
from apps.matching.models import Match
from apps.matching.services import deals as matches
from apps.matching.services import problems
from apps.negotiations import capabilities, events
from apps.negotiations.models import Negotiation, Offer, Side
from apps.negotiations.services import rules
from apps.negotiations.services.deals import Deal, release_own_hold
from apps.negotiations.services.offers import SOURCE, drop_hold
from apps.negotiations.services.rules import head
from apps.partners.models import Partner
from apps.requirement.services import decisions as requirements
from apps.risk.services import assessing
from erp import clock, retention
from erp.access import Actor
from erp.masked import masked_checks
from erp.services import Refusal, emit, service

OUTCOMES: Final = Counter("erp_negotiations_total", "Negotiations that ended, by outcome.", ["outcome"])
_Status, _Reason = Negotiation.Status, Negotiation.Reason


@service(
    requires=capabilities.TAKE_PART,
    emits=[events.NegotiationAccepted],
    raises=[
        rules.NotOpen,
        rules.NoStandingOffer,
        rules.OwnOffer,
        rules.OfferChanged,
        rules.OfferLapsed,
        rules.ListingChanged,
        rules.ListingNotLive,
        rules.NotEligible,
        rules.CounterpartNotReady,
        rules.WantExhausted,
        assessing.Blocked,
        problems.NotOpen,
        *rules.HOLD_ERRORS,
    ],
    writes_on_refusal=assessing.WRITES,
)
def accept(negotiation: Negotiation, *, actor: Actor, offer_id: UUID) -> Negotiation | Refusal:
    """Accept the other side's current offer: the goods are reserved for the trade, or nothing happens.

    From now on only the trade uses the reservation; its holder can't release it.
    """
    side = rules.require_side(negotiation, actor)
    rules.require_open(negotiation)
    now, standing = clock.now(), negotiation.standing_offer
    if standing is None:
        lapsed = negotiation.offers.filter(pk=offer_id, status=Offer.Status.LAPSED)
        raise rules.OfferLapsed if lapsed.exists() else rules.NoStandingOffer
    if standing.side == side:
        raise rules.OwnOffer
    if standing.pk != offer_id:
        raise rules.OfferChanged
    if standing.has_lapsed(now):
        raise rules.OfferLapsed
    deal = Deal.of(negotiation.match, reservation_id=negotiation.reservation_id)
    versions = (deal.offer.terms_version, deal.requirement.terms_version)
    if (standing.availability_terms_version, standing.requirement_terms_version) != versions:
        raise rules.ListingChanged
    if not deal.is_match_live or not deal.is_on_market(now, held=True):
        raise rules.ListingNotLive
    rules.require_ready(deal.offer, deal.requirement, side=side, actor=actor, row=negotiation)
    quantity = standing.quantity
    refusal = deal.blocked(negotiation, standing, actor=actor, side=side)
    if refusal is not None:
        return refusal
    deal.adopt(negotiation, actor=actor)
    with masked_checks(actor, negotiation, visible=side == Side.BUYER):
        if not deal.wants(quantity):
            raise rules.WantExhausted

    with rules.counterpart_masked(actor, negotiation, side):
        until = now + rules.AFTER_ACCEPTANCE
        deal.take(negotiation, standing, actor=actor, until=until)
        assert deal.hold is not None
        bound = stock.bind(
            deal.offer,
            actor=actor,
            reservation_id=deal.hold.pk,
            negotiation_id=negotiation.pk,
            until=max(until, deal.hold.expires_at or until),
            **deal.agreed(standing),
        )
    standing.status = Offer.Status.ACCEPTED
    standing.save()
    _end(negotiation, _Status.ACCEPTED, side)
    negotiation.accepted_offer, negotiation.accepted_at = standing, now
    negotiation.reservation_id = bound.pk
    negotiation.save()
    matches.accept_from_negotiation(
        deal.match,
        actor=actor,
        reservation_id=bound.pk,
        by={side: actor.pk, standing.side: standing.made_by_id},
        quantity=quantity,
    )
    emit(
        events.NegotiationAccepted(
            **head(negotiation),
            offer_id=standing.pk,
            side=side,
            reservation_id=bound.pk,
            requirement_id=negotiation.requirement_id,
            availability_id=negotiation.availability_id,
            **rules.priced(standing, deal.offer),
        )
    )
    return negotiation


def _end(negotiation: Negotiation, status: str, by: str, reason: str | None = None, note: str = "") -> None:
    negotiation.status, negotiation.closed_by = status, by
    negotiation.close_reason, negotiation.close_note = reason, note
    negotiation.standing_offer = None
    negotiation.badges = {each: negotiation.badge_of(each) for each in Side.values}
    transaction.on_commit(OUTCOMES.labels(status).inc)


def _end_without_deal(
    negotiation: Negotiation, status: str, by: str, *, actor: Actor, reason: str | None = None, note: str = ""
) -> None:
    """End it, its current offer with it, and take back what was disclosed and reserved for it."""
    standing, lapsed = negotiation.standing_offer, None
    if standing is not None:
        is_over = status == _Status.EXPIRED or standing.has_lapsed(clock.now())
        standing.status = Offer.Status.LAPSED if is_over else Offer.Status(status)
        standing.save()
        lapsed = standing if is_over else None
    _end(negotiation, status, by, reason, note)
    source: Any = {"actor": actor, "source_type": SOURCE, "source_id": negotiation.pk}
    requirements.conceal(negotiation.requirement, **source)
    listings.conceal(negotiation.availability, **source)
    release_own_hold(negotiation, actor=actor)
    negotiation.save()
    if lapsed is not None:
        emit(events.NegotiationOfferLapsed(**head(negotiation), offer_id=lapsed.pk))


def _leave(negotiation: Negotiation, status: str, side: Side, actor: Actor, reason: str, note: str) -> None:
    """End it by a side, and with it a match that is still proposed."""
    rules.require_note(reason, note)
    deal = Deal.of(negotiation.match)
    _end_without_deal(negotiation, status, side, actor=actor, reason=reason, note=note)
    if deal.match.status == Match.Status.PROPOSED:
        matches.reject_from_negotiation(deal.match, actor=actor, side=side, reason=reason)


_ENDINGS: Any = {
    "raises": [rules.NotOpen, rules.NoStandingOffer, rules.OwnOffer, rules.NoteRequired, problems.NotOpen],
    "requires": capabilities.TAKE_PART,
}


@service(**_ENDINGS, emits=[events.NegotiationRejected])
def reject(negotiation: Negotiation, *, actor: Actor, reason: str, note: str = "") -> Negotiation:
    """Reject the other side's current offer, and end the negotiation."""
    side = rules.require_side(negotiation, actor)
    rules.require_open(negotiation)
    standing = negotiation.standing_offer
    if standing is None or standing.has_lapsed(clock.now()):
        raise rules.NoStandingOffer
    if standing.side == side:
        raise rules.OwnOffer
    _leave(negotiation, _Status.REJECTED, side, actor, reason, note)
    emit(events.NegotiationRejected(**head(negotiation), side=side, reason=reason))
    return negotiation


@service(**_ENDINGS, emits=[events.NegotiationWithdrawn, events.NegotiationOfferLapsed])
def withdraw(negotiation: Negotiation, *, actor: Actor, reason: str, note: str = "") -> Negotiation:
    """Leave the negotiation; either side can at any time."""
    side = rules.require_side(negotiation, actor)
    rules.require_open(negotiation)
    _leave(negotiation, _Status.WITHDRAWN, side, actor, reason, note)
    emit(events.NegotiationWithdrawn(**head(negotiation), side=side, reason=reason))
    return negotiation


# By the system


@service(
    requires=capabilities.TAKE_PART,
    emits=[events.NegotiationWithdrawn, events.NegotiationOfferLapsed],
    label="Close a negotiation that can't go on",
)
def close(negotiation: Negotiation, *, actor: Actor) -> Negotiation:
    """End a negotiation whose listing or match has ended, or whose partner is suspended; a rerun changes nothing."""
    if not Negotiation.objects.to_close(clock.now()).filter(pk=negotiation.pk).exists():
        return negotiation
    partners = (negotiation.buyer_partner, negotiation.seller_partner)
    if any(partner.status == Partner.Status.SUSPENDED for partner in partners):
        reason = _Reason.PARTNER_SUSPENDED
    else:
        reason = _Reason.LISTING_ENDED if negotiation.match.is_live else _Reason.MATCH_ENDED
    _end_without_deal(negotiation, _Status.WITHDRAWN, Negotiation.SYSTEM, actor=actor, reason=reason)
    shown = negotiation.shown_reason or reason
    emit(events.NegotiationWithdrawn(**head(negotiation), side=Negotiation.SYSTEM, reason=shown))
    return negotiation


@service(
    requires=capabilities.TAKE_PART,
    emits=[events.NegotiationExpired, events.NegotiationOfferLapsed],
    label="End a negotiation that is due",
)
def expire(negotiation: Negotiation, *, actor: Actor) -> Negotiation:
    """End a negotiation past its time; a rerun changes nothing."""
    if not negotiation.has_run_out(clock.now()):
        return negotiation
    _end_without_deal(negotiation, _Status.EXPIRED, Negotiation.SYSTEM, actor=actor)
    emit(events.NegotiationExpired(**head(negotiation)))
    return negotiation


@service(
    requires=capabilities.TAKE_PART,
    emits=[events.NegotiationOfferLapsed],
    label="Lapse an offer that is due",
)
def lapse(negotiation: Negotiation, *, actor: Actor) -> Negotiation:
    """Lapse the current offer past its time; the turn stays with the other side. A rerun changes nothing."""
    standing = negotiation.standing_offer
    if negotiation.status != _Status.OPEN or standing is None or not standing.has_lapsed(clock.now()):
        return negotiation
    standing.status = Offer.Status.LAPSED
    standing.save()
    negotiation.standing_offer = None
    negotiation.save()
    emit(events.NegotiationOfferLapsed(**head(negotiation), offer_id=standing.pk))
    return negotiation


@service(requires=capabilities.TAKE_PART, emits=[events.NegotiationHoldLost], label="Note a lost reservation")
def lose_hold(negotiation: Negotiation, *, actor: Actor) -> Negotiation:
    """Note that the reservation no longer holds anything; the negotiation goes on. A rerun changes nothing."""
    if not Negotiation.objects.without_hold(clock.now()).filter(pk=negotiation.pk).exists():
        return negotiation
    drop_hold(negotiation)
    negotiation.save()
    return negotiation


@service(
    requires=capabilities.TAKE_PART,
    emits=[events.NegotiationTradeLinked],
    raises=[rules.TradeLinked],
    requires_transaction=True,
)
def link_trade(negotiation: Negotiation, *, actor: Actor, trade_id: UUID) -> Negotiation:
    """Note the trade that was made of an accepted negotiation, once; a cancelled one frees it for no other."""
    if negotiation.trade_id == trade_id:
        return negotiation
    if negotiation.trade_id is not None or negotiation.status != _Status.ACCEPTED:
        raise rules.TradeLinked(status_now=negotiation.status)
    negotiation.trade_id = trade_id
    negotiation.save()
    emit(events.NegotiationTradeLinked(**head(negotiation), trade_id=trade_id))
    return negotiation


@service(requires=capabilities.TAKE_PART, emits=[events.NegotiationMessagesErased])
def erase_messages(negotiation: Negotiation, *, actor: Actor) -> Negotiation:
    """Erase the words of a negotiation that ended long enough ago; its figures stay."""
    if Negotiation.objects.with_old_messages(clock.now()).filter(pk=negotiation.pk).exists():
        for made in negotiation.offers.exclude(message=""):
            retention.erase(made)
        retention.erase(negotiation)
        emit(events.NegotiationMessagesErased(**head(negotiation)))
    return negotiation
