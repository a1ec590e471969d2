"""Commodities and their reference data over HTTP."""

from apps.commodities.viewsets.commissions import CommissionViewSet
from apps.commodities.viewsets.commodities import CommodityViewSet
from apps.commodities.viewsets.grades import CommodityGradesViewSet, GradeViewSet
from apps.commodities.viewsets.parameters import CommodityParametersViewSet, ParameterViewSet, TemplateViewSet
from apps.commodities.viewsets.pricing import PricingUnitViewSet
from apps.commodities.viewsets.schedules import CommoditySchedulesViewSet, QualityScheduleViewSet
from apps.commodities.viewsets.tax import HsnCodeViewSet, HsnMappingViewSet, TaxRateViewSet
from apps.commodities.viewsets.units import CommodityPackWeightsViewSet, PackWeightViewSet, UnitViewSet
from apps.commodities.viewsets.varieties import CommodityVarietiesViewSet, VarietyViewSet

__all__ = [
    "CommissionViewSet",
    "CommodityGradesViewSet",
    "CommodityPackWeightsViewSet",
    "CommodityParametersViewSet",
    "CommoditySchedulesViewSet",
    "CommodityVarietiesViewSet",
    "CommodityViewSet",
    "GradeViewSet",
    "HsnCodeViewSet",
    "HsnMappingViewSet",
    "PackWeightViewSet",
    "ParameterViewSet",
    "PricingUnitViewSet",
    "QualityScheduleViewSet",
    "TaxRateViewSet",
    "TemplateViewSet",
    "UnitViewSet",
    "VarietyViewSet",
]
