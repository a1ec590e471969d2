"""Grades of a commodity, for contracts that price by grade."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.commodities.models.base import CODE, CommodityPartQuerySet, Simple, code_field, name_field
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import Limit
from apps.commodities.models.pricing import PricingUnit
from erp.columns import RowsField


class Grade(Simple):
    """A grade of a commodity, with its difference to the basis grade. Rank 1 is the best."""

    granted_through = ("commodity",)

    class DifferenceKind(models.TextChoices):
        NONE = "NONE", "No difference"
        PERCENT = "PERCENT", "Percent of the price"
        MONEY = "MONEY", "Amount per pricing unit"

    commodity = models.ForeignKey(
        Commodity, models.PROTECT, related_name="grades", help_text="Commodity to which the grade belongs."
    )
    code = code_field()
    name = name_field()
    rank = models.PositiveSmallIntegerField(
        help_text="Place in the order of quality, 1 to 999. 1 is the best grade."
    )
    is_basis = models.BooleanField(
        "basis grade",
        default=False,
        help_text="Whether prices are quoted for this grade. A commodity has at most one basis grade.",
    )
    limits = RowsField(Limit, help_text="Range of each quality parameter within the grade.")
    difference_kind = models.CharField(
        max_length=7,
        choices=DifferenceKind,
        default=DifferenceKind.NONE,
        help_text="How the price differs from that of the basis grade. The basis grade itself has no difference.",
    )
    difference = models.DecimalField(
        max_digits=18,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Premium (above 0) or discount (below 0) against the basis grade: percent or amount.",
    )
    pricing_unit = models.ForeignKey(
        PricingUnit,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Unit in which the amount is quoted, such as rupees per candy. Only for an amount.",
    )

    objects: ClassVar[Any] = CommodityPartQuerySet.as_manager()

    class Meta(Simple.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["commodity", "code"], name="grade_code_once"),
            models.UniqueConstraint(fields=["commodity", "rank"], name="grade_rank_once"),
            models.UniqueConstraint(fields=["commodity"], condition=Q(is_basis=True), name="grade_one_basis"),
            models.CheckConstraint(name="grade_code_format", condition=Q(code__regex=f"^{CODE}$")),
            models.CheckConstraint(name="grade_rank_range", condition=Q(rank__range=(1, 999))),
            models.CheckConstraint(
                name="grade_difference_by_kind",
                condition=Q(difference_kind="NONE", difference=None, pricing_unit=None)
                | Q(difference_kind="PERCENT", difference__isnull=False, pricing_unit=None, is_basis=False)
                | Q(
                    difference_kind="MONEY",
                    difference__isnull=False,
                    pricing_unit__isnull=False,
                    is_basis=False,
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name
