"""Quality parameters and their templates as staff keep them."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities, services
from apps.commodities.models import ParameterTemplate, QualityParameter
from erp.admin import ServiceAdmin

MEASURED = (
    "code",
    "name",
    "data_type",
    "unit",
    "methods",
    "default_method",
    "precision",
    "direction",
    "target_low",
    "target_high",
    "possible_min",
    "possible_max",
    "usual_min",
    "usual_max",
    "tolerance",
    "choices",
    "display_order",
    "status",
    "version",
    "created_at",
    "updated_at",
)


@admin.register(QualityParameter)
class QualityParameterAdmin(ServiceAdmin):
    """What is measured of commodities."""

    views = capabilities.VIEW
    creates, updates = services.create_parameter, services.update_parameter
    list_display: ClassVar = [
        "code",
        "name",
        "commodity",
        "unit",
        "direction",
        "is_mandatory",
        "status",
        "updated_at",
    ]
    list_filter: ClassVar = ["status", "is_mandatory", "commodity"]
    list_select_related: ClassVar = ["commodity"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["display_order", "code"]
    details: ClassVar = ["commodity", "template", "is_mandatory", *MEASURED]


@admin.register(ParameterTemplate)
class ParameterTemplateAdmin(ServiceAdmin):
    """Quality parameters to copy."""

    views = capabilities.VIEW
    creates, updates = services.create_template, services.update_template
    list_display: ClassVar = ["code", "name", "category", "unit", "direction", "status", "updated_at"]
    list_filter: ClassVar = ["status", "category"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["display_order", "code"]
    details: ClassVar = ["category", *MEASURED]
