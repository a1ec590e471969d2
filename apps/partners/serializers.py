"""What a partner's row shows."""

from apps.partners.models import Partner
from erp.api.serializers import Output


class PartnerOutput(Output):
    class Meta:
        model = Partner
        fields = ("legal_name", "trade_name", "legal_form", "country")
