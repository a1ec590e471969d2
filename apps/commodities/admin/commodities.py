"""Commodities as staff keep them."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities, services
from apps.commodities.models import Commodity
from erp.admin import ServiceAdmin


@admin.register(Commodity)
class CommodityAdmin(ServiceAdmin):
    """What can be traded."""

    views = capabilities.VIEW
    creates, updates = services.create, services.update
    list_display: ClassVar = ["code", "name", "category", "trade_unit", "hsn_code", "status", "updated_at"]
    list_filter: ClassVar = ["status", "category"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["code"]
    details: ClassVar = [
        "code",
        "name",
        "aliases",
        "category",
        "description",
        "base_unit",
        "quantity_mode",
        "package_unit",
        "trade_unit",
        "hsn_code",
        "origin_country",
        "season_start_month",
        "quantity_tolerance_percent",
        "status",
        "version",
        "created_at",
        "updated_at",
    ]
