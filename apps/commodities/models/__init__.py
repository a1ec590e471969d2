"""Commodities and their reference data."""

from apps.commodities.models.base import CODE, MOST_ALIASES, UNIT_CODE, PartQuerySet, Simple, SimpleQuerySet
from apps.commodities.models.commissions import Commission
from apps.commodities.models.commodities import Commodity, CommodityName
from apps.commodities.models.grades import Grade
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
from apps.commodities.models.schedules import QualitySchedule, ScheduleLine
from apps.commodities.models.tax import HsnCode, HsnMapping, TaxRate
from apps.commodities.models.terms import (
    TERMS,
    BargainType,
    DeliveryTerms,
    PassingTerms,
    PaymentTerms,
    Terms,
    TradeType,
    WeighmentTerms,
)
from apps.commodities.models.units import PackWeight, Unit, UnitDefinition
from apps.commodities.models.varieties import Variety, VarietyName

__all__ = [
    "CHOICE_CODE",
    "CODE",
    "MOST_ALIASES",
    "MOST_CHOICES",
    "MOST_METHODS",
    "PARAMETER_CODE",
    "TERMS",
    "UNIT_CODE",
    "BargainType",
    "Commission",
    "Commodity",
    "CommodityName",
    "DeliveryTerms",
    "Grade",
    "HsnCode",
    "HsnMapping",
    "Measured",
    "PackWeight",
    "ParameterTemplate",
    "PartQuerySet",
    "PassingTerms",
    "PaymentTerms",
    "PricingUnit",
    "QualityParameter",
    "QualitySchedule",
    "ScheduleLine",
    "Simple",
    "SimpleQuerySet",
    "TaxRate",
    "Terms",
    "TradeType",
    "Unit",
    "UnitDefinition",
    "Variety",
    "VarietyName",
    "WeighmentTerms",
]
