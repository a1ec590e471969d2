"""Two sides of a match: cotton that one offers and the other requires, found by a run."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from apps.accounts.models import User
from apps.availability.models import Availability, Reservation
from apps.availability.tests.factories import with_credit
from apps.commodities.models.tax import TaxRate
from apps.matching.models import Match, MatchRun
from apps.negotiations.models import Negotiation
from apps.negotiations.services import decisions, offers
from apps.requirement.models import Requirement
from apps.requirement.tests.factories import cotton
from erp import clock
from erp.models import unguarded_writes

PARTS = ("quality", "price", "delivery", "quantity", "place", "window", "terms")
BREAKDOWN: dict[str, Any] = {
    **{name: {"score": "0.715042", "weight": 1000} for name in PARTS}, "parameters": [], "flags": [],
}  # fmt: skip


def proposed(requirement: Requirement, offer: Availability, quantity: int = 100, **fields: Any) -> Match:
    """A match of the two as a run leaves one."""
    weight = offer.weight_of(Decimal(quantity))
    with unguarded_writes():
        run = MatchRun(kind=MatchRun.Kind.ASKED, requirement=requirement, engine_version=1)
        run.save()
        match = Match(
            **{
                "requirement": requirement, "availability": offer, "buyer_partner_id": requirement.buyer_partner_id,
                "seller_partner_id": offer.seller_partner_id,
                "requirement_terms_version": requirement.terms_version,
                "availability_terms_version": offer.terms_version, "engine_version": 1, "risk_status": "PASS",
                "unit": offer.unit, "counted": True, "proposed_quantity": Decimal(quantity), "proposed_kg": weight,
                "need_quantity": Decimal(1), "need_kg": offer.weight_of(Decimal(1)), "score": Decimal("0.715042"),
                "label": Match.Label.ACCEPTABLE, "breakdown": BREAKDOWN, "inputs_digest": "0" * 64, "bucket": "0" * 64,
                "expires_at": clock.now() + timedelta(hours=72), "run": run, **fields,
            }
        )  # fmt: skip
        match.save()
    return match


@dataclass(eq=False)
class Table:
    """A match, and the two people who negotiate it."""

    match: Match
    buyer: Any
    seller: Any

    def start(self, by: Any = None) -> Negotiation:
        """Start the negotiation, the buyer first."""
        return offers.start(actor=by or self.buyer, match=self.match)

    def bid(self, negotiation: Negotiation, price: int | str = 53_000, **fields: Any) -> Negotiation:
        """An offer of the buyer."""
        return self.make(negotiation, self.buyer, price, **fields)

    def ask(self, negotiation: Negotiation, price: int | str = 53_500, **fields: Any) -> Negotiation:
        """An offer of the seller."""
        return self.make(negotiation, self.seller, price, **fields)

    def make(self, negotiation: Negotiation, by: Any, price: int | str, **fields: Any) -> Negotiation:
        """An offer; ``quantity`` in bales."""
        if "quantity" in fields:
            fields["quantity"] = {"value": Decimal(fields["quantity"]), "unit": "BALE"}
        return offers.offer(again(negotiation), actor=by, price=Decimal(price), **fields)

    def accept(self, negotiation: Negotiation, by: Any) -> Any:
        """Accept the current offer."""
        row = again(negotiation)
        return decisions.accept(row, actor=by, offer_id=row.standing_offer_id)

    @property
    def listing(self) -> Availability:
        """The offered goods as they are now."""
        return Availability.objects.get(pk=self.match.availability_id)

    def hold(self, negotiation: Negotiation) -> Reservation | None:
        """The reservation that the negotiation names."""
        return Reservation.objects.filter(pk=again(negotiation).reservation_id).first()


def again(row: Any) -> Any:
    """The row as it is now."""
    return type(row).objects.get(pk=row.pk)


def table(
    world: Any, *, credit: int = 0, quantity: int = 100, buyer: Any = None, offered: Any = None, wanted: Any = None,
    listing: Any = None, seller: Any = None,
) -> Table:  # fmt: skip
    """A match of new listings; with ``credit`` the goods are paid after delivery, out of the buyer's limit."""
    buyer = buyer or world.user("BUYER")
    if credit:
        with unguarded_writes():
            TaxRate.objects.get_or_create(
                hsn="5201",
                rate_percent=5,
                valid_from=date(2017, 7, 1),
                defaults={"source": "Notification", "status": "PUBLISHED"},
            )
        with_credit(world.partner_of(buyer), credit)
    if listing is None:
        goods = cotton(world.commodity)
        listing = world.offer(
            seller=seller or world.user("SELLER"), commodity=goods, quantity=quantity, advance=0 if credit else 100,
            **(offered or {}),
        )  # fmt: skip
    requirement = world.requirement(buyer=buyer, goods=listing.commodity, **(wanted or {}))
    seller = User.objects.get(pk=listing.created_by_id)
    return Table(proposed(requirement, listing, quantity), buyer, seller)
