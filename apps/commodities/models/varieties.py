"""Varieties of a commodity."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from apps.commodities.models.base import CODE, Name, PartQuerySet, Simple
from apps.commodities.models.commodities import Commodity


class Variety(Simple):
    """A variety of a commodity, such as Shankar-6 of cotton."""

    granted_through = ("commodity",)

    commodity = models.ForeignKey(Commodity, models.PROTECT, related_name="varieties")
    code = models.CharField(max_length=32, validators=[RegexValidator(rf"\A{CODE}\Z")])
    name = models.CharField(max_length=200)
    aliases = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    is_standard = models.BooleanField(default=False)
    presets = models.JSONField(default=list, blank=True)  # rows: parameter_id, low, high

    objects: ClassVar[Any] = PartQuerySet.as_manager()

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
