"""Commissions as staff keep them."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities, services
from apps.commodities.models import Commission
from erp.admin import ServiceAdmin


@admin.register(Commission)
class CommissionAdmin(ServiceAdmin):
    """What is due to whoever brought a bargain about."""

    views = capabilities.VIEW_COMMISSIONS
    creates, updates = services.create_commission, services.update_commission
    list_display: ClassVar = ["name", "side", "commodity", "trade_type", "basis", "valid_from", "valid_to"]
    list_filter: ClassVar = ["side", "basis"]
    list_select_related: ClassVar = ["commodity", "trade_type"]
    search_fields: ClassVar = ["name"]
    ordering: ClassVar = ["name"]
    details: ClassVar = [
        "name",
        "commodity",
        "trade_type",
        "partner_id",
        "side",
        "basis",
        "percent",
        "amount",
        "currency",
        "pricing_unit",
        "slab_by",
        "slab_mode",
        "slabs",
        "min_amount",
        "max_amount",
        "valid_from",
        "valid_to",
        "version",
        "created_at",
        "updated_at",
    ]
