"""Inputs and outputs of HSN codes, HSN mappings and GST rates."""

from decimal import Decimal

from apps.commodities.models.tax import HSN_PREFIX, HsnCode, HsnMapping, TaxRate
from apps.commodities.serializers.base import HSN, SimpleStatus
from apps.commodities.serializers.units import Dated
from erp.api import fields
from erp.api.serializers import Input, LookupOutput, Output
from erp.api.validators import matches

PREFIX = matches(HSN_PREFIX, "Use 2 to 8 digits.")


class HsnCodeFields(Input):
    """Fields of creating and updating an HSN code."""

    class Meta:
        model = HsnCode

    description = fields.CharField(min_length=2, max_length=500)


class CreateHsnCodeInput(HsnCodeFields):
    code = fields.CharField(validators=[PREFIX])


class UpdateHsnCodeInput(HsnCodeFields, SimpleStatus):
    pass


class HsnCodeOutput(Output):
    class Meta:
        model = HsnCode
        fields = ("code", "description")


class ConfirmHsnMappingInput(Input):
    class Meta:
        model = HsnMapping

    name = fields.CharField(min_length=2, max_length=200)
    hsn_code = fields.CharField(validators=[HSN])


class HsnMappingOutput(Output):
    class Meta:
        model = HsnMapping
        fields = ("name", "name_key", "hsn_code", "confirmed_by", "confirmed_at")


class TaxRateInput(Dated):
    class Meta:
        model = TaxRate

    hsn = fields.CharField(validators=[PREFIX])
    condition = fields.ChoiceField(choices=TaxRate.Condition.choices, required=False)
    rate_percent = fields.DecimalField(9, 4, min_value=Decimal(0), max_value=Decimal(100))


class TaxRateOutput(Output):
    class Meta:
        model = TaxRate
        fields = ("hsn", "condition", "rate_percent", "valid_from", "valid_to", "source")


class TaxAnswer(LookupOutput):
    """The GST rate of a commodity on a date. Store ``tax_rate_id`` with the invoice."""

    commodity_id = fields.UUIDField()
    hsn_code = fields.CharField()
    on_date = fields.DateField()
    tax_rate_id = fields.UUIDField(source="rate.pk")
    hsn = fields.CharField(source="rate.hsn")
    condition = fields.ChoiceField(choices=TaxRate.Condition.choices, source="rate.condition")
    rate_percent = fields.DecimalField(9, 4, source="rate.rate_percent")
    valid_from = fields.DateField(source="rate.valid_from")
    valid_to = fields.DateField(source="rate.valid_to", allow_null=True)
    source = fields.CharField(source="rate.source")  # type: ignore[assignment]  # DRF's has this name
