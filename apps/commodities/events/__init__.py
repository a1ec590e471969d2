"""What others may learn of commodities and their reference data."""

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
    QualityScheduleDrafted,
    QualityScheduleEdited,
    QualitySchedulePublished,
    QualityScheduleReturned,
    QualityScheduleSubmitted,
    QualityScheduleWithdrawn,
)
from apps.commodities.events.tax import (
    HsnCodeCreated,
    HsnCodeUpdated,
    HsnMappingConfirmed,
    TaxRateDrafted,
    TaxRateEdited,
    TaxRatePublished,
    TaxRateReturned,
    TaxRateSubmitted,
    TaxRateWithdrawn,
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
    "QualityScheduleDrafted",
    "QualityScheduleEdited",
    "QualitySchedulePublished",
    "QualityScheduleReturned",
    "QualityScheduleSubmitted",
    "QualityScheduleWithdrawn",
    "TaxRateDrafted",
    "TaxRateEdited",
    "TaxRatePublished",
    "TaxRateReturned",
    "TaxRateSubmitted",
    "TaxRateWithdrawn",
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
