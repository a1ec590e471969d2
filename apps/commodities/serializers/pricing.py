"""Shapes of what prices are quoted in, and of conversions."""

from decimal import Decimal

from apps.commodities.exact import Rounding
from apps.commodities.models import PricingUnit
from apps.commodities.serializers.base import CODE, UNIT, SimpleStatus, UnitField
from apps.commodities.serializers.units import WeightField
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output
from erp.api.validators import COUNTRY


class PricingUnitFields(Input):
    divisor = fields.ChoiceField(choices=[(1, "the currency"), (100, "its cents")], required=False)
    unit = UnitField()

    class Meta:
        model = PricingUnit
        fields = ("currency", "places", "tick")


class CreatePricingUnitInput(PricingUnitFields):
    class Meta:
        model = PricingUnit
        fields = ("code",)


class UpdatePricingUnitInput(PricingUnitFields, SimpleStatus):
    pass


class PricingUnitOutput(Output):
    unit = fields.CharField(source="unit_id")

    class Meta:
        model = PricingUnit
        fields = ("code", "currency", "divisor", "unit", "places", "tick")


class QuantityInput(Input):
    """Packages, a weight, or both: a given weight always wins."""

    count = fields.DecimalField(
        max_digits=9, decimal_places=0, min_value=Decimal(1), required=False, allow_null=True
    )
    count_unit = fields.CharField(required=False, allow_null=True, validators=[UNIT])
    weight = WeightField(required=False, allow_null=True)
    weight_unit = fields.CharField(required=False, allow_null=True, validators=[UNIT])


class RoundingInput(Input):
    """How the amount is rounded, once, at its end."""

    places = fields.IntegerField(min_value=0, max_value=6, required=False)
    mode = fields.ChoiceField(choices=[(mode.value, mode.value) for mode in Rounding], required=False)


class ConversionInput(Input):
    quantity = QuantityInput()
    to_unit = fields.CharField(required=False, allow_null=True, validators=[UNIT])
    rate = fields.DecimalField(
        max_digits=18, decimal_places=6, min_value=Decimal(0), required=False, allow_null=True
    )
    pricing_unit = fields.CharField(required=False, allow_null=True, validators=[CODE])
    unit_versions = fields.DictField(
        child=fields.IntegerField(min_value=1), key_length=16, required=False, allow_empty=True
    )
    origin_country = fields.CharField(required=False, validators=[COUNTRY])
    on_date = fields.DateField(required=False)
    rounding = RoundingInput(required=False)


class WeighedAnswer(LookupOutput):
    value = fields.CharField()
    unit = fields.CharField()
    basis = fields.ChoiceField(choices=[("given", "given"), ("nominal", "nominal")])


class ConvertedAnswer(LookupOutput):
    value = fields.CharField(help_text="To 9 places.")
    unit = fields.CharField()
    numerator = fields.CharField()
    denominator = fields.CharField()


class AmountAnswer(LookupOutput):
    value = fields.CharField()
    currency = fields.CharField()
    unrounded = fields.CharField(help_text="To 12 places.")


class UsedAnswer(LookupOutput):
    unit = fields.CharField()
    unit_version = fields.IntegerField()
    numerator = fields.CharField()
    denominator = fields.CharField()
    source = fields.CharField()  # type: ignore[assignment]  # DRF's has this name


class ConversionOutput(LookupOutput):
    weight = WeighedAnswer(allow_null=True)
    converted = ConvertedAnswer(allow_null=True)
    amount = AmountAnswer(allow_null=True)
    definitions = UsedAnswer(many=True)
    steps = fields.ListField(child=fields.CharField())
