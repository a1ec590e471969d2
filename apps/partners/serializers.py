"""Inputs and outputs of partners."""

from apps.partners.models import Partner
from erp.api import fields
from erp.api.serializers import Input, Output
from erp.api.validators import COUNTRY, refuse_web_address


class PartnerOutput(Output):
    class Meta:
        model = Partner
        fields = ("legal_name", "trade_name", "legal_form", "country")


class RegisterInput(Input):
    class Meta:
        model = Partner

    legal_name = fields.CharField(min_length=2, max_length=500, validators=[refuse_web_address])
    trade_name = fields.CharField(
        max_length=500, required=False, allow_blank=True, validators=[refuse_web_address]
    )
    legal_form = fields.ChoiceField(choices=Partner.LegalForm.choices)
    country = fields.CharField(required=False, validators=[COUNTRY])
