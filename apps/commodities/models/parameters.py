"""Quality parameters of commodities, and the templates from which they are copied."""

from typing import Any, ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxLengthValidator, MinLengthValidator
from django.db import models
from django.db.models import F, Q

from apps.commodities.models.base import (
    CODE_FORMAT,
    CommodityPartQuerySet,
    Simple,
    SimpleQuerySet,
    name_field,
)
from apps.commodities.models.commodities import Commodity
from erp.columns import Row, RowsField, matches, within

PARAMETER_CODE: Final = "[a-z][a-z0-9_]{0,39}"
CHOICE_CODE: Final = "[A-Za-z0-9][A-Za-z0-9_/-]{0,31}"
PARAMETER_FORMAT: Final = matches(PARAMETER_CODE, "Use a–z, 0–9 and _, a letter first, at most 40.")
CHOICE_FORMAT: Final = matches(CHOICE_CODE, "Use letters, digits, _ / and -, at most 32.")
MOST_METHODS, MOST_CHOICES = 10, 200


def figure(help_text: str, verbose_name: str | None = None, **options: Any) -> Any:
    """An optional figure of quality in the parameter's unit: numeric(18,6)."""
    return models.DecimalField(
        verbose_name,
        max_digits=18,
        decimal_places=6,
        null=True,
        blank=True,
        help_text=help_text,
        **options,
    )


class Choice(Row):
    """One value of a parameter with a list of choices, ordered by rank."""

    names = ("ChoiceRow", "ChoiceAnswer")

    code = models.CharField(
        max_length=32,
        validators=[CHOICE_FORMAT],
        help_text="Code of the choice: letters, digits, _, / and -, at most 32.",
    )
    label = models.CharField(
        max_length=100, help_text="Choice as people read it, such as Strict Middling. At most 100 characters."
    )
    rank = models.PositiveSmallIntegerField(
        validators=within(1, 999), help_text="Place in the order of the choices, 1 to 999; 1 comes first."
    )


class Measured(Simple):
    """Fields of a quality parameter and of a template."""

    class DataType(models.TextChoices):
        DECIMAL = "DECIMAL", "Number with decimals"
        INTEGER = "INTEGER", "Whole number"
        ENUM = "ENUM", "Choice from a list"
        BOOLEAN = "BOOLEAN", "Yes or no"
        TEXT = "TEXT"

    class Measure(models.TextChoices):
        PERCENT = "%", "%"
        MILLIMETRE = "mm", "mm"
        INCH_32 = "1/32in", "1/32 inch"
        GRAM_TEX = "g/tex", "g/tex"
        CENTINEWTON_TEX = "cN/tex", "cN/tex"
        INDEX = "index"
        RATIO = "ratio"
        COUNT_GRAM = "count/g", "count/g"
        GRAM_BALE = "g/bale", "g/bale"
        KILOGRAM_HECTOLITRE = "kg/hl", "kg/hl"
        ENGLISH_COUNT = "Ne", "Ne (English cotton count)"
        PER_KILOMETRE = "/km", "per km"
        PER_INCH = "/in", "per inch"
        COUNT = "count"

    class Direction(models.TextChoices):
        HIGHER = "HIGHER", "Higher is better"
        LOWER = "LOWER", "Lower is better"
        TARGET = "TARGET", "Within a target range is best"
        NONE = "NONE", "Neither"

    NUMBERS: ClassVar = (DataType.DECIMAL, DataType.INTEGER)

    code = models.CharField(
        max_length=40,
        validators=[PARAMETER_FORMAT],
        help_text="Short code: small letters, digits and _, a letter first, at most 40, such as staple_length.",
    )
    name = name_field()
    data_type = models.CharField(
        max_length=7, choices=DataType, help_text="Type of the test result. Cannot be changed later."
    )
    unit = models.CharField(
        max_length=8,
        choices=Measure,
        null=True,
        blank=True,
        help_text="Unit of the test result. Only for numbers. Cannot be changed later.",
    )
    methods = ArrayField(
        models.CharField(max_length=32, validators=[CODE_FORMAT]),
        validators=[MinLengthValidator(1), MaxLengthValidator(MOST_METHODS)],
        help_text="Codes of the test methods, such as HVI, 1 to 10. Methods can be added later, but not removed.",
    )
    default_method = models.CharField(
        max_length=32,
        blank=True,
        help_text="Method used unless another is chosen: one of the methods. Default: the first.",
    )
    precision = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=within(0, 6),
        help_text="Decimals of the test result, 0 to 6. Only for numbers with decimals.",
    )
    direction = models.CharField(max_length=6, choices=Direction, help_text="Which results are better.")
    target_low = figure("Lower end of the target range, in the parameter's unit.", "target from")
    target_high = figure("Upper end of the target range, in the parameter's unit.", "target to")
    possible_min = figure("Lowest possible result, in the parameter's unit.", "lowest possible")
    possible_max = figure("Highest possible result, in the parameter's unit.", "highest possible")
    usual_min = figure("Lowest usual result, in the parameter's unit.", "lowest usual")
    usual_max = figure("Highest usual result, in the parameter's unit.", "highest usual")
    tolerance = figure(
        "Accepted difference between two laboratories, in the parameter's unit, 0 or more.",
        validators=within(0),
    )
    choices = RowsField(
        Choice,
        most=MOST_CHOICES,
        help_text="Possible results in their order, at least two. Only for a choice from a list.",
    )
    display_order = models.PositiveSmallIntegerField(
        default=100, validators=within(0, 9999), help_text="Position in lists, 0 to 9999, lowest first."
    )

    class Meta(Simple.Meta):
        abstract = True

    def __str__(self) -> str:
        return self.name

    @property
    def is_number(self) -> bool:
        """Whether results are numbers, which can have limits and presets."""
        return self.data_type in self.NUMBERS


