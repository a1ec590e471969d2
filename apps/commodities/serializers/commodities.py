"""Shapes of commodities."""

from typing import ClassVar

from apps.commodities.models import Commodity
from apps.commodities.services.commodities import FIELDS
from erp.api.serializers import Input, Output


class CreateInput(Input):
    class Meta:
        model = Commodity
        fields = FIELDS
        options: ClassVar = {"trade_unit": {"required": False, "allow_null": True}}


class UpdateInput(Input):
    class Meta(CreateInput.Meta):
        fields = (*FIELDS[1:], "status")  # the code stays


class CommodityOutput(Output):
    class Meta:
        model = Commodity
        fields = FIELDS
