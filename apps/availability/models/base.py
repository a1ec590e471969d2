"""Columns and bases that the models of this module share."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar, Final, Self

from django.db import models
from django.db.models import F, Func, Value
from django.db.models.functions import Cast

from erp import ids
from erp.access import Actor
from erp.models import Model, QuerySet

KG: Final = Decimal("0.001")


def quantity_field(**kwargs: Any) -> Any:
    """A quantity: numeric(18,3)."""
    return models.DecimalField(max_digits=18, decimal_places=3, **kwargs)


def price_field(**kwargs: Any) -> Any:
    """A price as it is quoted: numeric(18,6)."""
    return models.DecimalField(max_digits=18, decimal_places=6, **kwargs)


def text(length: int, help_text: str = "", **kwargs: Any) -> Any:
    """A column for text that may be empty."""
    return models.CharField(max_length=length, default="", blank=True, help_text=help_text, **kwargs)


def day_field(moment: str, help_text: str) -> Any:
    """The day of a moment in Indian time, which the database computes."""
    local = Func(Value("Asia/Kolkata"), F(moment), function="timezone", output_field=models.DateTimeField())
    day = models.DateField(null=True)
    return models.GeneratedField(
        expression=Cast(local, day), output_field=day, db_persist=True, help_text=help_text
    )


def part(total: Decimal, quantity: Decimal, whole: Decimal) -> Decimal:
    """The share of ``total`` that ``quantity`` of ``whole`` has, three decimals, half up."""
    return (Decimal(total) * quantity / Decimal(whole)).quantize(KG, ROUND_HALF_UP)


def step_price(steps: list[dict[str, str]], quantity: Decimal, below: Decimal | None) -> Decimal | None:
    """The price of the step that fits the quantity; ``below`` the first step."""
    fitting = [step for step in steps if Decimal(step["min_quantity"]) <= quantity]
    return Decimal(fitting[-1]["unit_price"]) if fitting else below


class Stage(models.IntegerChoices):
    """How much of an offer a caller may see; the highest stage that applies counts."""

    BROWSE = 1
    MATCHED = 2
    NEGOTIATING = 3
    TRADE = 4
    OWNER = 9


class Opaque(Model):
    """A row that other partners can read before a trade: its id doesn't tell when it was made."""

    id = models.UUIDField(primary_key=True, default=ids.uuid4, editable=False)

    class Meta(Model.Meta):
        abstract = True


class OfOfferQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Rows of the offers that the user may see at the stage from which rows of this kind are shown."""
        from apps.availability.models.offers import Availability

        offers = Availability.objects.visible_to(user).with_stage(user)
        return self.filter(availability__in=offers.filter(stage__gte=self.model.from_stage).values("pk"))


class OfOffer(Opaque):
    """A part of an offer."""

    granted_through = ("availability",)
    owner_partner = "availability__seller_partner_id"
    from_stage: ClassVar[Stage] = Stage.BROWSE  # at which other partners see the row

    availability = models.ForeignKey("availability.Availability", models.PROTECT, related_name="+")

    objects: ClassVar[Any] = OfOfferQuerySet.as_manager()

    class Meta(Opaque.Meta):
        abstract = True


class TaxBasis(models.TextChoices):
    """Whether a price has GST in it."""

    EXCLUSIVE = "EXCLUSIVE", "GST is added"
    INCLUSIVE = "INCLUSIVE", "GST is included"


class EndOfDay(models.TextChoices):
    """When a listing ends by itself."""

    DAY = "DAY", "Day"
    GOOD_TILL_DATE = "GOOD_TILL_DATE", "Good till date"
    GOOD_TILL_CANCELLED = "GOOD_TILL_CANCELLED", "Good till cancelled"


class PriceFlag(models.TextChoices):
    """How a price stands to what others ask."""

    LOW = "LOW"
    HIGH = "HIGH"


class Risk(models.TextChoices):
    """Result of a look at the risk."""

    PASS = "PASS"  # noqa: S105 - a result
    WARN = "WARN"
    REVIEW = "REVIEW"
    FAIL = "FAIL"
