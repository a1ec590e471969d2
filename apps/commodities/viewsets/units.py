"""Units of measure and pack weights over HTTP."""

from typing import Any, ClassVar

from apps.commodities.models.units import PackWeight, Unit
from apps.commodities.serializers.units import PackWeightOutput, UnitOutput
from apps.commodities.viewsets.base import CommodityParts, ReferenceRows, ReferenceViewSet


class UnitViewSet(ReferenceViewSet):
    """Units of measure with their definitions."""

    queryset = Unit.objects.all()
    serializer_class = UnitOutput
    filters: ClassVar = {"code": ["exact", "in"], "dimension": ["exact", "in"]}
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "name"]

    def get_queryset(self) -> Any:
        return super().get_queryset().with_definitions()


class PackWeightRows(ReferenceRows):
    """Lists of pack weights."""

    queryset = PackWeight.objects.all()
    serializer_class = PackWeightOutput
    filters: ClassVar = {
        "package_unit": ["exact", "in"],
        "origin_country": ["exact", "in"],
        "basis": ["exact", "in"],
    }
    search_fields: ClassVar = ["source"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "valid_from"]


class PackWeightViewSet(ReferenceViewSet, PackWeightRows):
    """Pack weights of commodities."""

    filters: ClassVar = {"commodity_id": ["exact"], **PackWeightRows.filters}


class CommodityPackWeightsViewSet(CommodityParts, PackWeightRows):
    """Pack weights of one commodity."""
