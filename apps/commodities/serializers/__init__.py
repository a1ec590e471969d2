"""Shapes of commodities and their reference data."""

from apps.commodities.serializers.commissions import (
    CommissionOutput,
    CreateCommissionInput,
    UpdateCommissionInput,
)
from apps.commodities.serializers.commodities import CommodityOutput, CreateInput, UpdateInput
from apps.commodities.serializers.grades import CreateGradeInput, GradeOutput, UpdateGradeInput
from apps.commodities.serializers.imports import (
    ROWS,
    BulkUploadInput,
    BulkValidateInput,
    BulkValidateOutput,
    CommodityRow,
    VarietyRow,
    kind_asked,
)
from apps.commodities.serializers.parameters import (
    CreateParameterInput,
    CreateTemplateInput,
    ParameterOutput,
    TemplateOutput,
    UpdateParameterInput,
    UpdateTemplateInput,
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
from apps.commodities.serializers.varieties import CreateVarietyInput, UpdateVarietyInput, VarietyOutput

__all__ = [
    "ROWS",
    "BestCategoryAnswer",
    "BulkUploadInput",
    "BulkValidateInput",
    "BulkValidateOutput",
    "CodesAnswer",
    "CommissionOutput",
    "CommodityOutput",
    "CommodityRow",
    "ConfirmHsnMappingInput",
    "ConversionInput",
    "ConversionOutput",
    "CreateCommissionInput",
    "CreateGradeInput",
    "CreateHsnCodeInput",
    "CreateInput",
    "CreateParameterInput",
    "CreatePricingUnitInput",
    "CreateTemplateInput",
    "CreateUnitInput",
    "CreateVarietyInput",
    "DetectCategoryInput",
    "DraftQualityScheduleInput",
    "DraftUnitDefinitionInput",
    "EditQualityScheduleInput",
    "EditUnitDefinitionInput",
    "GradeOutput",
    "HsnCodeOutput",
    "HsnMappingOutput",
    "PackWeightOutput",
    "ParameterOutput",
    "ParametersAnswer",
    "PricingUnitOutput",
    "QualityScheduleOutput",
    "SetPackWeightInput",
    "SuggestHsnInput",
    "SuggestParametersInput",
    "TaxAnswer",
    "TaxRateInput",
    "TaxRateOutput",
    "TemplateOutput",
    "UnitOutput",
    "UpdateCommissionInput",
    "UpdateGradeInput",
    "UpdateHsnCodeInput",
    "UpdateInput",
    "UpdateParameterInput",
    "UpdatePricingUnitInput",
    "UpdateTemplateInput",
    "UpdateVarietyInput",
    "VarietyOutput",
    "VarietyRow",
    "kind_asked",
]
