"""Inputs and outputs of units of measure and pack weights."""

from decimal import Decimal
from typing import Any

from apps.commodities.models.units import PackWeight, Unit, UnitDefinition
from apps.commodities.serializers.base import UNIT, UnitField
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output
from erp.api.validators import COUNTRY, matches


class CreateUnitInput(Input):
    class Meta:
        model = Unit

    code = fields.CharField(validators=[UNIT])
    dimension = fields.ChoiceField(choices=Unit.Dimension.choices)
    symbol = fields.CharField(max_length=20)
    name = fields.CharField(min_length=2, max_length=200)
    gst_uqc = fields.CharField(
        required=False, allow_null=True, validators=[matches("[A-Z]{3}", "Use three capital letters.")]
    )
    unece_code = fields.CharField(
        required=False,
        allow_null=True,
        validators=[matches("[A-Z0-9]{2,3}", "Use two or three capital letters or digits.")],
    )


class Dated(Input):
    """The period in which a row applies, and the source that it comes from."""

    source = fields.CharField(min_length=2, max_length=500)  # type: ignore[assignment]  # DRF's has this name
    valid_from = fields.DateField()
    valid_to = fields.DateField(required=False, allow_null=True)


class EditUnitDefinitionInput(Dated):
    class Meta:
        model = UnitDefinition

    numerator = fields.DecimalField(max_digits=40, decimal_places=0, min_value=Decimal(1))
    denominator = fields.DecimalField(max_digits=40, decimal_places=0, min_value=Decimal(1))


class DraftUnitDefinitionInput(EditUnitDefinitionInput):
    unit = fields.RowField(Unit)


class DefinitionAnswer(LookupOutput):
    """A definition within its unit."""

    unit_version = fields.IntegerField()
    numerator = fields.DecimalField(max_digits=40, decimal_places=0)
    denominator = fields.DecimalField(max_digits=40, decimal_places=0)
    source = fields.CharField()  # type: ignore[assignment]
    valid_from = fields.DateField()
    valid_to = fields.DateField(allow_null=True)
    status = fields.ChoiceField(choices=[(s.value, s.label) for s in UnitDefinition.PUBLIC])


class UnitOutput(Output):
    definitions = DefinitionAnswer(many=True, source="published_definitions")

    class Meta:
        model = Unit
        fields = ("code", "dimension", "symbol", "name", "gst_uqc", "unece_code", "definitions")


class WeightField(fields.DecimalField):
    """A weight to the gram, in the unit beside it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_digits": 18, "decimal_places": 3, "min_value": Decimal("0.001"), **kwargs})


class SetPackWeightInput(Dated):
    class Meta:
        model = PackWeight

    package_unit = UnitField()
    origin_country = fields.CharField(required=False, validators=[COUNTRY])
    basis = fields.ChoiceField(choices=PackWeight.Basis.choices, required=False)
    value = WeightField(required=False, allow_null=True)
    unit = UnitField()
    low = WeightField()
    high = WeightField()


class PackWeightOutput(Output):
    package_unit = fields.CharField(source="package_unit_id")
    unit = fields.CharField(source="unit_id")

    class Meta:
        model = PackWeight
        fields = (
            "commodity_id",
            "package_unit",
            "origin_country",
            "basis",
            "value",
            "unit",
            "low",
            "high",
            "source",
            "valid_from",
            "valid_to",
        )
