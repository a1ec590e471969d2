"""What services of negotiations share: problems, checks of input, and the head of events."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q

from apps.availability.models import Availability
from apps.availability.services import rules as of_offers
from apps.availability.services import stock
from apps.availability.services.listing import measured
from apps.commodities.models.base import Simple
from apps.commodities.models.terms import DeliveryTerms, PassingTerms, PaymentTerms, WeighmentTerms
from apps.matching.models import Match
from apps.negotiations import capabilities
from apps.negotiations.contact import find_contact, names_firm, names_own, pairs_of, words_of
from apps.negotiations.models import Negotiation, Offer, Side
from apps.partners.models import Partner
from apps.partners.services.checks import TRADE_WORDS
from apps.partners.services.gate import permission_for, reasons_against
from apps.requirement.models import Requirement
from erp import clock
from erp.access import Actor
from erp.errors import CapabilityMissing, Conflict, RuleBroken
from erp.masked import masked_checks

OPENING: Final = timedelta(hours=48)
LIFETIME: Final = timedelta(days=7)
VALID: Final = timedelta(hours=24)  # an offer, unless it says otherwise
VALID_LEAST, VALID_MOST = timedelta(minutes=15), timedelta(hours=71)
AFTER_VALID: Final = timedelta(hours=1)  # that a reservation outlives the offer
HOLD_MOST: Final = timedelta(hours=stock.NEGOTIATION_HOURS)
AFTER_ACCEPTANCE: Final = timedelta(hours=stock.BIND_HOURS)
FLOOR: Final = Decimal("0.80")  # of the ask; an offer below reserves nothing until the seller counters


class AlreadyOpen(Conflict):
    """The match is being negotiated already, or was."""

    constraints = ("negotiation_negotiation_match_id_key",)


class MatchNotLive(Conflict):
    """The match can't be negotiated any more."""


class NotEligible(Conflict):
    """Your firm isn't open for new business at present."""


class CounterpartNotReady(Conflict):
    """The other side isn't ready for this deal at present."""


class NotOpen(Conflict):
    """The negotiation has ended."""


class NotYourTurn(Conflict):
    """The next offer is the other side's."""


class RoundsUsedUp(Conflict):
    """All rounds are used up. The last offer can be accepted or rejected."""


class ListingNotLive(Conflict):
    """The offered goods or the requirement aren't on the market any more."""


class NoStandingOffer(Conflict):
    """There is no current offer."""


class OwnOffer(Conflict):
    """The current offer is your own."""


class OfferLapsed(Conflict):
    """The offer's time is over. A new offer is needed."""


class OfferChanged(Conflict):
    """The offer was replaced by another one."""


class ListingChanged(Conflict):
    """The goods or the requirement have changed since the offer. A new offer is needed."""


class WantExhausted(Conflict):
    """The buyer needs less than this quantity by now."""


class TradeLinked(Conflict):
    """The negotiation has led to another trade, or the trade to another negotiation."""

    constraints = ("negotiation_one_per_trade",)


class QuantityOutOfRange(RuleBroken):
    """The quantity is outside the range of this match."""


class TermsNotAllowed(RuleBroken):
    """These terms can't be used here."""


class ValidityOutOfRange(RuleBroken):
    """The offer's validity is outside the allowed range."""


class SameAsStanding(RuleBroken):
    """The current offer says the same. Accept it instead."""


class ContactInMessage(RuleBroken):
    """The message holds contact data or a firm's name."""


class NoteRequired(RuleBroken):
    """A note is required with Other."""


# What reserving and binding raise beyond what is masked here: the codes of availability and partners.
HOLD_ERRORS: Final = (
    of_offers.InvalidState, of_offers.QuantityExceeded, of_offers.RelatedParty, of_offers.WholeLotOnly,
    of_offers.HoldTooLong, of_offers.BelowMinimum, of_offers.QuantityNotWhole, *stock.CREDIT_ERRORS,
)  # fmt: skip
_OF_BUYER: Final = (of_offers.HolderNotEligible, *stock.CREDIT_ERRORS)
_WORDS: Final = {
    "email": "E-mail and UPI addresses aren't allowed in messages.",
    "link": "Links aren't allowed in messages.",
    "tax_number": "Tax numbers aren't allowed in messages.",
    "account": "Bank details aren't allowed in messages.",
    "number": "Telephone and account numbers aren't allowed in messages.",
    "name": "Names of firms aren't allowed in messages.",
}


def head(negotiation: Negotiation) -> dict[str, Any]:
    """Fields of the negotiation that every event carries."""
    return {
        "negotiation_id": negotiation.pk,
        "match_id": negotiation.match_id,
        "status": negotiation.status,
    }


def priced(offer: Offer, listing: Availability) -> dict[str, Any]:
    """Figures of an offer for its events."""
    return {
        "price": offer.price,
        "currency": listing.currency,
        "pricing_unit_id": listing.pricing_unit_id,
        "quantity": measured(listing, offer.quantity),
    }


def require_side(negotiation: Negotiation, actor: Actor) -> Side:
    """The side that the actor is. Staff never take part: raises CapabilityMissing for everybody else."""
    side = negotiation.side_of(actor)
    if side is None:
        raise CapabilityMissing(str(capabilities.TAKE_PART))
    return side


