"""Inputs and outputs of pricing units and conversions."""

from decimal import Decimal

from apps.commodities.exact import Rounding
from apps.commodities.models.pricing import PricingUnit
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
    """Packages, a weight or both. A weight overrides the packages."""

    count = fields.DecimalField(
        max_digits=9,
        decimal_places=0,
        min_value=Decimal(1),
        required=False,
        allow_null=True,
        help_text="Whole number of packages, from 1.",
    )
    count_unit = fields.CharField(
        required=False,
        allow_null=True,
        validators=[UNIT],
        help_text="Code of the package unit, such as BALE. Default: the commodity's package unit.",
    )
    weight = WeightField(
        required=False, allow_null=True, help_text="Weight, up to three decimals. It overrides the packages."
    )
    weight_unit = fields.CharField(
        required=False,
        allow_null=True,
        validators=[UNIT],
        help_text="Code of the unit of the weight, such as KG. Default: the commodity's base unit.",
    )


class RoundingInput(Input):
    """How the final amount is rounded."""

    places = fields.IntegerField(
        min_value=0,
        max_value=6,
        required=False,
        help_text="Decimals of the amount, 0 to 6. Default: those of the currency.",
    )
    mode = fields.ChoiceField(
        choices=[(mode.value, mode.value) for mode in Rounding],
        required=False,
        help_text="Half up, half to even, or down. Default: half up.",
    )


class ConversionInput(Input):
    quantity = QuantityInput(help_text="Packages, a weight or both.")
    to_unit = fields.CharField(
        required=False,
        allow_null=True,
        validators=[UNIT],
        help_text="Code of the unit into which the quantity is converted, such as QTL.",
    )
    rate = fields.DecimalField(
        max_digits=18,
        decimal_places=6,
        min_value=Decimal(0),
        required=False,
        allow_null=True,
        help_text="Price in the pricing unit, 0 or more, up to six decimals.",
    )
    pricing_unit = fields.CharField(
        required=False,
        allow_null=True,
        validators=[CODE],
        help_text="Code of the pricing unit of the rate, such as INR/CANDY. Default: the commodity's.",
    )
    unit_versions = fields.DictField(
        child=fields.IntegerField(min_value=1),
        key_length=16,
        required=False,
        allow_empty=True,
        help_text="Version of the definition to use for each unit code. Default: the one effective on the date.",
    )
    origin_country = fields.CharField(
        required=False,
        validators=[COUNTRY],
        help_text="Country of origin of the packages, two letters. Default: the commodity's.",
    )
    on_date = fields.DateField(
        required=False, help_text="Date whose definitions and package weights apply. Default: today."
    )
    rounding = RoundingInput(required=False, help_text="How the final amount is rounded.")


class WeighedAnswer(LookupOutput):
    value = fields.CharField()
    unit = fields.CharField()
    basis = fields.ChoiceField(choices=[("given", "given"), ("nominal", "nominal")])


class ConvertedAnswer(LookupOutput):
    value = fields.CharField(help_text="Converted value, rounded to 9 decimals.")
    unit = fields.CharField()
    numerator = fields.CharField()
    denominator = fields.CharField()


class AmountAnswer(LookupOutput):
    value = fields.CharField()
    currency = fields.CharField()
    unrounded = fields.CharField(help_text="Amount before the final rounding, to 12 decimals.")


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
