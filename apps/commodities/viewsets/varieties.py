"""Varieties over HTTP."""

from typing import ClassVar

from apps.commodities import services
from apps.commodities.models import Variety
from apps.commodities.serializers import CreateVarietyInput, UpdateVarietyInput, VarietyOutput
from apps.commodities.viewsets.base import CommodityParts, ReferenceRows, ReferenceViewSet
from erp.api.endpoints import endpoint


class VarietyRows(ReferenceRows):
    """How varieties are listed."""

    queryset = Variety.objects.all()
    serializer_class = VarietyOutput
    filters: ClassVar = {"status": ["exact", "in"]}
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "name"]


class VarietyViewSet(ReferenceViewSet, VarietyRows):
    """Varieties of commodities."""

    filters: ClassVar = {"commodity_id": ["exact"], **VarietyRows.filters}

    create = endpoint(
        services.create_variety,
        CreateVarietyInput,
    )
    update = endpoint(
        services.update_variety,
        UpdateVarietyInput,
        if_match="required",
    )


class CommodityVarietiesViewSet(CommodityParts, VarietyRows):
    """Varieties of one commodity."""
