"""Partners over HTTP."""

from typing import ClassVar

from apps.partners import capabilities
from apps.partners.models import Partner
from apps.partners.serializers import PartnerOutput
from erp.api.viewsets import RowViewSet


class PartnerViewSet(RowViewSet):
    """Partners that the caller may see."""

    queryset = Partner.objects.all()
    serializer_class = PartnerOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"status": ["exact", "in"], "country": ["exact"]}
    search_fields: ClassVar = ["legal_name", "trade_name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "legal_name"]
