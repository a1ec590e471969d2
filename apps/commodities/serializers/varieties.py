"""Shapes of varieties."""

from apps.commodities.models import Commodity, Variety
from apps.commodities.serializers.base import CODE, AliasesField, SimpleStatus, rows
from apps.commodities.serializers.parameters import LimitAnswer, LimitRow
from erp.api import fields
from erp.api.serializers import Input, Output


class VarietyFields(Input):
    """What POST and PUT share."""

    name = fields.CharField(min_length=2, max_length=200)
    aliases = AliasesField()
    is_standard = fields.BooleanField(required=False)
    presets = rows(LimitRow)


class CreateVarietyInput(VarietyFields):
    commodity_id = fields.RowField(Commodity, source="commodity")
    code = fields.CharField(validators=[CODE])


class UpdateVarietyInput(VarietyFields, SimpleStatus):
    pass


class VarietyOutput(Output):
    presets = LimitAnswer(many=True, read_only=True)

    class Meta:
        model = Variety
        fields = ("commodity_id", "code", "name", "aliases", "is_standard", "presets")
