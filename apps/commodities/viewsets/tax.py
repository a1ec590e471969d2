"""Codes of the tariff and rates of tax over HTTP: read only, since staff keep them in the admin."""

from typing import ClassVar

from apps.commodities import capabilities
from apps.commodities.filters import DatedFilters
from apps.commodities.models import HsnCode, HsnMapping, TaxRate
from apps.commodities.serializers.tax import HsnCodeOutput, HsnMappingOutput, TaxRateOutput
from apps.commodities.viewsets.base import ReferenceViewSet
from erp.api.viewsets import RowViewSet


class HsnCodeViewSet(ReferenceViewSet):
    """Codes of the tariff."""

    queryset = HsnCode.objects.all()
    serializer_class = HsnCodeOutput
    filters: ClassVar = {"code": ["exact", "in"], "status": ["exact", "in"]}
    search_fields: ClassVar = ["code", "description"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code"]


class HsnMappingViewSet(RowViewSet):
    """Names that staff have given a code. No partner sees them."""

    queryset = HsnMapping.objects.all()
    serializer_class = HsnMappingOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"hsn_code": ["exact", "in"]}
    search_fields: ClassVar = ["name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "name"]


class TaxRateViewSet(ReferenceViewSet):
    """Rates of goods and services tax."""

    queryset = TaxRate.objects.all()
    serializer_class = TaxRateOutput
    filterset_class = DatedFilters
    filters: ClassVar = {"hsn": ["exact", "in"], "condition": ["exact", "in"], "status": ["exact", "in"]}
    search_fields: ClassVar = ["hsn", "source"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "hsn", "valid_from"]
