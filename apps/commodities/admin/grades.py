"""Grades as staff keep them."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities, services
from apps.commodities.models import Grade
from erp.admin import ServiceAdmin


@admin.register(Grade)
class GradeAdmin(ServiceAdmin):
    """Grades of commodities."""

    views = capabilities.VIEW
    creates, updates = services.create_grade, services.update_grade
    list_display: ClassVar = ["code", "name", "commodity", "rank", "is_basis", "status", "updated_at"]
    list_filter: ClassVar = ["status", "commodity"]
    list_select_related: ClassVar = ["commodity"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["commodity__code", "rank"]
    details: ClassVar = [
        "commodity",
        "code",
        "name",
        "rank",
        "is_basis",
        "limits",
        "difference_kind",
        "difference",
        "pricing_unit",
        "status",
        "version",
        "created_at",
        "updated_at",
    ]
