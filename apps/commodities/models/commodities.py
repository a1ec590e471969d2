"""Commodities."""

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q

from apps.commodities.models.base import (
    CODE,
    UNIT_FORMAT,
    Name,
    aliases_field,
    code_field,
    is_staff,
    name_field,
)
from erp.access import Actor
from erp.columns import COUNTRY, matches
from erp.models import Model, QuerySet

HSN_FORMAT = matches("[0-9]{4}|[0-9]{6}|[0-9]{8}", "Use 4, 6 or 8 digits.")


class CommodityQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every commodity; partners those that are past DRAFT."""
        return self if is_staff(user) else self.exclude(status=Commodity.Status.DRAFT)

    def active(self) -> Self:
        """All commodities but archived ones, as shown to partners."""
        return self.exclude(status=Commodity.Status.ARCHIVED)

    def tradable(self) -> Self:
        """Commodities that can be chosen for new offers and requirements."""
        return self.filter(status=Commodity.Status.ACTIVE)


class Commodity(Model):
    """A kind of goods, with its units and codes."""

    class Category(models.TextChoices):
        FIBRE = "FIBRE"
        SEED_COTTON = "SEED_COTTON", "Seed cotton (kapas)"
        OILSEED = "OILSEED"
        OILCAKE = "OILCAKE", "Oil cake"
        VEGETABLE_OIL = "VEGETABLE_OIL", "Vegetable oil"
        YARN = "YARN"
        FABRIC = "FABRIC"
        CEREAL = "CEREAL"
        PULSE = "PULSE"
        SPICE = "SPICE"
        SUGAR = "SUGAR"
        METAL = "METAL"
        OTHER = "OTHER"

    class QuantityMode(models.TextChoices):
        WEIGHT = "WEIGHT", "Weight only"
        COUNT_AND_WEIGHT = "COUNT_AND_WEIGHT", "Packages and weight"

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

    code = code_field()
    name = name_field()
    aliases = aliases_field()
    category = models.CharField(
        max_length=13, choices=Category, help_text="Group of goods to which the commodity belongs."
    )
    description = models.CharField(
        max_length=2000, default="", blank=True, help_text="What the commodity is, at most 2000 characters."
    )
    base_unit = models.CharField(
        max_length=16,
        default="KG",
        validators=[UNIT_FORMAT],
        help_text="Code of the unit in which stock and weight are recorded, such as KG.",
    )
    quantity_mode = models.CharField(
        max_length=16,
        choices=QuantityMode,
        default=QuantityMode.WEIGHT,
        help_text="Whether quantities are weights only, or packages (such as bales) together with their weight.",
    )
    package_unit = models.CharField(  # noqa: DJ001 - absent with WEIGHT
        max_length=16,
        null=True,
        blank=True,
        validators=[UNIT_FORMAT],
        help_text="Code of the unit in which packages are counted, such as BALE. Only where packages are counted.",
    )
    trade_unit = models.CharField(
        max_length=16,
        validators=[UNIT_FORMAT],
        help_text="Code of the unit in which quantities are traded, such as BALE or QTL. Default: the base unit.",
    )
    pricing_unit = models.ForeignKey(
        "commodity.PricingUnit",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Unit in which prices are quoted, such as rupees per candy.",
    )
    hsn_code = models.CharField(  # noqa: DJ001 - not known yet
        max_length=8,
        null=True,
        blank=True,
        validators=[HSN_FORMAT],
        help_text="HSN code of 4, 6 or 8 digits.",
    )
    origin_country = models.CharField(
        max_length=2,
        default="IN",
        validators=[COUNTRY],
        help_text="Country of origin, ISO 3166-1 code of two letters, such as IN.",
    )
    season_start_month = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Month in which the crop season starts, 1 to 12. October is 10."
    )
    quantity_tolerance_percent = models.DecimalField(
        max_digits=9,
        decimal_places=4,
        default=5,
        help_text="Percent by which a delivery may differ from the contracted quantity, 0 to 20.",
    )
    status = models.CharField(
        max_length=9,
        choices=Status,
        default=Status.DRAFT,
        help_text="Draft: seen by staff only. Active: can be traded. Suspended: not for new deals. Archived is final.",
    )

    objects: ClassVar[Any] = CommodityQuerySet.as_manager()

    class Meta(Model.Meta):
        verbose_name_plural = "commodities"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["code"], name="commodity_code_once"),
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
        """Whether quantities in ``unit`` are whole packages."""
        return unit == self.package_unit

    def open_verbs(self) -> frozenset[str]:
        return frozenset() if self.status == self.Status.ARCHIVED else frozenset({"update"})


class CommodityName(Name):
    """A name or alias of one commodity and of no other."""

    commodity = models.ForeignKey(Commodity, models.CASCADE, related_name="names")

    class Meta(Name.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key"], name="commodity_name_once"),
        ]

    def __str__(self) -> str:
        return self.key
