"""What can be traded, and the reference data about it."""

from apps.commodities.models.base import CODE, MOST_ALIASES, PartQuerySet, Simple, SimpleQuerySet, name_key
from apps.commodities.models.commodities import Commodity, CommodityName
from apps.commodities.models.parameters import (
    CHOICE_CODE,
    MOST_CHOICES,
    MOST_METHODS,
    PARAMETER_CODE,
    Measured,
    ParameterTemplate,
    QualityParameter,
)
from apps.commodities.models.varieties import Variety, VarietyName

__all__ = [
    "CHOICE_CODE",
    "CODE",
    "MOST_ALIASES",
    "MOST_CHOICES",
    "MOST_METHODS",
    "PARAMETER_CODE",
    "Commodity",
    "CommodityName",
    "Measured",
    "ParameterTemplate",
    "PartQuerySet",
    "QualityParameter",
    "Simple",
    "SimpleQuerySet",
    "Variety",
    "VarietyName",
    "name_key",
]
