"""Events of commodities and their reference data."""

from apps.commodities.events.commissions import CommissionSet
from apps.commodities.events.commodities import COMMODITY, CommodityCreated, CommodityUpdated
from apps.commodities.events.grades import GradeAdded, GradeUpdated
from apps.commodities.events.imports import CommodityBulkImported
from apps.commodities.events.packs import PackWeightSet
from apps.commodities.events.parameters import (
    ParameterAdded,
    ParameterTemplateCreated,
    ParameterTemplateUpdated,
    ParameterUpdated,
)
from apps.commodities.events.pricing import PricingUnitCreated, PricingUnitUpdated
from apps.commodities.events.schedules import (
    QUALITY_SCHEDULE,
)
from apps.commodities.events.tax import (
    TAX_RATE,
    HsnCodeCreated,
    HsnCodeUpdated,
    HsnMappingConfirmed,
)
from apps.commodities.events.terms import TradeTermsCreated, TradeTermsUpdated
from apps.commodities.events.units import (
    UNIT_DEFINITION,
    UnitCreated,
)
from apps.commodities.events.varieties import VarietyAdded, VarietyUpdated

__all__ = [
    "COMMODITY",
    "QUALITY_SCHEDULE",
    "TAX_RATE",
    "UNIT_DEFINITION",
    "CommissionSet",
    "CommodityBulkImported",
    "CommodityCreated",
    "CommodityUpdated",
    "GradeAdded",
    "GradeUpdated",
    "HsnCodeCreated",
    "HsnCodeUpdated",
    "HsnMappingConfirmed",
    "PackWeightSet",
    "ParameterAdded",
    "ParameterTemplateCreated",
    "ParameterTemplateUpdated",
    "ParameterUpdated",
    "PricingUnitCreated",
    "PricingUnitUpdated",
    "TradeTermsCreated",
    "TradeTermsUpdated",
    "UnitCreated",
    "VarietyAdded",
    "VarietyUpdated",
]
