"""What services of offers and of requirements have in common."""

from decimal import Decimal
from typing import Protocol

from apps.partners.models import Partner
from erp.access import Actor
from erp.errors import Conflict, RuleBroken
from erp.events import Quantity


class Listing(Protocol):
    """An offer or a requirement."""

    unit: str
    status: str


def measured(listing: Listing, value: Decimal) -> Quantity:
    """A quantity of the listing as events carry it."""
    return Quantity(value=Decimal(value).quantize(Decimal("0.001")), unit=listing.unit)


def require_status(refusal: type[Conflict], listing: Listing, *states: str) -> None:
    """Raise the refusal unless the listing has one of these statuses."""
    if listing.status not in states:
        raise refusal.of_status(listing)


def acting_partner(refusal: type[RuleBroken], actor: Actor, chosen: Partner | None, pointer: str) -> Partner:
    """Return the partner that acts: a user's own, or the one that staff and SYSTEM choose."""
    own = actor.partner_id
    if own is not None:
        if chosen is not None and chosen.pk != own:
            raise refusal.at(pointer, "not_your_own", "Choose your own partner, or none.")
        partner: Partner = Partner.objects.get(pk=own)
        return partner
    if chosen is None:
        raise refusal.at(pointer, "required", "Choose the partner.")
    return chosen
