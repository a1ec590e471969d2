"""Shapes of grades."""

from apps.commodities.models import Commodity, Grade, PricingUnit
from apps.commodities.serializers.base import CODE, FigureField, SimpleStatus, rows
from apps.commodities.serializers.parameters import LimitAnswer, LimitRow
from erp.api import fields
from erp.api.serializers import Input, Output


class GradeFields(Input):
    """What POST and PUT share."""

    name = fields.CharField(min_length=2, max_length=200)
    rank = fields.IntegerField(min_value=1, max_value=999)
    is_basis = fields.BooleanField(required=False)
    limits = rows(LimitRow)
    difference_kind = fields.ChoiceField(choices=Grade.DifferenceKind.choices, required=False)
    difference = FigureField()
    pricing_unit_id = fields.RowField(PricingUnit, source="pricing_unit", required=False, allow_null=True)


class CreateGradeInput(GradeFields):
    commodity_id = fields.RowField(Commodity, source="commodity")
    code = fields.CharField(validators=[CODE])


class UpdateGradeInput(GradeFields, SimpleStatus):
    pass


class GradeOutput(Output):
    limits = LimitAnswer(many=True, read_only=True)

    class Meta:
        model = Grade
        fields = (
            "commodity_id",
            "code",
            "name",
            "rank",
            "is_basis",
            "limits",
            "difference_kind",
            "difference",
            "pricing_unit_id",
        )
