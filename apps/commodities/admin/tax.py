"""HSN codes, HSN mappings and GST rates in the staff portal."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities
from apps.commodities.admin.units import DRAFTED
from apps.commodities.models.tax import HsnCode, HsnMapping, TaxRate
from apps.commodities.serializers import tax as serializers
from apps.commodities.services import tax as services
from erp.admin import ServiceAdmin


@admin.register(HsnCode)
class HsnCodeAdmin(ServiceAdmin):
    """HSN codes."""

    views = capabilities.VIEW
    creates, updates = services.create_hsn_code, services.update_hsn_code
    inputs: ClassVar = {
        services.create_hsn_code: serializers.CreateHsnCodeInput,
        services.update_hsn_code: serializers.UpdateHsnCodeInput,
    }
    list_display: ClassVar = ["code", "description", "status", "updated_at"]
    list_filter: ClassVar = ["status"]
    search_fields: ClassVar = ["code", "description"]
    ordering: ClassVar = ["code"]


@admin.register(HsnMapping)
class HsnMappingAdmin(ServiceAdmin):
    """Confirmed HSN codes by name of the goods. A new confirmation of a name replaces the previous one."""

    views = capabilities.VIEW
    creates = services.confirm_hsn_mapping
    codes: ClassVar = {"hsn_code": HsnCode}
    inputs: ClassVar = {services.confirm_hsn_mapping: serializers.ConfirmHsnMappingInput}
    list_display: ClassVar = ["name", "hsn_code", "confirmed_at"]
    search_fields: ClassVar = ["name", "hsn_code"]
    ordering: ClassVar = ["name"]
    details: ClassVar = ["name", "hsn_code", "confirmed_by", "confirmed_at", "version"]


@admin.register(TaxRate)
class TaxRateAdmin(ServiceAdmin):
    """GST rates. Another person approves them for publication."""

    views = capabilities.VIEW
    creates, updates = services.draft_tax_rate, services.edit_tax_rate
    codes: ClassVar = {"hsn": HsnCode}
    runs: ClassVar = [services.submit_tax_rate, services.withdraw_tax_rate]
    inputs: ClassVar = {
        services.draft_tax_rate: serializers.TaxRateInput,
        services.edit_tax_rate: serializers.TaxRateInput,
    }
    list_display: ClassVar = ["hsn", "condition", "rate_percent", "valid_from", "valid_to", "status"]
    list_filter: ClassVar = ["status", "condition"]
    search_fields: ClassVar = ["hsn", "source"]
    ordering: ClassVar = ["hsn", "condition", "-valid_from"]
    details: ClassVar = ["hsn", "condition", "rate_percent", *DRAFTED]
