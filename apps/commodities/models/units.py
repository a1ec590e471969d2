"""Units of measure and their exact definitions, effective from a date."""

from fractions import Fraction
from typing import Any, ClassVar, Self

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.lookups import Exact

from apps.approvals.models import PublishedByApproval
from apps.commodities.models.base import UNIT_CODE, is_staff, valid_from_field, valid_to_field
from apps.commodities.models.commodities import Commodity
from erp.access import Actor
from erp.models import Model, QuerySet
from erp.periods import DatedQuerySet, dates_in_order, no_overlap


class UnitQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """All users see units."""
        return self

    def active(self) -> Self:
        """All units: they can't be archived; their definitions are withdrawn instead."""
        return self

    def with_definitions(self) -> Self:
        """With their published and withdrawn definitions in order."""
        public = UnitDefinition.objects.filter(status__in=UnitDefinition.PUBLIC).order_by("unit_version")
        return self.prefetch_related(models.Prefetch("definitions", public, to_attr="published_definitions"))


class Unit(Model):
    """A unit of measure. Different measures of one name, such as two candies, are two units."""

    class Dimension(models.TextChoices):
        MASS = "MASS", "Weight"
        LENGTH = "LENGTH"
        AREA = "AREA"
        VOLUME = "VOLUME"
        COUNT = "COUNT"

    code = models.CharField(
        max_length=16,
        validators=[RegexValidator(rf"\A{UNIT_CODE}\Z")],
        help_text="Code of the unit, such as BALE: capital letters, digits and _, at most 16. Cannot be changed.",
    )
    dimension = models.CharField(max_length=6, choices=Dimension, help_text="What the unit measures.")
    symbol = models.CharField(
        max_length=20, help_text="Symbol as printed, such as kg. At most 20 characters."
    )
    name = models.CharField(max_length=200, help_text="Name of the unit, 2 to 200 characters.")
    gst_uqc = models.CharField(  # noqa: DJ001 - tax law names none
        max_length=3,
        null=True,
        blank=True,
        help_text="Unit quantity code for GST returns, three capital letters, such as KGS.",
    )
    unece_code = models.CharField(  # noqa: DJ001 - not in Rec. 20 or 21
        "UN/ECE code",
        max_length=3,
        null=True,
        blank=True,
        help_text="Code of UN/ECE Recommendation 20 or 21, two or three characters, such as KGM.",
    )

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
    """The value of a unit in KG, M, M2, L or EACH: an exact fraction in lowest terms, effective from a date."""

    KEY = ("unit",)
    NUMBER = "unit_version"
    CONTENT = ("code", "unit_version", "numerator", "denominator")

    unit = models.ForeignKey(
        Unit, models.PROTECT, related_name="definitions", help_text="Unit that is defined."
    )
    unit_version = models.PositiveIntegerField(
        editable=False, help_text="Number of the definition, counted from 1."
    )
    numerator = models.DecimalField(
        max_digits=40,
        decimal_places=0,
        help_text="Numerator of the value in kg, m, m², litres or pieces: a whole number from 1.",
    )
    denominator = models.DecimalField(
        max_digits=40,
        decimal_places=0,
        help_text="Denominator of the value: a whole number from 1.",
    )

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
        """The value of the unit in the base unit of its dimension."""
        return Fraction(int(self.numerator), int(self.denominator))


class PackWeightQuerySet(DatedQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every weight; partners those of commodities that are past DRAFT."""
        return self if is_staff(user) else self.exclude(commodity__status="DRAFT")

    def active(self) -> Self:
        """All weights: they end by date."""
        return self


class PackWeight(Model):
    """The weight of a package of a commodity from a country, which converts counts to weights."""

    granted_through = ("commodity",)

    class Basis(models.TextChoices):
        NOMINAL = "NOMINAL", "Nominal net"
        STATISTICAL_NET = "STATISTICAL_NET", "Statistical net"
        GROSS = "GROSS"

    commodity = models.ForeignKey(
        Commodity, models.PROTECT, related_name="pack_weights", help_text="Commodity that is packed."
    )
    package_unit = models.ForeignKey(
        Unit,
        models.PROTECT,
        to_field="code",
        related_name="+",
        db_column="package_unit",
        help_text="Code of the unit in which packages are counted, such as BALE.",
    )
    origin_country = models.CharField(
        max_length=2, help_text="Country of origin, ISO 3166-1 code of two letters, such as IN."
    )
    basis = models.CharField(max_length=15, choices=Basis, help_text="Which weight of the package is stated.")
    value = models.DecimalField(
        "weight",
        max_digits=18,
        decimal_places=3,
        null=True,
        blank=True,
        help_text="Weight of one package, up to three decimals. Empty: packages have no fixed weight.",
    )
    unit = models.ForeignKey(
        Unit,
        models.PROTECT,
        to_field="code",
        related_name="+",
        db_column="unit",
        help_text="Code of the unit of the weights, such as KG.",
    )
    low = models.DecimalField(
        "lowest weight",
        max_digits=18,
        decimal_places=3,
        help_text="Lowest weight of one package, up to three decimals.",
    )
    high = models.DecimalField(
        "highest weight",
        max_digits=18,
        decimal_places=3,
        help_text="Highest weight of one package, up to three decimals.",
    )
    source = models.CharField(
        max_length=500,
        help_text="Where the weight is specified, such as a standard or a contract form. 2 to 500 characters.",
    )
    valid_from = valid_from_field()
    valid_to = valid_to_field()

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
        weight = "no fixed weight" if self.value is None else f"{self.value.normalize():f} {self.unit_id}"
        return f"{self.package_unit_id} of {self.origin_country}, {weight}"
