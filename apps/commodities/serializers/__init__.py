"""Shapes of commodities and their reference data."""

from apps.commodities.serializers.commodities import CommodityOutput, CreateInput, UpdateInput
from apps.commodities.serializers.imports import (
    ROWS,
    BulkUploadInput,
    BulkValidateInput,
    BulkValidateOutput,
    CommodityRow,
    VarietyRow,
    kind_asked,
)
from apps.commodities.serializers.pricing import (
    ConversionInput,
    ConversionOutput,
    CreatePricingUnitInput,
    PricingUnitOutput,
    UpdatePricingUnitInput,
)
from apps.commodities.serializers.schedules import (
    DraftQualityScheduleInput,
    EditQualityScheduleInput,
    QualityScheduleOutput,
)
from apps.commodities.serializers.suggestions import (
    BestCategoryAnswer,
    CodesAnswer,
    DetectCategoryInput,
    ParametersAnswer,
    SuggestHsnInput,
    SuggestParametersInput,
)
from apps.commodities.serializers.tax import (
    ConfirmHsnMappingInput,
    CreateHsnCodeInput,
    HsnCodeOutput,
    HsnMappingOutput,
    TaxAnswer,
    TaxRateInput,
    TaxRateOutput,
    UpdateHsnCodeInput,
)
from apps.commodities.serializers.units import (
    CreateUnitInput,
    DraftUnitDefinitionInput,
    EditUnitDefinitionInput,
    PackWeightOutput,
    SetPackWeightInput,
    UnitOutput,
)

__all__ = [
    "ROWS",
    "BestCategoryAnswer",
    "BulkUploadInput",
    "BulkValidateInput",
    "BulkValidateOutput",
    "CodesAnswer",
    "CommodityOutput",
    "CommodityRow",
    "ConfirmHsnMappingInput",
    "ConversionInput",
    "ConversionOutput",
    "CreateHsnCodeInput",
    "CreateInput",
    "CreatePricingUnitInput",
    "CreateUnitInput",
    "DetectCategoryInput",
    "DraftQualityScheduleInput",
    "DraftUnitDefinitionInput",
    "EditQualityScheduleInput",
    "EditUnitDefinitionInput",
    "HsnCodeOutput",
    "HsnMappingOutput",
    "PackWeightOutput",
    "ParametersAnswer",
    "PricingUnitOutput",
    "QualityScheduleOutput",
    "SetPackWeightInput",
    "SuggestHsnInput",
    "SuggestParametersInput",
    "TaxAnswer",
    "TaxRateInput",
    "TaxRateOutput",
    "UnitOutput",
    "UpdateHsnCodeInput",
    "UpdateInput",
    "UpdatePricingUnitInput",
    "VarietyRow",
    "kind_asked",
]
