"""Commodities in the staff portal."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.commodities import capabilities
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import HsnCode, TaxRate, prefixes_of
from apps.commodities.models.units import Unit
from apps.commodities.serializers.units import SetPackWeightInput
from apps.commodities.services import commodities, imports, packs
from erp.admin import Table
from erp.figures import percent
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

    def tables(self, request: HttpRequest, row: Commodity) -> list[Table]:
        """The tariff code with its headings, and the GST rates that apply to it."""
        if not row.hsn_code:
            return [Table("HSN code and GST rates", [], [])]
        codes = HsnCode.objects.filter(code__in=prefixes_of(row.hsn_code)).order_by("code")
        rates = TaxRate.objects.for_codes([row.hsn_code]).order_by("hsn", "condition", "-valid_from")
        return [
            Table("HSN code", ["Code", "Description"], [(each.code, each.description) for each in codes]),
            Table(
                "GST rates",
                ["Applies to", "Condition", "Rate", "From", "To"],
                [
                    (
                        each.hsn,
                        each.get_condition_display(),
                        percent(each.rate_percent),
                        each.valid_from,
                        each.valid_to or "–",
                    )
                    for each in rates
                ],
            ),
        ]
