"""Commodities and their reference data as staff keep them."""

from apps.commodities.admin.commissions import CommissionAdmin
from apps.commodities.admin.commodities import CommodityAdmin
from apps.commodities.admin.grades import GradeAdmin
from apps.commodities.admin.parameters import ParameterTemplateAdmin, QualityParameterAdmin
from apps.commodities.admin.schedules import QualityScheduleAdmin
from apps.commodities.admin.tax import HsnCodeAdmin, HsnMappingAdmin, TaxRateAdmin
from apps.commodities.admin.units import PackWeightAdmin, PricingUnitAdmin, UnitAdmin, UnitDefinitionAdmin
from apps.commodities.admin.varieties import VarietyAdmin
from erp.admin import lists

lists.register("commodity")

__all__ = [
    "CommissionAdmin",
    "CommodityAdmin",
    "GradeAdmin",
    "HsnCodeAdmin",
    "HsnMappingAdmin",
    "PackWeightAdmin",
    "ParameterTemplateAdmin",
    "PricingUnitAdmin",
    "QualityParameterAdmin",
    "QualityScheduleAdmin",
    "TaxRateAdmin",
    "UnitAdmin",
    "UnitDefinitionAdmin",
    "VarietyAdmin",
]
