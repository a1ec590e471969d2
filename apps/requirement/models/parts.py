"""Parts of a requirement: bands, places, who may see it, what was bought, suggestions; and the demand of all."""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from apps.availability.models.base import Stage, quantity_field, text
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.models.varieties import Variety
from apps.locations.models import Location
from apps.partners.models import Partner
from apps.requirement.models.base import OfRequirement, OfRequirementQuerySet, value_field
from erp import clock
from erp.access import Actor
from erp.ids import uuid7
from erp.models import Guarded, QuerySet


def _figure(words: str, name: str) -> Any:
    return models.DecimalField(name, max_digits=12, decimal_places=4, null=True, blank=True, help_text=words)


class Band(OfRequirement):
    """What is accepted of one quality parameter. A required band is a hard filter; the others give points."""

    from_stage = Stage.BROWSE

    requirement = models.ForeignKey("requirement.Requirement", models.PROTECT, related_name="bands")
    parameter = models.ForeignKey(QualityParameter, models.PROTECT, related_name="+")
    minimum = _figure("Lowest accepted result, in the parameter's unit.", "min")
    maximum = _figure("Highest accepted result, in the parameter's unit.", "max")
    preferred = _figure("Preferred result. Sellers don't see it.", "preferred")
    accepted_codes = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        size=20,
        help_text="Accepted codes of a list.",
    )
    method = text(32, "Test method. Empty: the parameter's usual one.")
    required = models.BooleanField(default=False, help_text="Whether offers outside the band are left out.")

    class Meta(OfRequirement.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["requirement", "parameter"], name="band_parameter_once"),
            models.CheckConstraint(
                name="band_in_order",
                condition=(Q(minimum=None) | Q(maximum=None) | Q(minimum__lte=F("maximum")))
                & (Q(minimum=None) | Q(preferred=None) | Q(minimum__lte=F("preferred")))
                & (Q(maximum=None) | Q(preferred=None) | Q(preferred__lte=F("maximum"))),
            ),
        ]

    def __str__(self) -> str:
        return str(self.parameter)


class DeliveryPlace(OfRequirement):
    """A place where the goods are wanted; the first is the destination."""

    from_stage = Stage.TRADE

    requirement = models.ForeignKey("requirement.Requirement", models.PROTECT, related_name="places")
    position = models.PositiveSmallIntegerField()
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Registered place. Or enter coordinates.",
    )
    latitude = models.DecimalField(max_digits=9, decimal_places=6, null=True, help_text="Degrees north.")
    longitude = models.DecimalField(max_digits=9, decimal_places=6, null=True, help_text="Degrees east.")
    state_code = text(3, "State in India: GST code, letters or name.", verbose_name="state")
    max_distance_km = models.PositiveSmallIntegerField(
        "at most (km)", null=True, help_text="Goods farther away aren't wanted, 1 to 3,000 km."
    )

    class Meta(OfRequirement.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["requirement", "position"], name="delivery_place_position"),
            models.CheckConstraint(
                name="delivery_place_distance",
                condition=Q(max_distance_km=None) | Q(max_distance_km__range=(1, 3000)),
            ),
        ]

    def __str__(self) -> str:
        return str(self.location) if self.location_id else f"{self.latitude}, {self.longitude}"


class Invitation(OfRequirement):
    """A partner that is invited to a restricted requirement."""

    requirement = models.ForeignKey("requirement.Requirement", models.PROTECT, related_name="invitations")
    partner = models.ForeignKey(Partner, models.PROTECT, related_name="+")

    class Meta(OfRequirement.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["requirement", "partner"], name="requirement_invitation_once")
        ]

    def __str__(self) -> str:
        return str(self.partner)


class ShownQuerySet(OfRequirementQuerySet):
    def live(self, now: datetime) -> Self:
        """Disclosures that haven't ended."""
        return self.filter(Q(until=None) | Q(until__gt=now))


