"""Varieties of a commodity."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.commodities.models.base import (
    CODE,
    CommodityPartQuerySet,
    Name,
    Simple,
    aliases_field,
    code_field,
    name_field,
)
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import Limit
from erp.columns import RowsField


class Variety(Simple):
    """A variety of a commodity, such as Shankar-6 of cotton."""

    granted_through = ("commodity",)

    commodity = models.ForeignKey(
        Commodity,
        models.PROTECT,
        related_name="varieties",
        help_text="Commodity to which the variety belongs.",
    )
    code = code_field()
    name = name_field()
    aliases = aliases_field()
    is_standard = models.BooleanField(
        "standard",
        default=False,
        help_text="Whether it is the standard variety. A commodity has at most one.",
    )
    presets = RowsField(
        Limit, help_text="Usual range of each quality parameter. Proposed for offers of the variety."
    )

    objects: ClassVar[Any] = CommodityPartQuerySet.as_manager()

    class Meta(Simple.Meta):
        verbose_name_plural = "varieties"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["commodity", "code"], name="variety_code_once"),
            models.UniqueConstraint(
                fields=["commodity"], condition=Q(is_standard=True), name="variety_one_standard"
            ),
            models.CheckConstraint(name="variety_code_format", condition=Q(code__regex=f"^{CODE}$")),
        ]

    def __str__(self) -> str:
        return self.name


class VarietyName(Name):
    """A name or alias of one variety and of no other variety of its commodity."""

    commodity = models.ForeignKey(Commodity, models.CASCADE, related_name="variety_names")
    variety = models.ForeignKey(Variety, models.CASCADE, related_name="names")

    class Meta(Name.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["commodity", "key"], name="variety_name_once"),
        ]

    def __str__(self) -> str:
        return self.key
