"""What a negotiation is about, locked in one order: the match, the requirement, the offered goods, the reservation.

The negotiation itself is locked before them, by the service; credit accounts come last, inside availability's services.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Min, Sum

from apps.availability.models import Availability, Reservation
from apps.availability.services import rules as of_offers
from apps.availability.services import stock
from apps.matching.models import Match
from apps.negotiations.models import Negotiation, Offer, Side
from apps.negotiations.services import rules
from apps.partners.services import exposure
from apps.requirement.models import Requirement
from apps.requirement.services import ledger
from apps.risk.services import assessing, rates
from erp import clock
from erp.access import Actor
from erp.masked import masked_checks
from erp.services import Refusal, refuse

_Listed, _Wanted = Availability.Status, Requirement.Status


@dataclass
class Deal:
    """The locked rows behind a negotiation, and the reservation that still holds goods for it."""

    match: Match
    requirement: Requirement
    offer: Availability
    hold: Reservation | None

    @classmethod
    def of(cls, match: Match, *, reservation_id: Any = None) -> "Deal":
        """Lock what the match pairs. The reservation is locked too, if it still holds anything."""
        match = Match.objects.locked().get(pk=match.pk)
        wanted = Requirement.objects.locked().select_related("buyer_partner", "commodity")
        requirement = wanted.get(pk=match.requirement_id)
        listed = Availability.objects.locked().select_related(
            "commodity", "seller_partner", "delivery_term", "pricing_unit"
        )
        offer = listed.get(pk=match.availability_id)
        return cls(match, requirement, offer, live_hold(offer, reservation_id))

    @property
    def is_match_live(self) -> bool:
        """Whether the match still pairs the two sides."""
        return bool(self.match.is_live)

    def is_on_market(self, now: datetime, *, held: bool = False) -> bool:
        """Whether both listings are live. ``held``: or have only run out, which a reservation outlasts."""
        if self.offer.pricing_unit_id is None:
            return False  # nothing to quote prices in
        offer_over = self.offer.expires_at is not None and self.offer.expires_at <= now
        wanted_over = self.requirement.expires_at is not None and self.requirement.expires_at <= now
        if held and self.hold is not None:
            listed = self.offer.status in (_Listed.ACTIVE, _Listed.EXPIRED)
            return listed and self.requirement.status in (*Requirement.LIVE, _Wanted.EXPIRED)
        listed = self.offer.status == _Listed.ACTIVE and not offer_over
        return listed and self.requirement.is_live and not wanted_over

    @property
    def held_quantity(self) -> Decimal:
        """What is reserved for this deal."""
        return Decimal(0) if self.hold is None else self.hold.still_open

    @property
    def free_quantity(self) -> Decimal:
        """What can be reserved for this deal: also what is its own, and what should be over, before any sweep."""
        overdue = self.offer.reservations.overdue(clock.now()).aggregate(total=Sum("open_quantity"))["total"]
        free: Decimal = self.offer.available_quantity + self.held_quantity + (overdue or 0)
        return free

    def weight(self, quantity: Decimal) -> Decimal:
        """Weight of a quantity of the goods, in kilograms."""
        return self.offer.weight_of(quantity)

    @property
    def is_counted_alike(self) -> bool:
        """Whether both listings count in the same unit, so that no weight is needed to compare."""
        return self.offer.unit == self.requirement.unit

    @property
    def proposed(self) -> Decimal:
        """What the match proposes, in the unit of the offered goods."""
        match = self.match  # what the buyer alone decided isn't shown to the seller
        decided = match.buyer_quantity if match.status == Match.Status.APPROVED else None
        return Decimal(decided or match.allocated_quantity or match.proposed_quantity)

    def wants(self, quantity: Decimal) -> bool:
        """Whether the requirement still needs that much; what is reserved for this very deal counts as open."""
        left = ledger.open_demand(self.requirement)
        hold = self.hold
        counted = hold is not None and hold.requirement_id == self.requirement.pk and hold.is_protected
        if self.is_counted_alike:
            return quantity <= left + (self.held_quantity if counted else 0)
        reserved = self.weight(self.held_quantity) if counted else Decimal(0)
        return self.weight(quantity) <= self.requirement.kg(left) + reserved

    def require_quantity(self, quantity: Decimal, *, actor: Actor, side: Side, row: Negotiation) -> None:
        """Raise unless the quantity is whole, fits the offered goods, and lies in the range of the match."""
        offer = self.offer
        of_offers.require_whole(offer, quantity, "/quantity")
        free = self.free_quantity
        if not offer.allow_partial and quantity != offer.total_quantity - offer.withdrawn_quantity:
            raise of_offers.WholeLotOnly
        smallest = offer.min_order_quantity
        if smallest is not None and quantity < smallest and quantity != free:
            raise of_offers.BelowMinimum
        if quantity > free:
            words = f"Only {free.normalize():f} {offer.unit} are available."
            raise rules.QuantityOutOfRange.at("/quantity", "too_much", words)
        with masked_checks(actor, row, visible=side == Side.BUYER):  # a seller doesn't see what is wanted
            if quantity < self.match.need_quantity and quantity != free:
                raise rules.QuantityOutOfRange.at("/quantity", "too_little", "The match needs more.")
            if not self.wants(quantity):
                raise rules.QuantityOutOfRange.at("/quantity", "too_much", "The buyer needs less.")

    # The reservation

    def needs_more(self, made: Offer, *, own: bool) -> bool:
        """Whether more must be reserved than is, or on other payment terms; the match's reservation stays as it is."""
        if self.hold is None:
            return True
        other_terms = made.payment_term_id != self.hold.payment_term_id
        return own and (made.quantity > self.hold.still_open or other_terms)

    def blocked(self, negotiation: Negotiation, made: Offer, *, actor: Actor, side: Side) -> Refusal | None:
        """The refusal of a deal that risk blocks, which keeps the assessment; what is reserved for it doesn't count.

        What only the other side causes is refused and counted like all that a side may not know of it (rulings X10).
        """
        offer = self.offer
        try:
            with masked_checks(actor, negotiation, visible=False):
                assessment = assessing.judge(
                    actor=actor,
                    requirement=self.requirement,
                    availability=offer,
                    quantity_kg=made.weight_kg,
                    price=made.price,
                    pricing_unit=offer.pricing_unit,
                    currency=offer.currency,
                    payment_term=made.payment_term,
                    match_id=negotiation.match_id,
                    reservation_id=None if self.hold is None else self.hold.pk,
                )
                if assessing.is_of_other(assessment, side):
                    raise rules.CounterpartNotReady
        except rules.CounterpartNotReady as refusal:
            return refuse(refusal)
        if not assessment.is_blocking:
            return None
        return refuse(assessing.Blocked(reasons=assessing.own_reasons(assessment, side)))

    def adopt(self, negotiation: Negotiation, *, actor: Actor) -> None:
        """Use what the match has reserved meanwhile; beside a reservation of one's own it is released."""
        other = None
        if self.match.reservation_id != negotiation.reservation_id:
            other = live_hold(self.offer, self.match.reservation_id)
        if other is None:
            return
        if self.hold is None:
            self.hold, negotiation.reservation_id, negotiation.own_hold = other, other.pk, False
        else:
            self._lock_credit()
            stock.release(self.offer, actor=actor, reservation_id=other.pk, cause="replaced")

    def hold_until(self, negotiation: Negotiation, until: datetime) -> datetime:
        """Until when goods can be reserved for offers: at most 72 hours after the first reservation was made."""
        made_here = self.offer.reservations.filter(negotiation_id=negotiation.pk)
        first = made_here.aggregate(first=Min("created_at"))["first"]
        return until if first is None else min(until, first + rules.HOLD_MOST)

    def _lock_credit(self) -> None:
        """Lock the accounts that a release and a new reservation touch: by id, before the first of them is used."""
        overdue = self.offer.reservations.overdue(clock.now()).locked().order_by("pk")
        exposure.lock_accounts(
            {self.requirement.buyer_partner_id, *(each.holder_partner_id for each in overdue)}
        )

    def agreed(self, made: Offer) -> dict[str, Any]:
        """What the credit for an offer is computed from."""
        rate = rates.rate_for(self.requirement.buyer_partner_id, self.offer.currency)
        return {"unit_price": made.price, "payment_term": made.payment_term, "rate": rate}

    def take(self, negotiation: Negotiation, made: Offer, *, actor: Actor, until: datetime) -> None:
        """Hold exactly what is offered for the buyer: cut what is held, replace it, or reserve anew."""
        held, quantity = self.hold, made.quantity
        if held is not None and quantity == held.still_open:
            return
        if held is not None and quantity < held.still_open:
            self._release(actor, held.still_open - quantity, "by_negotiation")
            self.hold = live_hold(self.offer, held.pk)
            return
        if held is not None:
            self._lock_credit()
            self._release(actor, None, "replaced")
        self.hold = stock.reserve(
            self.offer,
            actor=actor,
            quantity=quantity,
            holder_partner=negotiation.buyer_partner,
            requirement_id=negotiation.requirement_id,
            negotiation_id=negotiation.pk,
            until=until,
            **self.agreed(made),
        )
        negotiation.reservation_id, negotiation.own_hold = self.hold.pk, True

    def extend(self, *, actor: Actor, until: datetime, made: Offer | None = None) -> None:
        """Let the reservation live until then, at most 72 hours after it was made; with ``made`` on its terms."""
        hold = self.hold
        if hold is None or hold.expires_at is None:
            return
        latest = max(hold.expires_at, min(until, hold.created_at + rules.HOLD_MOST))
        has_changed = made is not None and (made.price, made.payment_term_id) != (
            hold.unit_price, hold.payment_term_id
        )  # fmt: skip
        if has_changed or latest > hold.expires_at:
            agreed = self.agreed(made) if has_changed and made is not None else {}
            self.hold = stock.extend_hold(
                self.offer, actor=actor, reservation_id=hold.pk, until=latest, **agreed
            )

    def _release(self, actor: Actor, quantity: Decimal | None, cause: str) -> None:
        assert self.hold is not None
        stock.release(self.offer, actor=actor, reservation_id=self.hold.pk, quantity=quantity, cause=cause)


def live_hold(offer: Availability, reservation_id: Any) -> Reservation | None:
    """The reservation, locked, if it still holds goods; past its deadline it is worth nothing, before any sweep."""
    if reservation_id is None:
        return None
    rows = offer.reservations.locked().filter(status=Reservation.Status.HELD, expires_at__gt=clock.now())
    found: Reservation | None = rows.filter(pk=reservation_id).first()
    return found


def release_own_hold(negotiation: Negotiation, *, actor: Actor) -> None:
    """Give back what was reserved here; what the match brought stays with it."""
    if negotiation.reservation_id is None or not negotiation.own_hold:
        return
    offer = Availability.objects.locked().get(pk=negotiation.availability_id)
    held = offer.reservations.filter(pk=negotiation.reservation_id, status=Reservation.Status.HELD)
    if held.exists():
        stock.release(offer, actor=actor, reservation_id=negotiation.reservation_id, cause="by_negotiation")
    negotiation.reservation_id, negotiation.own_hold = None, False
