"""HSN codes, HSN mappings and GST rates over HTTP, read only. Staff change them in the portal."""

from typing import ClassVar

from apps.commodities import capabilities
from apps.commodities.filters import DatedFilters
from apps.commodities.models.tax import HsnCode, HsnMapping, TaxRate
from apps.commodities.serializers.tax import HsnCodeOutput, HsnMappingOutput, TaxRateOutput
from apps.commodities.viewsets.base import ReferenceViewSet
from erp.api.viewsets import RowViewSet


class HsnCodeViewSet(ReferenceViewSet):
    """HSN codes."""

    queryset = HsnCode.objects.all()
    serializer_class = HsnCodeOutput
    filters: ClassVar = {"code": ["exact", "in"], "status": ["exact", "in"]}
    search_fields: ClassVar = ["code", "description"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code"]


class HsnMappingViewSet(RowViewSet):
    """Confirmed HSN codes by name of the goods, for staff only."""

    queryset = HsnMapping.objects.all()
    serializer_class = HsnMappingOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"hsn_code": ["exact", "in"]}
    search_fields: ClassVar = ["name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "name"]


class TaxRateViewSet(ReferenceViewSet):
    """GST rates."""

    queryset = TaxRate.objects.all()
    serializer_class = TaxRateOutput
    filterset_class = DatedFilters
    filters: ClassVar = {"hsn": ["exact", "in"], "condition": ["exact", "in"], "status": ["exact", "in"]}
    search_fields: ClassVar = ["hsn", "source"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "hsn", "valid_from"]
