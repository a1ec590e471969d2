"""Varieties over HTTP."""

from typing import ClassVar

from apps.commodities import services
from apps.commodities.models import Variety
from apps.commodities.serializers import CreateVarietyInput, UpdateVarietyInput, VarietyOutput
from apps.commodities.viewsets.base import ReferenceViewSet
from erp.api.endpoints import endpoint


class VarietyViewSet(ReferenceViewSet):
    """Varieties of commodities."""

    queryset = Variety.objects.all()
    serializer_class = VarietyOutput
    filters: ClassVar = {
        "commodity_id": ["exact"],
        "status": ["exact", "in"],
    }
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "name"]

    create = endpoint(
        services.create_variety,
        CreateVarietyInput,
        problems=(services.Duplicate, services.NotActive, services.SecondStandard),
    )
    update = endpoint(
        services.update_variety,
        UpdateVarietyInput,
        if_match="required",
        problems=(services.Duplicate, services.SecondStandard),
    )
