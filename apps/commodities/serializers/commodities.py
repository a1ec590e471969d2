"""Inputs and outputs of commodities."""

from typing import ClassVar

from apps.commodities.models.commodities import Commodity
from apps.commodities.services.commodities import COMMODITIES
from erp.api.serializers import Input, Output


class CommodityCreateInput(Input):
    class Meta:
        model = Commodity
        fields = COMMODITIES.fields
        options: ClassVar = {"trade_unit": {"required": False, "allow_null": True}}


class CommodityUpdateInput(Input):
    class Meta(CommodityCreateInput.Meta):
        fields = (*COMMODITIES.fields[1:], "status")  # the code can't change


class CommodityOutput(Output):
    class Meta:
        model = Commodity
        fields = COMMODITIES.fields
