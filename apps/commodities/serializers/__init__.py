"""Shapes of commodities and their reference data."""

from apps.commodities.serializers.commodities import CommodityOutput, CreateInput, UpdateInput
from apps.commodities.serializers.varieties import CreateVarietyInput, UpdateVarietyInput, VarietyOutput

__all__ = [
    "CommodityOutput",
    "CreateInput",
    "CreateVarietyInput",
    "UpdateInput",
    "UpdateVarietyInput",
    "VarietyOutput",
]
