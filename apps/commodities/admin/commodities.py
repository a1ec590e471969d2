"""Commodities in the staff portal."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities, services
from apps.commodities.models import Commodity
from apps.commodities.serializers.units import SetPackWeightInput
from erp.jobs.importing import ImportAdmin


@admin.register(Commodity)
class CommodityAdmin(ImportAdmin):
    """Goods that can be traded."""

    views = capabilities.VIEW
    creates, updates = services.create, services.update
    runs: ClassVar = [services.set_pack_weight]
    inputs: ClassVar = {services.set_pack_weight: SetPackWeightInput}
    starts: ClassVar = [services.bulk_upload]
    list_display: ClassVar = ["code", "name", "category", "trade_unit", "hsn_code", "status", "updated_at"]
    list_filter: ClassVar = ["status", "category"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["code"]
