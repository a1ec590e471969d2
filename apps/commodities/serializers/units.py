"""Shapes of units of measure."""

from decimal import Decimal

from apps.commodities.models import Unit
from apps.commodities.serializers.base import UNIT
from erp.api import fields
from erp.api.serializers import Input
from erp.api.validators import matches


class CreateUnitInput(Input):
    code = fields.CharField(validators=[UNIT])
    dimension = fields.ChoiceField(choices=Unit.Dimension.choices)
    symbol = fields.CharField(max_length=20)
    name = fields.CharField(min_length=2, max_length=200)
    gst_uqc = fields.CharField(
        required=False, allow_null=True, validators=[matches("[A-Z]{3}", "Send three letters.")]
    )
    unece_code = fields.CharField(
        required=False,
        allow_null=True,
        validators=[matches("[A-Z0-9]{2,3}", "Send two or three of A–Z, 0–9.")],
    )


class Dated(Input):
    """From when to when it holds, and where that stands."""

    source = fields.CharField(min_length=2, max_length=500)  # type: ignore[assignment]  # DRF's has this name
    valid_from = fields.DateField()
    valid_to = fields.DateField(required=False, allow_null=True)


class EditUnitDefinitionInput(Dated):
    numerator = fields.DecimalField(max_digits=40, decimal_places=0, min_value=Decimal(1))
    denominator = fields.DecimalField(max_digits=40, decimal_places=0, min_value=Decimal(1))


class DraftUnitDefinitionInput(EditUnitDefinitionInput):
    unit = fields.RowField(Unit)
