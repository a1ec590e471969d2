"""Commodities and their reference data over HTTP."""

from apps.commodities.viewsets.commodities import CommodityViewSet
from apps.commodities.viewsets.parameters import CommodityParametersViewSet, ParameterViewSet, TemplateViewSet
from apps.commodities.viewsets.varieties import CommodityVarietiesViewSet, VarietyViewSet

__all__ = [
    "CommodityParametersViewSet",
    "CommodityVarietiesViewSet",
    "CommodityViewSet",
    "ParameterViewSet",
    "TemplateViewSet",
    "VarietyViewSet",
]
