"""Commodities over HTTP."""

from typing import ClassVar

from apps.commodities import capabilities, services
from apps.commodities.models import Commodity
from apps.commodities.serializers import CommodityOutput, CreateInput, UpdateInput
from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet


class CommodityViewSet(RowViewSet):
    """Commodities: what can be traded."""

    queryset = Commodity.objects.all()
    serializer_class = CommodityOutput
    reads = capabilities.VIEW
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
