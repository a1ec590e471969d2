"""Commodities and their reference data over HTTP."""

from apps.commodities.viewsets.commodities import CommodityViewSet
from apps.commodities.viewsets.varieties import VarietyViewSet

__all__ = ["CommodityViewSet", "VarietyViewSet"]
