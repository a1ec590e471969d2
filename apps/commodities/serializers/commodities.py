"""Shapes of commodities."""

from decimal import Decimal

from apps.commodities.models import Commodity, PricingUnit
from apps.commodities.serializers.base import CODE, HSN, UNIT, AliasesField
from erp.api import fields
from erp.api.serializers import Input, Output
from erp.api.validators import COUNTRY


class CommodityFields(Input):
    """What POST and PUT share."""

    name = fields.CharField(min_length=2, max_length=200)
    category = fields.ChoiceField(choices=Commodity.Category.choices)
    aliases = AliasesField()
    description = fields.CharField(max_length=2000, required=False, allow_blank=True)
    base_unit = fields.CharField(required=False, validators=[UNIT])
    quantity_mode = fields.ChoiceField(choices=Commodity.QuantityMode.choices, required=False)
    package_unit = fields.CharField(required=False, allow_null=True, validators=[UNIT])
    trade_unit = fields.CharField(required=False, allow_null=True, validators=[UNIT])
    pricing_unit_id = fields.RowField(PricingUnit, source="pricing_unit", required=False, allow_null=True)
    hsn_code = fields.CharField(required=False, allow_null=True, validators=[HSN])
    origin_country = fields.CharField(required=False, validators=[COUNTRY])
    season_start_month = fields.IntegerField(min_value=1, max_value=12, required=False, allow_null=True)
    quantity_tolerance_percent = fields.DecimalField(
        max_digits=9, decimal_places=4, min_value=Decimal(0), max_value=Decimal(20), required=False
    )


class CreateInput(CommodityFields):
    code = fields.CharField(validators=[CODE])


class UpdateInput(CommodityFields):
    status = fields.ChoiceField(choices=Commodity.Status.choices, required=False)


class CommodityOutput(Output):
    class Meta:
        model = Commodity
        fields = (
            "code",
            "name",
            "aliases",
            "category",
            "description",
            "base_unit",
            "quantity_mode",
            "package_unit",
            "trade_unit",
            "pricing_unit_id",
            "hsn_code",
            "origin_country",
            "season_start_month",
            "quantity_tolerance_percent",
        )
