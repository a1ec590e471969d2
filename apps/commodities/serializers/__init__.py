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
from apps.commodities.serializers.terms import (
    BARGAIN_TYPE,
    DELIVERY_TERMS,
    PASSING_TERMS,
    PAYMENT_TERMS,
    TRADE_TYPE,
    WEIGHMENT_TERMS,
)
from apps.commodities.serializers.units import (
    CreateUnitInput,
    DraftUnitDefinitionInput,
    EditUnitDefinitionInput,
)
from apps.commodities.serializers.varieties import CreateVarietyInput, UpdateVarietyInput, VarietyOutput

__all__ = [
    "ROWS",
    "BulkUploadInput",
    "BulkValidateInput",
    "BulkValidateOutput",
    "CommodityRow",
    "VarietyRow",
    "kind_asked",
    "BARGAIN_TYPE",
    "DELIVERY_TERMS",
    "PASSING_TERMS",
    "PAYMENT_TERMS",
    "TRADE_TYPE",
    "WEIGHMENT_TERMS",
    "BestCategoryAnswer",
    "CodesAnswer",
    "CommissionOutput",
    "CommodityOutput",
    "ConfirmHsnMappingInput",
    "CreateCommissionInput",
    "CreateGradeInput",
    "CreateHsnCodeInput",
    "CreateInput",
    "CreateParameterInput",
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
    "ParameterOutput",
    "ParametersAnswer",
    "QualityScheduleOutput",
    "SuggestHsnInput",
    "SuggestParametersInput",
    "TaxAnswer",
    "TaxRateInput",
    "TaxRateOutput",
    "TemplateOutput",
    "UpdateCommissionInput",
    "UpdateGradeInput",
    "UpdateHsnCodeInput",
    "UpdateInput",
    "UpdateParameterInput",
    "UpdateTemplateInput",
    "UpdateVarietyInput",
    "VarietyOutput",
]
