"""Varieties as staff keep them."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities, services
from apps.commodities.models import Variety
from erp.admin import ServiceAdmin


@admin.register(Variety)
class VarietyAdmin(ServiceAdmin):
    """Varieties of commodities."""

    views = capabilities.VIEW
    creates, updates = services.create_variety, services.update_variety
    list_display: ClassVar = ["code", "name", "commodity", "is_standard", "status", "updated_at"]
    list_filter: ClassVar = ["status", "commodity"]
    list_select_related: ClassVar = ["commodity"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["code"]
    details: ClassVar = [
        "commodity",
        "code",
        "name",
        "aliases",
        "is_standard",
        "presets",
        "status",
        "version",
        "created_at",
        "updated_at",
    ]
