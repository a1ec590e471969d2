"""What can be traded, and the reference data about it."""

from apps.commodities.models.base import CODE, MOST_ALIASES, PartQuerySet, Simple, SimpleQuerySet, name_key
from apps.commodities.models.commodities import Commodity, CommodityName
from apps.commodities.models.varieties import Variety, VarietyName

__all__ = [
    "CODE",
    "MOST_ALIASES",
    "Commodity",
    "CommodityName",
    "PartQuerySet",
    "Simple",
    "SimpleQuerySet",
    "Variety",
    "VarietyName",
    "name_key",
]
