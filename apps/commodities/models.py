"""What can be traded."""

import unicodedata
from typing import Any, ClassVar, Self

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from erp.access import Actor
from erp.models import Model, QuerySet

CODE = "[A-Z0-9][A-Z0-9_/-]{0,31}"


def name_key(name: str) -> str:
    """What makes two names the same: NFKC, case-folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


class CommodityQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every commodity; partners those that are past DRAFT."""
        if getattr(user, "is_system", False) or getattr(user, "is_staff", False):
            return self
        return self.exclude(status=Commodity.Status.DRAFT)

    def tradable(self) -> Self:
        """Commodities that new offers and wants may name."""
        return self.filter(status=Commodity.Status.ACTIVE)


class Commodity(Model):
    """A kind of goods, with how it is counted and coded. Everything else about it is rows of their own."""

    class Category(models.TextChoices):
        FIBRE = "FIBRE"
        SEED_COTTON = "SEED_COTTON"
        OILSEED = "OILSEED"
        OILCAKE = "OILCAKE"
        VEGETABLE_OIL = "VEGETABLE_OIL"
        YARN = "YARN"
        FABRIC = "FABRIC"
        CEREAL = "CEREAL"
        PULSE = "PULSE"
        SPICE = "SPICE"
        SUGAR = "SUGAR"
        METAL = "METAL"
        OTHER = "OTHER"

    class QuantityMode(models.TextChoices):
        WEIGHT = "WEIGHT"
        COUNT_AND_WEIGHT = "COUNT_AND_WEIGHT"

    class Status(models.TextChoices):
        DRAFT = "DRAFT"
        ACTIVE = "ACTIVE"
        SUSPENDED = "SUSPENDED"
        ARCHIVED = "ARCHIVED"

    TRANSITIONS: ClassVar = {
        Status.DRAFT: {Status.ACTIVE, Status.ARCHIVED},
        Status.ACTIVE: {Status.SUSPENDED, Status.ARCHIVED},
        Status.SUSPENDED: {Status.ACTIVE, Status.ARCHIVED},
        Status.ARCHIVED: set(),
    }

    code = models.CharField(max_length=32, unique=True, validators=[RegexValidator(rf"\A{CODE}\Z")])
    name = models.CharField(max_length=200)
    name_key = models.CharField(max_length=400, unique=True, editable=False)
    category = models.CharField(max_length=13, choices=Category)
    description = models.CharField(max_length=2000, default="", blank=True)
    base_unit = models.CharField(max_length=16, default="KG")
    quantity_mode = models.CharField(max_length=16, choices=QuantityMode, default=QuantityMode.WEIGHT)
    package_unit = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001 - absent with WEIGHT
    trade_unit = models.CharField(max_length=16)
    hsn_code = models.CharField(max_length=8, null=True, blank=True)  # noqa: DJ001 - not known yet
    origin_country = models.CharField(max_length=2, default="IN")
    season_start_month = models.PositiveSmallIntegerField(null=True, blank=True)
    quantity_tolerance_percent = models.DecimalField(max_digits=9, decimal_places=4, default=5)
    status = models.CharField(max_length=9, choices=Status, default=Status.DRAFT)

    objects: ClassVar[Any] = CommodityQuerySet.as_manager()

    class Meta(Model.Meta):
        verbose_name_plural = "commodities"
        constraints: ClassVar = [
            models.CheckConstraint(name="commodity_code_format", condition=Q(code__regex=f"^{CODE}$")),
            models.CheckConstraint(
                name="commodity_package_with_count",
                condition=Q(quantity_mode="WEIGHT", package_unit=None)
                | Q(quantity_mode="COUNT_AND_WEIGHT", package_unit__isnull=False),
            ),
            models.CheckConstraint(
                name="commodity_trade_unit_known",
                condition=Q(trade_unit=F("base_unit"))
                | Q(trade_unit=F("package_unit"))
                | Q(quantity_mode="WEIGHT"),
            ),
            models.CheckConstraint(
                name="commodity_hsn_digits",
                condition=Q(hsn_code=None) | Q(hsn_code__regex=r"^(\d{4}|\d{6}|\d{8})$"),
            ),
            models.CheckConstraint(
                name="commodity_season_month",
                condition=Q(season_start_month=None) | Q(season_start_month__range=(1, 12)),
            ),
            models.CheckConstraint(
                name="commodity_tolerance_range", condition=Q(quantity_tolerance_percent__range=(0, 20))
            ),
            models.CheckConstraint(
                name="commodity_origin_iso", condition=Q(origin_country__regex=r"^[A-Z]{2}$")
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def is_counted_in(self, unit: str) -> bool:
        """Whether ``unit`` counts packages, which are whole."""
        return unit == self.package_unit

    def open_verbs(self) -> frozenset[str]:
        return frozenset() if self.status == self.Status.ARCHIVED else frozenset({"update"})
