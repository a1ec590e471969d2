"""The start of a negotiation, and the offers of the two sides in turn."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from apps.availability.models import Availability, Stage
from apps.availability.services import decisions as listings
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.matching.models import Match
from apps.negotiations import capabilities, events
from apps.negotiations.models import Negotiation, Offer, Side
from apps.negotiations.services import deals, rules
from apps.negotiations.services.deals import Deal
from apps.negotiations.services.rules import head
from apps.requirement.services import decisions as requirements
from apps.risk.services import assessing
from erp import clock
from erp.access import Actor
from erp.errors import CapabilityMissing
from erp.masked import masked_checks
from erp.services import Refusal, emit, service

SOURCE = "negotiation"  # of what is disclosed


@service(
    requires=capabilities.TAKE_PART,
    emits=[events.NegotiationStarted],
    raises=[rules.AlreadyOpen, rules.MatchNotLive, rules.NotEligible, rules.CounterpartNotReady],
    label="Start negotiation",
)
def start(*, actor: Actor, match: Match) -> Negotiation:
    """Start to negotiate a match, once in its life. Who starts makes the first offer."""
    side = match.side_of(actor)
    if side is None:
        raise CapabilityMissing(str(capabilities.TAKE_PART))
    now = clock.now()
    deal = Deal.of(match)
    match = deal.match
    if Negotiation.objects.filter(match=match).exists():
        raise rules.AlreadyOpen
    is_proposed = match.status == Match.Status.PROPOSED
    over = is_proposed and match.expires_at <= now
    if over or not deal.is_match_live or not deal.is_on_market(now):
        raise rules.MatchNotLive(status_now=match.status)
    rules.require_ready(deal.offer, deal.requirement, side=Side(side), actor=actor, row=match)
    hold = deals.live_hold(deal.offer, match.reservation_id)
    negotiation = Negotiation(
        match=match,
        requirement=deal.requirement,
        availability=deal.offer,
        buyer_partner=match.buyer_partner,
        seller_partner=match.seller_partner,
        opened_by=side,
        turn=side,
        expires_at=now + rules.OPENING,
        hard_expires_at=now + rules.LIFETIME,
        reservation_id=None if hold is None else hold.pk,
        pseudonym_key=settings.PSEUDONYM_KEY,
    )
    negotiation.save()
    shown: dict[str, Any] = {
        "actor": actor, "stage": Stage.NEGOTIATING, "source_type": SOURCE, "source_id": negotiation.pk,
    }  # fmt: skip
    requirements.disclose(deal.requirement, partner=match.seller_partner, **shown)
    listings.disclose(deal.offer, partner=match.buyer_partner, **shown)
    emit(
        events.NegotiationStarted(
            **head(negotiation),
            opened_by=negotiation.opened_by,
            max_rounds=negotiation.max_rounds,
            expires_at=negotiation.expires_at,
        )
    )
    return negotiation


@service(
    requires=capabilities.TAKE_PART,
    emits=[events.NegotiationOfferMade, events.NegotiationOfferLapsed, events.NegotiationHoldLost],
    raises=[
        rules.NotOpen,
        rules.NotYourTurn,
        rules.RoundsUsedUp,
        rules.ListingNotLive,
        rules.NotEligible,
        rules.CounterpartNotReady,
        rules.QuantityOutOfRange,
        rules.TermsNotAllowed,
        rules.ValidityOutOfRange,
        rules.SameAsStanding,
        rules.ContactInMessage,
        assessing.Blocked,
        *rules.HOLD_ERRORS,
    ],
    writes_on_refusal=assessing.WRITES,
    label="Make offer",
)
def offer(
    negotiation: Negotiation,
    *,
    actor: Actor,
    price: Decimal,
    quantity: Mapping[str, Any] | None = None,
    delivery_term: DeliveryTerms | None = None,
    payment_term: PaymentTerms | None = None,
    passing_term: PassingTerms | None = None,
    weighment_term: WeighmentTerms | None = None,
    window: Mapping[str, date] | None = None,
    valid_until: datetime | None = None,
    message: str = "",
) -> Negotiation | Refusal:
    """Make a firm offer, which replaces the other side's. What it leaves out stays as in the last one.

    The buyer's offer reserves the goods until an hour after it ends, unless it is far below the ask.
    """
    side = rules.require_side(negotiation, actor)
    rules.require_open(negotiation)
    if negotiation.turn != side:
        raise rules.NotYourTurn
    if negotiation.round >= negotiation.max_rounds:
        raise rules.RoundsUsedUp
    now = clock.now()
    until = rules.valid_until_of(negotiation, valid_until)
    if message:
        rules.check_message(message, negotiation.partner_on(side))
        with masked_checks(actor, negotiation, visible=False):
            rules.check_names(message)
    deal = Deal.of(negotiation.match, reservation_id=negotiation.reservation_id)
    if not deal.is_match_live or not deal.is_on_market(now):
        raise rules.ListingNotLive
    rules.check_terms(deal.offer, delivery_term, payment_term, passing_term, weighment_term)
    made = Offer(
        negotiation=negotiation,
        round=negotiation.round + 1,
        opened_by=negotiation.opened_by,
        side=side,
        price=price,
        availability_terms_version=deal.offer.terms_version,
        requirement_terms_version=deal.requirement.terms_version,
        message=message,
        valid_until=until,
        made_by_id=actor.pk,
        **_defaults(negotiation, deal),
    )
    chosen = {
        "delivery_term": delivery_term, "payment_term": payment_term, "passing_term": passing_term,
        "weighment_term": weighment_term,
    }  # fmt: skip
    for name, term in chosen.items():
        if term is not None:
            setattr(made, name, term)
    if window is not None:
        made.window_from_date, made.window_until_date = window["from_date"], window["until_date"]
    if quantity is not None:
        if quantity["unit"] != deal.offer.unit:
            words = f"Quantities of this negotiation are in {deal.offer.unit}."
            raise rules.QuantityOutOfRange.at("/quantity/unit", "unit", words)
        made.quantity = quantity["value"]
    rules.check_window(made.window_from_date, made.window_until_date)
    deal.require_quantity(made.quantity, actor=actor, side=side, row=negotiation)
    made.weight_kg = deal.weight(made.quantity)
    standing = negotiation.standing_offer
    has_lapsed = standing is not None and standing.has_lapsed(now)
    if (
        standing is not None
        and not has_lapsed
        and made.content == standing.content
        and _is_current(standing, deal)
    ):
        raise rules.SameAsStanding
    rules.require_ready(deal.offer, deal.requirement, side=side, actor=actor, row=negotiation)

    hold_until = deal.hold_until(negotiation, until + rules.AFTER_VALID)
    holds = side == Side.BUYER and (
        deal.hold is not None or (hold_until > now and not _is_far_below(negotiation, made, deal.offer))
    )
    if holds and deal.needs_more(made, own=negotiation.own_hold):
        refusal = deal.blocked(negotiation, made, actor=actor, side=side)
        if refusal is not None:
            return refusal
    if negotiation.reservation_id is not None and deal.hold is None:
        drop_hold(negotiation)
    if holds:
        _hold(negotiation, deal, made, actor, hold_until)
    if standing is not None:
        standing.status = Offer.Status.LAPSED if has_lapsed else Offer.Status.COUNTERED
        standing.save()
        if has_lapsed:
            emit(events.NegotiationOfferLapsed(**head(negotiation), offer_id=standing.pk))
    made.save()
    negotiation.standing_offer, negotiation.round, negotiation.turn = made, made.round, side.other
    negotiation.expires_at = min(max(negotiation.expires_at, until), negotiation.hard_expires_at)
    negotiation.save()
    emit(
        events.NegotiationOfferMade(
            **head(negotiation),
            offer_id=made.pk,
            round=made.round,
            side=side,
            **rules.priced(made, deal.offer),
            valid_until=until,
            reservation_id=negotiation.reservation_id,
        )
    )
    return negotiation


def _defaults(negotiation: Negotiation, deal: Deal) -> dict[str, Any]:
    """What an offer says that leaves everything out: as the last one, the first as the offered goods and the match."""
    last = negotiation.offers.order_by("-round").first()
    names = ("delivery_term_id", "payment_term_id", "passing_term_id", "weighment_term_id")
    if last is not None:
        more = ("quantity", "window_from_date", "window_until_date")
        return {name: getattr(last, name) for name in (*names, *more)}
    listing = deal.offer
    start = listing.available_from_date
    end = listing.available_until_date or max(deal.requirement.delivery_until_date, start)
    terms = {name: getattr(listing, name) for name in names}
    return {**terms, "quantity": deal.proposed, "window_from_date": start, "window_until_date": end}


def _is_current(made: Offer, deal: Deal) -> bool:
    """Whether neither listing has changed since the offer."""
    versions = (deal.offer.terms_version, deal.requirement.terms_version)
    return (made.availability_terms_version, made.requirement_terms_version) == versions


def _is_far_below(negotiation: Negotiation, made: Offer, listing: Availability) -> bool:
    """Whether a bid is so low that nothing is reserved for it, until the seller has answered one with an offer."""
    ask = listing.price_for(made.quantity) or listing.reference_price
    if ask is None or made.price >= ask * rules.FLOOR:
        return False
    return not negotiation.offers.filter(side=Side.SELLER, round__gt=1).exists()


def _hold(negotiation: Negotiation, deal: Deal, made: Offer, actor: Actor, until: datetime) -> None:
    """Reserve what the buyer offers for, or fit what is reserved to it; what the match reserved is only extended."""
    with rules.counterpart_masked(actor, negotiation, Side.BUYER):
        is_own = deal.hold is None or negotiation.own_hold
        if is_own:
            deal.take(negotiation, made, actor=actor, until=until)
        deal.extend(actor=actor, until=until, made=made if is_own else None)


def drop_hold(negotiation: Negotiation) -> None:
    """Note that the reservation holds nothing any more. The negotiation goes on without it."""
    lost, negotiation.reservation_id, negotiation.own_hold = negotiation.reservation_id, None, False
    assert lost is not None, "it names one"
    emit(events.NegotiationHoldLost(**head(negotiation), reservation_id=lost))
