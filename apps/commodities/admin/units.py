"""Units of measure, their definitions, pricing units and pack weights in the staff portal."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.commodities import capabilities
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import PackWeight, Unit, UnitDefinition
from apps.commodities.serializers import units as serializers
from apps.commodities.services import pricing, units
from erp.admin import ServiceAdmin

DRAFTED = ("source", "valid_from", "valid_to", "status", "version", "created_at", "updated_at")


@admin.register(Unit)
class UnitAdmin(ServiceAdmin):
    """Units of measure."""

    views = capabilities.VIEW
    creates = units.create_unit
    inputs: ClassVar = {units.create_unit: serializers.CreateUnitInput}
    list_display: ClassVar = ["code", "name", "dimension", "symbol", "gst_uqc", "unece_code"]
    list_filter: ClassVar = ["dimension"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["code"]


@admin.register(UnitDefinition)
class UnitDefinitionAdmin(ServiceAdmin):
    """Exact definitions of units. Another person approves them for publication."""

    views = capabilities.VIEW
    creates, updates = units.draft_unit_definition, units.edit_unit_definition
    runs: ClassVar = [units.submit_unit_definition, units.withdraw_unit_definition]
    inputs: ClassVar = {
        units.draft_unit_definition: serializers.DraftUnitDefinitionInput,
        units.edit_unit_definition: serializers.EditUnitDefinitionInput,
    }
    list_display: ClassVar = [
        "unit",
        "unit_version",
        "numerator",
        "denominator",
        "valid_from",
        "valid_to",
        "status",
    ]
    list_filter: ClassVar = ["status", "unit"]
    list_select_related: ClassVar = ["unit"]
    search_fields: ClassVar = ["unit__code", "source"]
    ordering: ClassVar = ["unit__code", "-unit_version"]
    details: ClassVar = ["unit", "unit_version", "numerator", "denominator", *DRAFTED]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("unit")


@admin.register(PricingUnit)
class PricingUnitAdmin(ServiceAdmin):
    """Units in which prices are quoted."""

    views = capabilities.VIEW
    creates, updates = pricing.create_pricing_unit, pricing.update_pricing_unit
    list_display: ClassVar = ["code", "currency", "divisor", "unit", "places", "tick", "status"]
    list_filter: ClassVar = ["status", "currency"]
    list_select_related: ClassVar = ["unit"]
    search_fields: ClassVar = ["code"]
    ordering: ClassVar = ["code"]


@admin.register(PackWeight)
class PackWeightAdmin(ServiceAdmin):
    """Weights of packages, set on the page of their commodity."""

    empty = 'Open a commodity and choose "Set pack weight" to add one.'
    views = capabilities.VIEW
    list_display: ClassVar = [
        "commodity",
        "package_unit",
        "origin_country",
        "basis",
        "value",
        "unit",
        "valid_from",
        "valid_to",
    ]
    list_filter: ClassVar = ["basis", "origin_country", "commodity"]
    list_select_related: ClassVar = ["commodity", "package_unit", "unit"]
    search_fields: ClassVar = ["commodity__code", "source"]
    ordering: ClassVar = ["commodity__code", "package_unit", "origin_country", "-valid_from"]
