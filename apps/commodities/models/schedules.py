"""Schedules of premiums and discounts, published in versions, and their lines."""

from decimal import Decimal
from typing import Any, ClassVar, Self

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from apps.approvals.models import PublishedByApproval, PublishedByApprovalQuerySet
from apps.commodities.figures import plain
from apps.commodities.models.base import CODE, is_staff
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import QualityParameter, figure
from apps.commodities.models.pricing import PricingUnit
from erp.access import Actor
from erp.models import Guarded
from erp.periods import dates_in_order, no_overlap


class QualityScheduleQuerySet(PublishedByApprovalQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every row; partners what was published for commodities that are past DRAFT."""
        rows = super().visible_to(user)
        return rows if is_staff(user) else rows.exclude(commodity__status="DRAFT")

    def with_lines(self) -> Self:
        """With their lines in order, and the parameters of these."""
        lines = ScheduleLine.objects.select_related("parameter", "second_parameter").order_by("order")
        return self.prefetch_related(models.Prefetch("line_rows", lines))


class QualitySchedule(PublishedByApproval):
    """Premiums and discounts for quality above or below the base, by the rules of one contract form."""

    granted_through = ("commodity",)

    class Mode(models.TextChoices):
        ADDITIVE = "ADDITIVE", "Percentages are added up"
        COMPOUND = "COMPOUND", "Percentages are applied one after the other"

    KEY = ("code",)
    NUMBER = "schedule_version"
    CONTENT = ("code", "schedule_version", "title", "contract_form", "mode", "pricing_unit", "cap_percent")

    code = models.CharField(
        max_length=32,
        validators=[RegexValidator(rf"\A{CODE}\Z")],
        help_text="Code of the schedule: capital letters, digits, _, / and -, at most 32. Cannot be changed later.",
    )
    schedule_version = models.PositiveIntegerField(
        editable=False, help_text="Number of the version, counted from 1."
    )
    commodity = models.ForeignKey(
        Commodity,
        models.PROTECT,
        related_name="quality_schedules",
        help_text="Commodity whose quality the schedule prices.",
    )
    contract_form = models.CharField(
        max_length=32, help_text="Code of the contract form with these rules, such as KCA."
    )
    title = models.CharField(max_length=200, help_text="Title of the schedule, 2 to 200 characters.")
    mode = models.CharField(
        "method", max_length=8, choices=Mode, help_text="How the percentages of several lines are combined."
    )
    pricing_unit = models.ForeignKey(
        PricingUnit,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Unit in which amounts are quoted, such as rupees per candy. Needed for amounts and points.",
    )
    cap_percent = models.DecimalField(
        max_digits=9,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Highest total premium or discount in percent of the contract rate, 0 to 100. Empty: no cap.",
    )

    objects: ClassVar[Any] = QualityScheduleQuerySet.as_manager()

    class Meta(PublishedByApproval.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["code", "schedule_version"], name="quality_schedule_version_once"
            ),
            models.CheckConstraint(name="quality_schedule_code_format", condition=Q(code__regex=f"^{CODE}$")),
            models.CheckConstraint(
                name="quality_schedule_cap", condition=Q(cap_percent=None) | Q(cap_percent__range=(0, 100))
            ),
            dates_in_order("quality_schedule_dates"),
            no_overlap("quality_schedule_no_overlap", "code", condition=Q(status="PUBLISHED")),
        ]

    def __str__(self) -> str:
        return f"{self.code} version {self.schedule_version}"

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its lines as plain values, without values that are at their default."""
        return [line.written() for line in type(self).objects.with_lines().get(pk=self.pk).line_rows.all()]

    def content(self) -> dict[str, Any]:
        """The content to approve: the fields of the schedule, and one entry per line."""
        lines = {f"line {line['order']}": words_of(line) for line in self.lines}
        return super().content() | lines


def words_of(terms: dict[str, Any]) -> str:
    """Word the terms of a line; bands, steps and cells as ``from 73 to 74 effect -3.5``."""
    return ", ".join(f"{name} {_words(value)}" for name, value in terms.items())


def _words(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    rows = [sorted(row.items(), key=lambda cell: (cell[0] == "effect", cell[0] == "to")) for row in value]
    return "; ".join(" ".join(f"{name} {cell}" for name, cell in row if cell is not None) for row in rows)


class ScheduleLine(Guarded):
    """One line of a schedule, about one parameter by one method."""

    class Form(models.TextChoices):
        BAND = "BAND", "Bands of results"
        LADDER = "LADDER", "Steps from the base"
        LINEAR = "LINEAR", "Rate per unit from the base"
        MATRIX = "MATRIX", "Table of two parameters"
        WEIGHT = "WEIGHT", "Adjusts the weight"
        NO_LIMIT = "NO_LIMIT", "Rejection limits only"

    class Effect(models.TextChoices):
        PERCENT = "PERCENT", "Percent of the contract rate"
        MONEY = "MONEY", "Amount per pricing unit"
        POINTS = "POINTS", "Points of a price in cents"

    class Side(models.TextChoices):
        ABOVE = "ABOVE", "Above the base"
        BELOW = "BELOW", "Below the base"
        BOTH = "BOTH", "Both sides"

    class WeightRule(models.TextChoices):
        ONE_FOR_ONE = "ONE_FOR_ONE", "Percent for percent"
        DRY_MATTER = "DRY_MATTER", "Same dry matter"

    class RejectMode(models.TextChoices):
        ABSOLUTE = "ABSOLUTE", "The lot is rejected"
        BUYER_OPTION = "BUYER_OPTION", "The buyer may reject the lot"

    schedule = models.ForeignKey(QualitySchedule, models.CASCADE, related_name="line_rows")
    order = models.PositiveSmallIntegerField(help_text="Position of the line, 1 to 999.")
    parameter = models.ForeignKey(
        QualityParameter,
        models.PROTECT,
        related_name="+",
        help_text="Code of the quality parameter, such as micronaire.",
    )
    method = models.CharField(max_length=32, help_text="Code of the test method, such as HVI.")
    second_parameter = models.ForeignKey(
        QualityParameter,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Code of the second quality parameter. Only for a table of two parameters.",
    )
    form = models.CharField(
        max_length=8, choices=Form, help_text="How the line finds the premium or discount."
    )
    effect = models.CharField(
        max_length=7,
        choices=Effect,
        null=True,
        blank=True,
        help_text="What the figures of the line mean. Not for weight lines and rejection limits.",
    )
    base_low = figure("Lower end of the base, in the parameter's unit.", "base from")
    base_high = figure("Upper end of the base, in the parameter's unit.", "base to")
    side = models.CharField(
        max_length=5,
        choices=Side,
        null=True,
        blank=True,
        help_text="Side of the base on which a deviation is a defect.",
    )
    tolerance = models.DecimalField(
        max_digits=18,
        decimal_places=6,
        default=0,
        help_text="Deviation without effect, in the parameter's unit, 0 or more.",
    )
    rate = figure("Discount per unit of deviation, 0 or more. Only for a rate per unit.")
    weight_rule = models.CharField(
        max_length=11,
        choices=WeightRule,
        null=True,
        blank=True,
        help_text="How the weight is reduced. Only for weight lines.",
    )
    reciprocal = models.BooleanField(
        default=False, help_text="Whether results better than the base earn the same premium."
    )
    line_cap = figure("Highest premium that the line can earn, 0 or more. Only for a reciprocal line.", "cap")
    reject_below = figure("Results below this are outside the limits, in the parameter's unit.")
    reject_above = figure("Results above this are outside the limits, in the parameter's unit.")
    reject_mode = models.CharField(
        max_length=12,
        choices=RejectMode,
        default=RejectMode.ABSOLUTE,
        help_text="What happens to a lot outside the rejection limits.",
    )
    bands = models.JSONField(  # rows: from, to, effect
        default=list, blank=True, help_text="Bands of results without gaps, each with its effect."
    )
    steps = models.JSONField(  # rows: up_to, effect
        default=list, blank=True, help_text="Steps of deviation from the base, each with its effect."
    )
    cells = models.JSONField(  # rows: first, second, effect
        default=list, blank=True, help_text="Pairs of results, each with its effect."
    )

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["schedule", "order"], name="schedule_line_order_once"),
            models.CheckConstraint(name="schedule_line_tolerance_positive", condition=Q(tolerance__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.order} {self.parameter}"

    def written(self) -> dict[str, Any]:
        """Return the line as plain values: parameters by code, without values at their default."""
        row: dict[str, Any] = {}
        for column in self._meta.concrete_fields:
            if column.name in ("id", "schedule"):
                continue
            value = getattr(self, column.name)
            if value in (None, [], False) or (column.has_default() and value == column.get_default()):
                continue
            if isinstance(value, QualityParameter):
                value = value.code
            row[column.name] = plain(value) if isinstance(value, Decimal) else value
        return row
