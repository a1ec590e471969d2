"""Grades of a commodity, for contracts that price by grade."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.commodities.models.base import CODE, PartQuerySet, Simple, code_field, name_field
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import Limit
from apps.commodities.models.pricing import PricingUnit
from erp.columns import RowsField


class Grade(Simple):
    """A grade of a commodity, with what it is worth against the basis. Rank 1 is the best."""

    granted_through = ("commodity",)

    class DifferenceKind(models.TextChoices):
        NONE = "NONE"
        PERCENT = "PERCENT"
        MONEY = "MONEY"

    commodity = models.ForeignKey(Commodity, models.PROTECT, related_name="grades")
    code = code_field()
    name = name_field()
    rank = models.PositiveSmallIntegerField()
    is_basis = models.BooleanField(default=False)
    limits = RowsField(Limit)
    difference_kind = models.CharField(max_length=7, choices=DifferenceKind, default=DifferenceKind.NONE)
    difference = models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True)
    pricing_unit = models.ForeignKey(PricingUnit, models.PROTECT, null=True, blank=True, related_name="+")

    objects: ClassVar[Any] = PartQuerySet.as_manager()

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
