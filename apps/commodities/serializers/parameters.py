"""Shapes of quality parameters, their templates, and ranges of them."""

from decimal import Decimal
from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from apps.commodities import models
from apps.commodities.models import Commodity, Measured, ParameterTemplate, QualityParameter
from apps.commodities.serializers.base import CODE, FigureField, SimpleStatus, rows
from erp.api import fields
from erp.api.serializers import Answer, Input, Output
from erp.api.validators import matches

PARAMETER_CODE = matches(models.PARAMETER_CODE, "Use a–z, 0–9 and _, a letter first, at most 40.")
CHOICE_CODE = matches(models.CHOICE_CODE, "Use letters, digits, _ / and -, at most 32.")


class ChoiceRow(Input):
    """One value of an ENUM; ranks put them in order."""

    code = fields.CharField(validators=[CHOICE_CODE])
    label = fields.CharField(max_length=100)  # type: ignore[assignment]
    rank = fields.IntegerField(min_value=1, max_value=999)


class ChoiceAnswer(Answer):
    """One value of an ENUM."""

    code = fields.CharField()
    label = fields.CharField()  # type: ignore[assignment]
    rank = fields.IntegerField()


class LimitRow(Input):
    """A range of a parameter's values, in its unit; open where an end is left out."""

    parameter_id = fields.RowField(QualityParameter, source="parameter")
    low = FigureField()
    high = FigureField()


class LimitAnswer(Answer):
    """A range of a parameter's values."""

    parameter_id = fields.UUIDField()
    low = FigureField()
    high = FigureField()


class MeasuredFields(Input):
    """What parameters and templates share, in POST and PUT."""

    name = fields.CharField(min_length=2, max_length=200)
    data_type = fields.ChoiceField(choices=Measured.DataType.choices)
    unit = fields.ChoiceField(choices=Measured.Measure.choices, required=False, allow_null=True)
    methods = fields.ListField(
        child=fields.CharField(validators=[CODE]), unique=True, min_length=1, max_length=models.MOST_METHODS
    )
    default_method = fields.CharField(required=False, allow_blank=True, max_length=32)
    precision = fields.IntegerField(min_value=0, max_value=6, required=False, allow_null=True)
    direction = fields.ChoiceField(choices=Measured.Direction.choices)
    target_low = FigureField()
    target_high = FigureField()
    possible_min = FigureField()
    possible_max = FigureField()
    usual_min = FigureField()
    usual_max = FigureField()
    tolerance = FigureField(min_value=Decimal(0))
    choices = rows(ChoiceRow, models.MOST_CHOICES)
    display_order = fields.IntegerField(min_value=0, max_value=9999, required=False)


class CreateTemplateInput(MeasuredFields):
    category = fields.ChoiceField(choices=Commodity.Category.choices)
    code = fields.CharField(validators=[PARAMETER_CODE])


class UpdateTemplateInput(MeasuredFields, SimpleStatus):
    pass


class CreateParameterInput(MeasuredFields):
    """Either the parameter itself, or a template that it copies; what is said beside goes before the copy."""

    ITSELF = ("code", "name", "data_type", "direction", "methods")

    commodity_id = fields.RowField(Commodity, source="commodity")
    template_id = fields.RowField(ParameterTemplate, source="template", required=False, allow_null=True)
    code = fields.CharField(validators=[PARAMETER_CODE])
    is_mandatory = fields.BooleanField(required=False)

    def get_fields(self) -> dict[str, Any]:
        built = super().get_fields()
        for name in self.ITSELF:
            built[name].required = False
        return built

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("template") is None:
            needed = ErrorDetail("Needed where no template is named.", code="required")
            if missing := {name: [needed] for name in self.ITSELF if name not in attrs}:
                raise ValidationError(missing)
        return attrs


class UpdateParameterInput(MeasuredFields, SimpleStatus):
    is_mandatory = fields.BooleanField(required=False)


MEASURED = (
    "code",
    "name",
    "data_type",
    "unit",
    "methods",
    "default_method",
    "precision",
    "direction",
    "target_low",
    "target_high",
    "possible_min",
    "possible_max",
    "usual_min",
    "usual_max",
    "tolerance",
    "choices",
    "display_order",
)


class TemplateOutput(Output):
    choices = ChoiceAnswer(many=True, read_only=True)

    class Meta:
        model = ParameterTemplate
        fields = ("category", *MEASURED)


class ParameterOutput(Output):
    choices = ChoiceAnswer(many=True, read_only=True)

    class Meta:
        model = QualityParameter
        fields = ("commodity_id", "template_id", *MEASURED, "is_mandatory")
