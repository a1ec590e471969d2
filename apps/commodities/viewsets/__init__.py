"""Commodities and their reference data over HTTP."""

from apps.commodities.viewsets.commodities import CommodityViewSet
from apps.commodities.viewsets.pricing import PricingUnitViewSet
from apps.commodities.viewsets.schedules import CommoditySchedulesViewSet, QualityScheduleViewSet
from apps.commodities.viewsets.tax import HsnCodeViewSet, HsnMappingViewSet, TaxRateViewSet
from apps.commodities.viewsets.units import CommodityPackWeightsViewSet, PackWeightViewSet, UnitViewSet

__all__ = [
    "CommodityPackWeightsViewSet",
    "CommoditySchedulesViewSet",
    "CommodityViewSet",
    "HsnCodeViewSet",
    "HsnMappingViewSet",
    "PackWeightViewSet",
    "PricingUnitViewSet",
    "QualityScheduleViewSet",
    "TaxRateViewSet",
    "UnitViewSet",
]
