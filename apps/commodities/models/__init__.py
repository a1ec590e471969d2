"""What can be traded, and the reference data about it."""

from apps.commodities.models.base import CODE, MOST_ALIASES, PartQuerySet, Simple, SimpleQuerySet, name_key
from apps.commodities.models.commodities import Commodity, CommodityName
from apps.commodities.models.drafts import DatedQuerySet, Drafted, DraftedQuerySet, dates_in_order, no_overlap
from apps.commodities.models.parameters import (
    CHOICE_CODE,
    MOST_CHOICES,
    MOST_METHODS,
    PARAMETER_CODE,
    Measured,
    ParameterTemplate,
    QualityParameter,
)
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import UNIT_CODE, PackWeight, Unit, UnitDefinition
from apps.commodities.models.varieties import Variety, VarietyName

__all__ = [
    "CHOICE_CODE",
    "CODE",
    "MOST_ALIASES",
    "MOST_CHOICES",
    "MOST_METHODS",
    "PARAMETER_CODE",
    "UNIT_CODE",
    "Commodity",
    "CommodityName",
    "DatedQuerySet",
    "Drafted",
    "DraftedQuerySet",
    "Measured",
    "PackWeight",
    "ParameterTemplate",
    "PartQuerySet",
    "PricingUnit",
    "QualityParameter",
    "Simple",
    "SimpleQuerySet",
    "Unit",
    "UnitDefinition",
    "Variety",
    "VarietyName",
    "dates_in_order",
    "name_key",
    "no_overlap",
]
