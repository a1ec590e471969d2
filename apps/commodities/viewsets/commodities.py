"""Commodities over HTTP."""

from typing import ClassVar

from apps.commodities import services
from apps.commodities.models import Commodity
from apps.commodities.serializers import CommodityOutput, CreateInput, UpdateInput
from apps.commodities.viewsets.base import ReferenceViewSet
from apps.commodities.viewsets.imports import Tables
from erp.api.endpoints import endpoint


class CommodityViewSet(Tables, ReferenceViewSet):
    """Commodities: what can be traded."""

    queryset = Commodity.objects.all()
    serializer_class = CommodityOutput
    filters: ClassVar = {
        "code": ["exact", "in"],
        "category": ["exact", "in"],
        "hsn_code": ["exact"],
        "status": ["exact", "in"],
    }
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "name"]

    create = endpoint(services.create, CreateInput, problems=(services.Duplicate, services.FieldsContradict))
    update = endpoint(
        services.update,
        UpdateInput,
        if_match="required",
        problems=(
            services.Duplicate,
            services.IllegalTransition,
            services.InForce,
            services.FieldsContradict,
            services.NotReady,
        ),
    )
