"""What others may learn of commodities and their reference data."""

from apps.commodities.events.commodities import COMMODITY, CommodityCreated, CommodityUpdated
from apps.commodities.events.parameters import (
    ParameterAdded,
    ParameterTemplateCreated,
    ParameterTemplateUpdated,
    ParameterUpdated,
)
from apps.commodities.events.terms import TradeTermsCreated, TradeTermsUpdated
from apps.commodities.events.units import (
    UnitCreated,
    UnitDefinitionDrafted,
    UnitDefinitionEdited,
    UnitDefinitionPublished,
    UnitDefinitionReturned,
    UnitDefinitionSubmitted,
    UnitDefinitionWithdrawn,
)
from apps.commodities.events.varieties import VarietyAdded, VarietyUpdated

__all__ = [
    "COMMODITY",
    "CommodityCreated",
    "CommodityUpdated",
    "ParameterAdded",
    "ParameterTemplateCreated",
    "ParameterTemplateUpdated",
    "ParameterUpdated",
    "TradeTermsCreated",
    "TradeTermsUpdated",
    "UnitCreated",
    "UnitDefinitionDrafted",
    "UnitDefinitionEdited",
    "UnitDefinitionPublished",
    "UnitDefinitionReturned",
    "UnitDefinitionSubmitted",
    "UnitDefinitionWithdrawn",
    "VarietyAdded",
    "VarietyUpdated",
]