class Disclosure(OfRequirement):
    """More of a requirement shown to a partner, because of a negotiation or a trade."""

    requirement = models.ForeignKey("requirement.Requirement", models.PROTECT, related_name="disclosures")
    partner = models.ForeignKey(Partner, models.PROTECT, related_name="+")
    stage = models.PositiveSmallIntegerField(choices=Stage, help_text="How much the partner sees.")
    source_type = models.CharField(max_length=40, help_text="What discloses it, such as negotiation.")
    source_id = models.UUIDField(help_text="ID of what discloses it.")
    until = models.DateTimeField(null=True, help_text="When it ends.")

    objects: ClassVar[Any] = ShownQuerySet.as_manager()

    class Meta(OfRequirement.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["requirement", "partner", "source_type", "source_id"],
                name="requirement_disclosure_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.source_type} {self.source_id}"


class Fulfilment(OfRequirement):
    """One line of a requirement's ledger; append-only by a trigger. What was bought is the sum of the lines."""

    class Kind(models.TextChoices):
        COMMIT = "COMMIT", "Trade created"
        CONFIRM = "CONFIRM", "Trade approved"
        ADJUST = "ADJUST", "Trade amended"
        REVOKE = "REVOKE", "Trade cancelled"
        CORRECTION = "CORRECTION"

    requirement = models.ForeignKey("requirement.Requirement", models.PROTECT, related_name="fulfilments")
    kind = models.CharField(max_length=10, choices=Kind)
    trade_id = models.UUIDField("trade", null=True)
    committed_delta = quantity_field(default=0, help_text="Change of what trades wait to buy.")
    purchased_delta = quantity_field(default=0, help_text="Change of what was bought.")
    amount_delta = value_field(default=0, help_text="Change of what was spent.")
    reason = text(1000, "Why, for a correction.")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    entry_key = models.CharField(max_length=100, unique=True)

    class Meta(OfRequirement.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["requirement", "trade_id", "kind"],
                condition=Q(kind__in=["COMMIT", "CONFIRM"]),
                name="fulfilment_once_per_trade",
            )
        ]

    def __str__(self) -> str:
        return str(self.get_kind_display())


class SuggestionQuerySet(OfRequirementQuerySet):
    def open(self) -> Self:
        """Suggestions that can be applied, if the requirement hasn't changed."""
        return self.filter(status=Suggestion.Status.OPEN)

    def opinion_due(self, now: datetime) -> Self:
        """Suggestions about which a remote model is still to be asked."""
        return self.open().filter(opinion_due=True, expires_at__gt=now).order_by("created_at")


class Suggestion(OfRequirement):
    """Relaxations of a requirement and what each would unlock; applied by its buyer only."""

    class Status(models.TextChoices):
        OPEN = "OPEN"
        APPLIED = "APPLIED"
        DISMISSED = "DISMISSED"
        STALE = "STALE"

    requirement = models.ForeignKey("requirement.Requirement", models.PROTECT, related_name="suggestions")
    base_terms_version = models.PositiveIntegerField()
    scope = ArrayField(models.CharField(max_length=8))
    keep = ArrayField(models.CharField(max_length=40), default=list)
    result = models.JSONField(help_text="The options, best first, and what is open before.")
    provider = models.CharField(max_length=20)
    call_id = models.UUIDField(null=True)
    opinion = models.JSONField(null=True, help_text="What a remote model says, its figures computed again.")
    opinion_due = models.BooleanField(default=False, editable=False)
    status = models.CharField(max_length=9, choices=Status, default=Status.OPEN)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    expires_at = models.DateTimeField()

    objects: ClassVar[Any] = SuggestionQuerySet.as_manager()

    class Meta(OfRequirement.Meta):
        indexes: ClassVar = [
            models.Index(fields=["created_at"], condition=Q(opinion_due=True), name="suggestion_opinion_due")
        ]

    def __str__(self) -> str:
        return f"{self.get_status_display()} of {self.created_at:%d %b %Y}"


class DemandCellQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """All users who see requirements see the demand."""
        return self


class DemandCell(Guarded):
    """Live demand of one commodity, variety, crop year, state and week, where it names nobody. Computed daily."""

    machinery = True
    trail_exempt = "computed from requirements, and computed anew every day"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    commodity = models.ForeignKey(Commodity, models.PROTECT, related_name="+")
    variety = models.ForeignKey(Variety, models.PROTECT, null=True, related_name="+")
    crop_year = text(7)
    state_code = text(3)
    week = models.DateField(help_text="Monday of the week in which delivery begins.")
    buyers = models.PositiveIntegerField()
    open_kg = quantity_field()
    bands = models.JSONField(help_text="Median bounds by parameter.")
    computed_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = DemandCellQuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["commodity", "variety", "crop_year", "state_code", "week"],
                nulls_distinct=False,
                name="demand_cell_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.commodity}, {self.week}"
