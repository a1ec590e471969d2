"""Inputs and outputs of schedules of premiums and discounts."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import PARAMETER_FORMAT
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.schedules import QualitySchedule, ScheduleLine
from apps.commodities.serializers.base import CODE, FigureField, rows
from apps.commodities.serializers.units import Dated
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output
from erp.api.validators import matches

VALUE = matches(
    "[A-Za-z0-9][A-Za-z0-9_/.-]{0,31}", "Use the code of a choice, or a number without trailing zeros."
)


class _Band(serializers.Serializer[Any]):
    """Values from ``from``, included, to ``to``, excluded; open where an end is left out."""

    # "from" is a word of the language, so the field can't be declared by that name.
    def get_fields(self) -> dict[str, Any]:
        start = "Start of the band, included, in the parameter's unit. Empty: no lower end."
        end = "End of the band, excluded, in the parameter's unit. Empty: no upper end."
        return {
            "from": FigureField(default=None, help_text=start),
            "to": FigureField(default=None, help_text=end),
            "effect": _effect(),
        }


def _effect() -> Any:
    text = "Premium (above 0) or discount (below 0): percent, amount or points, as the line states."
    return FigureField(required=True, allow_null=False, help_text=text)


class BandRow(_Band, Input):
    """A band of values."""


class BandAnswer(_Band, LookupOutput):
    """A band of values."""


class StepFields(serializers.Serializer[Any]):
    """Deviations from the base up to ``up_to``, included."""

    up_to = FigureField(
        required=True,
        allow_null=False,
        min_value=Decimal(0),
        help_text="Deviation from the base up to which the step applies, included, in the parameter's unit.",
    )
    effect = _effect()


class StepRow(StepFields, Input):
    """A step of a ladder."""


class StepAnswer(StepFields, LookupOutput):
    """A step of a ladder."""


class CellFields(serializers.Serializer[Any]):
    """A value of the parameter with one of the second parameter."""

    first = fields.CharField(validators=[VALUE], help_text="Result of the parameter: number or code.")
    second = fields.CharField(validators=[VALUE], help_text="Result of the second parameter: number or code.")
    effect = _effect()


class CellRow(CellFields, Input):
    """A cell of a matrix."""


class CellAnswer(CellFields, LookupOutput):
    """A cell of a matrix."""


class LineFields(serializers.Serializer[Any]):
    """The fields of a line, without its lists."""

    order = fields.IntegerField(min_value=1, max_value=999)
    parameter = fields.CharField(validators=[PARAMETER_FORMAT])
    method = fields.CharField(validators=[CODE])
    second_parameter = fields.CharField(validators=[PARAMETER_FORMAT], required=False, allow_null=True)
    form = fields.ChoiceField(choices=ScheduleLine.Form.choices)
    effect = fields.ChoiceField(choices=ScheduleLine.Effect.choices, required=False, allow_null=True)
    base_low = FigureField()
    base_high = FigureField()
    side = fields.ChoiceField(choices=ScheduleLine.Side.choices, required=False, allow_null=True)
    tolerance = FigureField(allow_null=False, min_value=Decimal(0))
    rate = FigureField()
    weight_rule = fields.ChoiceField(choices=ScheduleLine.WeightRule.choices, required=False, allow_null=True)
    reciprocal = fields.BooleanField(required=False)
    line_cap = FigureField(min_value=Decimal(0))
    reject_below = FigureField()
    reject_above = FigureField()
    reject_mode = fields.ChoiceField(choices=ScheduleLine.RejectMode.choices, required=False)


class LineRow(LineFields, Input):
    """A line of a schedule; parameters are named by their code."""

    class Meta:
        model = ScheduleLine

    bands = rows(BandRow)
    steps = rows(StepRow)
    cells = rows(CellRow, 200)


class LineAnswer(LineFields, LookupOutput):
    """A line of a schedule."""

    parameter = fields.CharField(source="parameter.code")
    second_parameter = fields.CharField(source="second_parameter.code", default=None, allow_null=True)
    bands = BandAnswer(many=True)
    steps = StepAnswer(many=True)
    cells = CellAnswer(many=True)


class EditQualityScheduleInput(Dated):
    class Meta:
        model = QualitySchedule

    contract_form = fields.CharField(validators=[CODE])
    title = fields.CharField(min_length=2, max_length=200)
    mode = fields.ChoiceField(choices=QualitySchedule.Mode.choices)
    pricing_unit = fields.RowField(PricingUnit, required=False, allow_null=True)
    cap_percent = fields.DecimalField(
        max_digits=9,
        decimal_places=4,
        min_value=Decimal(0),
        max_value=Decimal(100),
        required=False,
        allow_null=True,
    )
    lines = rows(LineRow, help_text="Lines of the schedule. At least one is needed to submit it.")


class DraftQualityScheduleInput(EditQualityScheduleInput):
    commodity = fields.RowField(Commodity)
    code = fields.CharField(validators=[CODE])


class QualityScheduleOutput(Output):
    lines = LineAnswer(source="line_rows", many=True, read_only=True)

    class Meta:
        model = QualitySchedule
        fields = (
            "code",
            "schedule_version",
            "commodity_id",
            "contract_form",
            "title",
            "mode",
            "pricing_unit_id",
            "cap_percent",
            "valid_from",
            "valid_to",
            "source",
        )
