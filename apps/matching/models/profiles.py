"""What the arithmetic of a listing comes to, done once. A cache: without it everything is computed again."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from apps.availability.models import Availability, quantity_field
from apps.commodities.models.commodities import Commodity
from apps.matching.models.matches import per_kg
from apps.requirement.models import Requirement
from erp.models import Guarded


class Profile(Guarded):
    """Figures of one version of a live listing."""

    machinery = True
    trail_exempt = "computed from listings, and computed anew when they change"

    id = models.BigAutoField(primary_key=True)
    listing_version = models.PositiveIntegerField()
    fresh_until = models.DateField(null=True, help_text="Last day on which its rates hold; empty: no end.")
    latitude = models.DecimalField(max_digits=9, decimal_places=6, null=True)
    longitude = models.DecimalField(max_digits=9, decimal_places=6, null=True)
    quantity_problem = models.CharField(max_length=40, default="")
    price_problem = models.CharField(max_length=40, default="")
    counted = models.BooleanField()
    facts = models.JSONField(default=dict, help_text="Versions of what it was computed from.")

    class Meta(Guarded.Meta):
        abstract = True


class OfferProfile(Profile):
    """Price, weight and quality of an offer, by the rules of its commodity."""

    availability = models.OneToOneField(Availability, models.CASCADE, related_name="match_profile")
    commodity = models.ForeignKey(Commodity, models.CASCADE, related_name="+")
    state_code = models.CharField(max_length=3)
    priced_by = models.CharField(
        max_length=60, help_text="What the rules say of prices: schedule and view of tax."
    )
    steps = ArrayField(quantity_field(), default=list, help_text="Quantities from which price steps hold.")
    quoted = ArrayField(per_kg(), default=list, help_text="A price for each step, the offer's own first.")
    equalised = ArrayField(per_kg(), default=list)
    gst = models.DecimalField(max_digits=9, decimal_places=6, null=True, help_text="GST as a share.")
    delivered = models.BooleanField(help_text="Whether the price includes the way to the buyer.")
    quality = models.JSONField(default=dict, help_text="Governing results by parameter and method.")
    beyond_limits = models.BooleanField(default=False)
    sell_home = models.CharField(max_length=26)
    sell_abroad = models.CharField(max_length=26)
    buy_home = models.CharField(max_length=26)
    buy_abroad = models.CharField(max_length=26)
    flags = ArrayField(models.CharField(max_length=20), default=list)
    lots = models.CharField(max_length=64, default="", help_text="Digest of the lots' identities.")

    class Meta(Profile.Meta):
        indexes: ClassVar = [models.Index(fields=["commodity", "state_code"], name="offer_profile_market")]

    def __str__(self) -> str:
        return str(self.availability_id)


class WantProfile(Profile):
    """Prices, quantities and bands of a requirement."""

    requirement = models.OneToOneField(Requirement, models.CASCADE, related_name="match_profile")
    commodity_ids = ArrayField(models.UUIDField(), help_text="Its commodity, and those accepted instead.")
    target = per_kg(null=True)
    ceiling = per_kg(null=True)
    gram_per_unit = models.DecimalField(max_digits=30, decimal_places=8, null=True)
    bands = models.JSONField(default=list)
    places = models.JSONField(default=list, help_text="Places with a greatest distance.")
    delivered = models.BooleanField()
    smallest_credit = models.DecimalField(
        max_digits=20,
        decimal_places=2,
        null=True,
        help_text="Credit that the smallest deal needs; empty: unknown.",
    )

    class Meta(Profile.Meta):
        indexes: ClassVar = [GinIndex(fields=["commodity_ids"], name="want_profile_commodities")]

    def __str__(self) -> str:
        return str(self.requirement_id)