def require_open(negotiation: Negotiation) -> None:
    """Raise NotOpen once it has ended or is past its time, whether or not a sweep has run."""
    if negotiation.has_run_out(clock.now()):
        raise NotOpen(status_now=Negotiation.Status.EXPIRED)
    if negotiation.status != Negotiation.Status.OPEN:
        raise NotOpen(status_now=negotiation.status)


def require_ready(
    offer: Availability, requirement: Requirement, *, side: Side, actor: Actor, row: Match | Negotiation
) -> None:
    """Raise NotEligible with its reasons for one's own firm, CounterpartNotReady without any for the other one."""
    needed = permission_for(
        offer.country, requirement.country, offer.price_basis, seller_country=offer.seller_partner.country
    )
    firms = {
        Side.BUYER: (requirement.buyer_partner, "buy", (needed.buyer,)),
        Side.SELLER: (offer.seller_partner, "sell", (needed.seller,)),
    }
    if reasons := reasons_against(*firms[side]):
        raise NotEligible(reasons=reasons)
    with masked_checks(actor, row, visible=False):
        if reasons_against(*firms[side.other]):
            raise CounterpartNotReady


@contextmanager
def counterpart_masked(actor: Actor, negotiation: Negotiation, side: Side) -> Iterator[None]:
    """Tell a side nothing of why the other one can't trade: neither its standing nor its credit (rulings X10)."""
    hidden: tuple[type[Exception], ...] = _OF_BUYER if side == Side.SELLER else (of_offers.SellerNotEligible,)
    try:
        yield
    except hidden:
        with masked_checks(actor, negotiation, visible=False):
            raise CounterpartNotReady from None


# Input


def valid_until_of(negotiation: Negotiation, asked: datetime | None) -> datetime:
    """Until when an offer is valid. Raises ValidityOutOfRange."""
    now, latest = clock.now(), negotiation.hard_expires_at
    until = asked or min(now + VALID, latest)
    if not now + VALID_LEAST <= until <= min(now + VALID_MOST, latest):
        words = "An offer is valid for 15 minutes to 71 hours, and no longer than the negotiation."
        raise ValidityOutOfRange.at("/valid_until", "out_of_range", words)
    return until


def check_message(message: str, own: Partner) -> None:
    """Raise ContactInMessage for contact data and the name of one's own firm."""
    names = (own.legal_name, own.trade_name)
    found = find_contact(message)
    if not found and names_own(words_of(message), names, trade_words=TRADE_WORDS):
        found = "name"
    if found:
        raise ContactInMessage.at("/message", found, _WORDS[found])


def check_names(message: str) -> None:
    """Raise ContactInMessage for the name of a firm that trades here.

    Every firm's name is searched for: a search for the other side's alone would confirm a guess at it. Callers count
    the refusals, since each one tells that the firm is known.
    """
    named = Q(pk__in=())
    for first, second in pairs_of(message, TRADE_WORDS):
        for field in ("legal_name__icontains", "trade_name__icontains"):
            named |= Q(**{field: first}) & Q(**{field: second})
    firms = Partner.objects.filter(named, status=Partner.Status.ACTIVE).values_list(
        "legal_name", "trade_name"
    )
    words = words_of(message)
    for legal, trade in firms:
        if names_firm(words, legal, trade_words=TRADE_WORDS, is_declared=False) or names_firm(
            words, trade or "", trade_words=TRADE_WORDS, is_declared=True
        ):
            raise ContactInMessage.at("/message", "name", _WORDS["name"])


def check_terms(
    offer: Availability,
    delivery: DeliveryTerms | None,
    payment: PaymentTerms | None,
    passing: PassingTerms | None,
    weighment: WeighmentTerms | None,
) -> None:
    """Raise TermsNotAllowed for archived terms, and for a delivery that the price isn't for."""
    chosen: dict[str, Any] = {
        "delivery": delivery, "payment": payment, "passing": passing, "weighment": weighment
    }  # fmt: skip
    for name, term in chosen.items():
        if term is not None and term.status != Simple.Status.ACTIVE:
            raise TermsNotAllowed.at(f"/{name}_term_id", "archived", "These terms are archived.")
    listed = offer.delivery_term
    if delivery is not None and listed is not None and delivery.price_group != listed.price_group:
        words = "The price is an ex price or a delivered price; this doesn't change in a negotiation."
        raise TermsNotAllowed.at("/delivery_term_id", "other_price", words)


def check_window(start: date, end: date) -> None:
    """Raise TermsNotAllowed unless the days are in order and not over."""
    if end < start:
        raise TermsNotAllowed.at("/window/until_date", "order", "The last day is before the first.")
    if end < clock.today():
        raise TermsNotAllowed.at("/window/until_date", "past", "The last day is over.")


def require_note(reason: str, note: str) -> None:
    """Raise NoteRequired for Other without a note."""
    if reason == Negotiation.Reason.OTHER and not note:
        raise NoteRequired.at("/note", "required", "Enter a note of 1 to 500 characters.")
