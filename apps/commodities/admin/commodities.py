"""Commodities in the staff portal."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import HsnCode
from apps.commodities.models.units import Unit
from apps.commodities.serializers.units import SetPackWeightInput
from apps.commodities.services import commodities, imports, packs
from erp.jobs.importing import ImportAdmin


@admin.register(Commodity)
class CommodityAdmin(ImportAdmin):
    """Goods that can be traded."""

    views = capabilities.VIEW
    creates, updates = commodities.create, commodities.update
    runs: ClassVar = [packs.set_pack_weight]
    inputs: ClassVar = {packs.set_pack_weight: SetPackWeightInput}
    codes: ClassVar = {"base_unit": Unit, "trade_unit": Unit, "package_unit": Unit, "hsn_code": HsnCode}
    starts: ClassVar = [imports.bulk_upload]
    list_display: ClassVar = ["code", "name", "category", "trade_unit", "hsn_code", "status", "updated_at"]
    list_filter: ClassVar = ["status", "category"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["code"]
