"""Commissions over HTTP."""

from typing import ClassVar

from apps.commodities import capabilities, services
from apps.commodities.filters import DatedFilters
from apps.commodities.models import Commission
from apps.commodities.serializers import CommissionOutput, CreateCommissionInput, UpdateCommissionInput
from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet


class CommissionViewSet(RowViewSet):
    """What is due to whoever brought a bargain about."""

    queryset = Commission.objects.all()
    serializer_class = CommissionOutput
    reads = capabilities.VIEW_COMMISSIONS
    filterset_class = DatedFilters
    filters: ClassVar = {
        "commodity_id": ["exact", "isnull"],
        "side": ["exact"],
    }
    search_fields: ClassVar = ["name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "name", "valid_from"]

    create = endpoint(services.create_commission, CreateCommissionInput)
    update = endpoint(
        services.update_commission,
        UpdateCommissionInput,
        if_match="required",
    )
