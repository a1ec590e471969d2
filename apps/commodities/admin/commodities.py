"""Commodities in the staff portal."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from apps.commodities import capabilities, services
from apps.commodities.models import Commodity, PackWeight
from apps.commodities.serializers.units import SetPackWeightInput
from erp.admin import ServiceAdmin, Table
from erp.admin.display import measured

SHOWN = 20  # newest weights on the commodity's page; the list has all


@admin.register(Commodity)
class CommodityAdmin(ServiceAdmin):
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

    def tables(self, request: HttpRequest, row: Commodity) -> list[Table]:
        lines = [
            (each.package_unit_id, each.origin_country, each.get_basis_display(), *_weight(each))
            for each in row.pack_weights.order_by("package_unit", "origin_country", "-valid_from")[:SHOWN]
        ]
        every = f"{reverse('admin:commodity_packweight_changelist')}?commodity__id__exact={row.pk}"
        headings = ["Package", "Origin", "Basis", "Weight", "Limits", "Effective from", "Effective to"]
        return [Table("Pack weights", headings, lines, every)]


def _weight(weight: PackWeight) -> tuple[Any, ...]:
    unit = weight.unit_id
    weighs = "–" if weight.value is None else measured(weight.value, unit)
    limits = f"{measured(weight.low, unit)} – {measured(weight.high, unit)}"
    return weighs, limits, weight.valid_from, weight.valid_to or "–"
