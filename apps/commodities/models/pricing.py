"""Pricing units: a currency, or its cents, per unit."""

from decimal import Decimal
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.commodities.models.base import CODE, Simple, SimpleQuerySet, code_field
from apps.commodities.models.units import Unit
from erp.columns import CURRENCY, within


class PricingUnit(Simple):
    """A way to quote a price, such as rupees per candy or US cents per pound."""

    code = code_field()
    currency = models.CharField(
        max_length=3,
        validators=[CURRENCY],
        help_text="Currency of the price, ISO 4217 code of three letters, such as INR.",
    )
    divisor = models.PositiveSmallIntegerField(
        "quoted in",
        default=1,
        help_text="Whether prices are quoted in the currency (1) or in its cents (100).",
    )
    unit = models.ForeignKey(
        Unit,
        models.PROTECT,
        to_field="code",
        related_name="+",
        db_column="unit",
        help_text="Code of the unit that the price is for, such as CANDY.",
        verbose_name="price per",
    )
    places = models.PositiveSmallIntegerField("decimals", help_text="Decimals of a price, 0 to 6.")
    tick = models.DecimalField(
        "tick size",
        max_digits=18,
        decimal_places=6,
        null=True,
        blank=True,
        validators=within(Decimal("0.000001")),
        help_text="Smallest step between two prices, such as 0.01. Empty: any price.",
    )

    objects: ClassVar[Any] = SimpleQuerySet.as_manager()

    class Meta(Simple.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["code"], name="pricing_unit_code_once"),
            models.UniqueConstraint(fields=["currency", "divisor", "unit"], name="pricing_unit_once"),
            models.CheckConstraint(name="pricing_unit_code_format", condition=Q(code__regex=f"^{CODE}$")),
            models.CheckConstraint(
                name="pricing_unit_currency_iso", condition=Q(currency__regex="^[A-Z]{3}$")
            ),
            models.CheckConstraint(name="pricing_unit_divisor", condition=Q(divisor__in=(1, 100))),
            models.CheckConstraint(name="pricing_unit_places", condition=Q(places__range=(0, 6))),
            models.CheckConstraint(name="pricing_unit_tick", condition=Q(tick=None) | Q(tick__gt=0)),
        ]

    def __str__(self) -> str:
        return self.code
