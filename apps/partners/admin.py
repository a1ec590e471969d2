"""Partners in the staff portal."""

from typing import ClassVar

from django.contrib import admin

from apps.partners import capabilities, services
from apps.partners.models import Partner
from apps.partners.serializers import RegisterInput
from erp.admin import ServiceAdmin


@admin.register(Partner)
class PartnerAdmin(ServiceAdmin):
    """Firms that the company trades with."""

    views = capabilities.VIEW
    creates = services.register
    inputs: ClassVar = {services.register: RegisterInput}
    list_display: ClassVar = ["legal_name", "trade_name", "legal_form", "country", "status", "created_at"]
    list_filter: ClassVar = ["status", "legal_form"]
    search_fields: ClassVar = ["legal_name", "trade_name"]
    ordering: ClassVar = ["legal_name"]
