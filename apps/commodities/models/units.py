"""Units of measure: what each is in the base unit of its dimension, exactly, and since when."""

from fractions import Fraction
from typing import Any, ClassVar, Self

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.lookups import Exact

from apps.approvals.models import PublishedByApproval
from apps.commodities.models.base import UNIT_CODE, is_staff
from apps.commodities.models.commodities import Commodity
from erp.access import Actor
from erp.models import Model, QuerySet
from erp.periods import DatedQuerySet, dates_in_order, no_overlap


class UnitQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Everybody sees units."""
        return self

    def active(self) -> Self:
        """All: a unit isn't archived, its definitions are withdrawn."""
        return self

    def with_definitions(self) -> Self:
        """With the definitions that were ever published, in their order."""
        public = UnitDefinition.objects.filter(status__in=UnitDefinition.PUBLIC).order_by("unit_version")
        return self.prefetch_related(models.Prefetch("definitions", public, to_attr="published_definitions"))


class Unit(Model):
    """A unit of measure. What lives side by side under one name, such as two candies, is two units."""

    class Dimension(models.TextChoices):
        MASS = "MASS"
        LENGTH = "LENGTH"
        AREA = "AREA"
        VOLUME = "VOLUME"
        COUNT = "COUNT"

    code = models.CharField(max_length=16, validators=[RegexValidator(rf"\A{UNIT_CODE}\Z")])
    dimension = models.CharField(max_length=6, choices=Dimension)
    symbol = models.CharField(max_length=20)
    name = models.CharField(max_length=200)
    gst_uqc = models.CharField(max_length=3, null=True, blank=True)  # noqa: DJ001 - tax law names none
    unece_code = models.CharField(max_length=3, null=True, blank=True)  # noqa: DJ001 - not in Rec. 20 or 21

    objects: ClassVar[Any] = UnitQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["code"], name="unit_code_once"),
            models.CheckConstraint(name="unit_code_format", condition=Q(code__regex=f"^{UNIT_CODE}$")),
            models.CheckConstraint(
                name="unit_uqc_format", condition=Q(gst_uqc=None) | Q(gst_uqc__regex="^[A-Z]{3}$")
            ),
            models.CheckConstraint(
                name="unit_unece_format",
                condition=Q(unece_code=None) | Q(unece_code__regex="^[A-Z0-9]{2,3}$"),
            ),
        ]

    def __str__(self) -> str:
        return self.code


class UnitDefinition(PublishedByApproval):
    """What a unit is in KG, M, M2, L or EACH: an exact fraction in lowest terms, since a date."""

    KEY = ("unit",)
    NUMBER = "unit_version"
    CONTENT = ("code", "unit_version", "numerator", "denominator")

    unit = models.ForeignKey(Unit, models.PROTECT, related_name="definitions")
    unit_version = models.PositiveIntegerField(editable=False)
    numerator = models.DecimalField(max_digits=40, decimal_places=0)
    denominator = models.DecimalField(max_digits=40, decimal_places=0)

    class Meta(PublishedByApproval.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["unit", "unit_version"], name="unit_definition_version_once"),
            models.CheckConstraint(
                name="unit_definition_positive", condition=Q(numerator__gt=0, denominator__gt=0)
            ),
            models.CheckConstraint(
                name="unit_definition_lowest_terms",
                condition=Exact(
                    Func(
                        F("numerator"),
                        F("denominator"),
                        function="gcd",
                        output_field=models.DecimalField(max_digits=40, decimal_places=0),
                    ),
                    Value(1, models.DecimalField(max_digits=40, decimal_places=0)),
                ),
            ),
            dates_in_order("unit_definition_dates"),
            no_overlap("unit_definition_no_overlap", "unit", condition=Q(status="PUBLISHED")),
        ]

    def __str__(self) -> str:
        return f"{self.code} version {self.unit_version}"

    @property
    def code(self) -> str:
        """The unit's code."""
        return str(self.unit.code)

    @property
    def factor(self) -> Fraction:
        """How many of the dimension's base unit one of the unit is."""
        return Fraction(int(self.numerator), int(self.denominator))


class PackWeightQuerySet(DatedQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every weight; partners those of commodities that are past DRAFT."""
        return self if is_staff(user) else self.exclude(commodity__status="DRAFT")

    def active(self) -> Self:
        """All: weights end by date."""
        return self


class PackWeight(Model):
    """What a package of a commodity from a country weighs: the only way from a count to a weight."""

    granted_through = ("commodity",)

    class Basis(models.TextChoices):
        NOMINAL = "NOMINAL"
        STATISTICAL_NET = "STATISTICAL_NET"
        GROSS = "GROSS"

    commodity = models.ForeignKey(Commodity, models.PROTECT, related_name="pack_weights")
    package_unit = models.ForeignKey(
        Unit, models.PROTECT, to_field="code", related_name="+", db_column="package_unit"
    )
    origin_country = models.CharField(max_length=2)
    basis = models.CharField(max_length=15, choices=Basis)
    value = models.DecimalField(max_digits=18, decimal_places=3, null=True, blank=True)
    unit = models.ForeignKey(Unit, models.PROTECT, to_field="code", related_name="+", db_column="unit")
    low = models.DecimalField(max_digits=18, decimal_places=3)
    high = models.DecimalField(max_digits=18, decimal_places=3)
    source = models.CharField(max_length=500)
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True)

    objects: ClassVar[Any] = PackWeightQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="pack_weight_limits",
                condition=Q(low__gt=0, low__lte=F("high"))
                & (Q(value=None) | Q(value__gte=F("low"), value__lte=F("high"))),
            ),
            models.CheckConstraint(
                name="pack_weight_origin_iso", condition=Q(origin_country__regex="^[A-Z]{2}$")
            ),
            dates_in_order("pack_weight_dates"),
            no_overlap("pack_weight_no_overlap", "commodity", "package_unit", "origin_country", "basis"),
        ]

    def __str__(self) -> str:
        weight = "of no fixed weight" if self.value is None else f"{self.value.normalize():f} {self.unit_id}"
        return f"{self.package_unit_id} of {self.origin_country}, {weight}"
