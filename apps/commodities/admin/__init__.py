"""Commodities and their reference data as staff keep them."""

from apps.commodities.admin.commodities import CommodityAdmin
from apps.commodities.admin.schedules import QualityScheduleAdmin
from apps.commodities.admin.tax import HsnCodeAdmin, HsnMappingAdmin, TaxRateAdmin
from apps.commodities.admin.units import PackWeightAdmin, PricingUnitAdmin, UnitAdmin, UnitDefinitionAdmin
from erp.admin import lists

lists.register("commodity")

__all__ = [
    "CommodityAdmin",
    "HsnCodeAdmin",
    "HsnMappingAdmin",
    "PackWeightAdmin",
    "PricingUnitAdmin",
    "QualityScheduleAdmin",
    "TaxRateAdmin",
    "UnitAdmin",
    "UnitDefinitionAdmin",
]