def measured_checks(prefix: str) -> list[models.CheckConstraint]:
    """Return the check constraints that parameters and templates share."""
    number = Q(data_type__in=Measured.NUMBERS)
    figures = (
        "target_low",
        "target_high",
        "possible_min",
        "possible_max",
        "usual_min",
        "usual_max",
        "tolerance",
    )
    no_figure = Q(**dict.fromkeys(figures))
    target = Q(target_low=None, target_high=None)
    conditions = {
        "code_format": Q(code__regex=f"^{PARAMETER_CODE}$"),
        "figures_of_numbers": Q(number, unit__isnull=False) | Q(~number, no_figure, unit=None),
        "precision_with_decimal": Q(data_type="DECIMAL", precision__range=(0, 6))
        | Q(~Q(data_type="DECIMAL"), precision=None),
        "target_band": Q(~Q(direction="TARGET"), target)
        | Q(direction="TARGET", target_low__isnull=False, target_high__gte=F("target_low")),
        "possible_ordered": _ordered("possible_min", "possible_max"),
        "usual_ordered": _ordered("usual_min", "usual_max"),
        "usual_low_possible": _ordered("possible_min", "usual_min") & _ordered("usual_min", "possible_max"),
        "usual_high_possible": _ordered("possible_min", "usual_max") & _ordered("usual_max", "possible_max"),
        "tolerance_positive": Q(tolerance=None) | Q(tolerance__gte=0),
        "methods_some": Q(methods__len__range=(1, MOST_METHODS)),
        "default_method_one_of_them": Q(methods__contains=[F("default_method")]),
        "choices_with_enum": Q(data_type="ENUM", choices__1__isnull=False)
        | Q(~Q(data_type="ENUM"), choices=[]),
    }
    return [
        models.CheckConstraint(name=f"{prefix}_{name}", condition=condition)
        for name, condition in conditions.items()
    ]


def _ordered(low: str, high: str) -> Q:
    return Q(**{low: None}) | Q(**{high: None}) | Q(**{f"{low}__lte": F(high)})


class ParameterTemplate(Measured):
    """A quality parameter that commodities of a category usually have, to be copied."""

    category = models.CharField(
        max_length=13,
        choices=Commodity.Category,
        help_text="Group of goods whose commodities usually have the parameter.",
    )

    objects: ClassVar[Any] = SimpleQuerySet.as_manager()

    class Meta(Measured.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["category", "code"], name="parameter_template_code_once"),
            *measured_checks("parameter_template"),
        ]


class QualityParameter(Measured):
    """A quality parameter of a commodity, such as micronaire. Results of different methods aren't comparable."""

    granted_through = ("commodity",)

    commodity = models.ForeignKey(
        Commodity,
        models.PROTECT,
        related_name="quality_parameters",
        help_text="Commodity whose quality is tested.",
    )
    template = models.ForeignKey(
        ParameterTemplate,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Template from which values that are left out are copied.",
    )
    name_key = models.CharField(max_length=400, editable=False)
    is_mandatory = models.BooleanField(
        "mandatory", default=False, help_text="Whether every lot must be tested for it."
    )

    objects: ClassVar[Any] = CommodityPartQuerySet.as_manager()

    class Meta(Measured.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["commodity", "code"], name="quality_parameter_code_once"),
            models.UniqueConstraint(fields=["commodity", "name_key"], name="quality_parameter_name_once"),
            *measured_checks("quality_parameter"),
        ]


class Limit(Row):
    """A range of a parameter's values, in its unit; without an end it is open."""

    names = ("LimitRow", "LimitAnswer")

    parameter = models.ForeignKey(
        QualityParameter,
        models.PROTECT,
        help_text="Quality parameter of the commodity. Its results must be numbers.",
    )
    low = figure("Lowest value, in the parameter's unit. Empty: no lower limit.", "from")
    high = figure("Highest value, in the parameter's unit. Empty: no upper limit.", "to")
