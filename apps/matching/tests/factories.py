"""A requirement and offers that suit it: cotton near its mill, with tested quality."""

from decimal import Decimal
from typing import Any

from django.db.models import F

from apps.availability.services import decisions, offers
from apps.availability.tests.factories import content as offer_content
from apps.commodities.models.tax import TaxRate
from apps.matching.models import Match
from apps.matching.services import runs
from apps.requirement.models import Requirement
from apps.requirement.services import requirements
from apps.requirement.tests.factories import content as want_content
from apps.requirement.tests.factories import cotton
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes

GOOD = {"staple_length": "29.2", "micronaire": "3.9", "trash": "3.2", "strength": "28.0"}
GONDAL = {
    "address": "Gondal", "country": "IN", "state_code": "GJ", "latitude": Decimal("21.960000"),
    "longitude": Decimal("70.790000"),
}  # fmt: skip
METHODS = {"staple_length": "UHML", "micronaire": "HVI", "trash": "GRAVIMETRIC", "strength": "HVI"}


class Cotton:
    """A commodity with its market: makes offers and requirements of it, and runs."""

    def __init__(self, world: Any) -> None:
        """``world`` makes users and commodities."""
        self.world = world
        self.goods = cotton(world.commodity)
        self.seller, self.buyer = world.user("SELLER"), world.user("BUYER")

    def want(self, *, buyer: Any = None, publish: bool = True, **fields: Any) -> Any:
        """A live requirement of 100 bales, at most 54,000 a candy."""
        row = requirements.create(
            actor=buyer or self.buyer, commodity=self.goods, content=want_content(**fields), publish=publish
        )
        return Requirement.objects.get(pk=row.pk)

    def offer(
        self, *, seller: Any = None, quality: dict[str, str] | None = None, quantity: int = 100, **fields: Any
    ) -> Any:
        """A live offer of 100 bales at 53,500 a candy."""
        values = [
            {"parameter": code, "value": value, "method": METHODS[code]}
            for code, value in (GOOD if quality is None else quality).items()
        ]
        content = offer_content(quantity, quality=values, **{"place": GONDAL, **fields})
        row = offers.post(actor=seller or self.seller, commodity=self.goods, submit=True, content=content)
        if row.status == "PENDING_APPROVAL":
            row = decisions.approve(row, actor=self.world.user("INTERNAL_MANAGER"))
        return row

    def run(self, listing: Any, *, actor: Any = SYSTEM, **more: Any) -> Any:
        """Find matches of a listing."""
        find = runs.find_for_requirement if isinstance(listing, Requirement) else runs.find_for_availability
        return find(type(listing).objects.get(pk=listing.pk), actor=actor, **more)

    def match(self, want: Any = None, offer: Any = None) -> Match:
        """A proposed match."""
        want, offer = want or self.want(), offer or self.offer()
        self.run(want)
        return Match.objects.live().get(requirement=want, availability=offer)


def again(row: Any) -> Any:
    """The row as it is stored now."""
    return type(row).objects.get(pk=row.pk)


def put(row: Any, **values: Any) -> Any:
    """Write columns past the services, with a new version of the row."""
    with unguarded_writes():
        type(row).objects.filter(pk=row.pk).update(version=F("version") + 1, **values)
    return again(row)


def gst(percent: int = 5) -> None:
    """A GST rate of cotton from today on."""
    with unguarded_writes():
        TaxRate(
            hsn="5201", rate_percent=Decimal(percent), valid_from=clock.today(), status="PUBLISHED",
            source="Notification 1/2026.",
        ).save()  # fmt: skip
