"""Pricing units over HTTP."""

from typing import ClassVar

from apps.commodities.models.pricing import PricingUnit
from apps.commodities.serializers.pricing import (
    CreatePricingUnitInput,
    PricingUnitOutput,
    UpdatePricingUnitInput,
)
from apps.commodities.services import pricing as services
from apps.commodities.viewsets.base import ReferenceViewSet
from erp.api.endpoints import endpoint


class PricingUnitViewSet(ReferenceViewSet):
    """Units in which prices are quoted."""

    queryset = PricingUnit.objects.all()
    serializer_class = PricingUnitOutput
    filters: ClassVar = {
        "code": ["exact", "in"],
        "currency": ["exact", "in"],
        "unit": ["exact", "in"],
        "status": ["exact", "in"],
    }
    search_fields: ClassVar = ["code"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code"]

    create = endpoint(services.create_pricing_unit, CreatePricingUnitInput)
    update = endpoint(
        services.update_pricing_unit,
        UpdatePricingUnitInput,
        if_match="required",
    )
