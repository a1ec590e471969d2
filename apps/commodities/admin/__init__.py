"""Commodities and their reference data as staff keep them."""

from apps.commodities.admin.commissions import CommissionAdmin
from apps.commodities.admin.commodities import CommodityAdmin
from apps.commodities.admin.grades import GradeAdmin
from apps.commodities.admin.parameters import ParameterTemplateAdmin, QualityParameterAdmin
from apps.commodities.admin.schedules import QualityScheduleAdmin
from apps.commodities.admin.tax import HsnCodeAdmin, HsnMappingAdmin, TaxRateAdmin
from apps.commodities.admin.terms import (
    BargainTypeAdmin,
    DeliveryTermsAdmin,
    PassingTermsAdmin,
    PaymentTermsAdmin,
    TradeTypeAdmin,
    WeighmentTermsAdmin,
)
from apps.commodities.admin.units import PackWeightAdmin, PricingUnitAdmin, UnitAdmin, UnitDefinitionAdmin
from apps.commodities.admin.varieties import VarietyAdmin

__all__ = [
    "BargainTypeAdmin",
    "CommissionAdmin",
    "CommodityAdmin",
    "DeliveryTermsAdmin",
    "GradeAdmin",
    "HsnCodeAdmin",
    "HsnMappingAdmin",
    "PackWeightAdmin",
    "ParameterTemplateAdmin",
    "PassingTermsAdmin",
    "PaymentTermsAdmin",
    "PricingUnitAdmin",
    "QualityParameterAdmin",
    "QualityScheduleAdmin",
    "TaxRateAdmin",
    "TradeTypeAdmin",
    "UnitAdmin",
    "UnitDefinitionAdmin",
    "VarietyAdmin",
    "WeighmentTermsAdmin",
]
