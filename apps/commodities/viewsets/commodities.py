"""Commodities over HTTP."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.commodities import capabilities, tax
from apps.commodities.exact import UnitDimension
from apps.commodities.filters import parse_tax_query
from apps.commodities.lookups import conversion, suggestions
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import TaxRate
from apps.commodities.serializers.commodities import (
    CommodityCreateInput,
    CommodityOutput,
    CommodityUpdateInput,
)
from apps.commodities.serializers.pricing import ConversionInput, ConversionOutput
from apps.commodities.serializers.suggestions import (
    BestCategoryAnswer,
    CodesAnswer,
    DetectCategoryInput,
    ParametersAnswer,
    SuggestHsnInput,
    SuggestParametersInput,
)
from apps.commodities.serializers.tax import TaxAnswer
from apps.commodities.services import commodities, factors, rules
from apps.commodities.viewsets.base import ReferenceViewSet
from apps.commodities.viewsets.imports import Tables
from erp.api.endpoints import endpoint, lookup
from erp.api.viewsets import read


class CommodityViewSet(Tables, ReferenceViewSet):
    """Commodities."""

    queryset = Commodity.objects.all()
    serializer_class = CommodityOutput
    filters: ClassVar = {
        "code": ["exact", "in"],
        "category": ["exact", "in"],
        "hsn_code": ["exact"],
        "status": ["exact", "in"],
    }
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "name"]

    read_problems = (tax.NoTaxRate, tax.ConditionNeeded)

    create = endpoint(
        commodities.create,
        CommodityCreateInput,
    )
    update = endpoint(
        commodities.update,
        CommodityUpdateInput,
        if_match="required",
    )
    calculate_conversion = lookup(
        conversion.calculate_conversion,
        ConversionInput,
        requires=capabilities.VIEW,
        detail=True,
        output=ConversionOutput,
        raises=[UnitDimension, rules.FieldsContradict, factors.NoDefinition, factors.WeightNeeded],
    )
    detect_category = lookup(
        suggestions.detect_category,
        DetectCategoryInput,
        requires=capabilities.CREATE,
        path="ai/detect-category",
        read_only=False,
        output=BestCategoryAnswer,
    )
    suggest_hsn = lookup(
        suggestions.suggest_hsn,
        SuggestHsnInput,
        requires=capabilities.CREATE,
        path="ai/suggest-hsn",
        read_only=False,
        output=CodesAnswer,
    )
    suggest_parameters = lookup(
        suggestions.suggest_parameters,
        SuggestParametersInput,
        requires=capabilities.MANAGE_SPECIFICATIONS,
        detail=True,
        path="ai/suggest-parameters",
        read_only=False,
        output=ParametersAnswer,
    )

    @extend_schema(
        parameters=[
            OpenApiParameter("on_date", {"type": "string", "format": "date"}, description="Default: today."),
            OpenApiParameter("condition", {"type": "string", "enum": TaxRate.Condition.values}),
        ],
        responses=TaxAnswer,
        summary="Calculate the tax on a commodity",
        filters=False,
    )
    @read("tax", query=("on_date", "condition"))
    def tax_on_date(self, request: Request, pk: Any = None) -> Response:
        """Return the GST rate on a date, under a condition where the rate depends on one."""
        commodity = self.row_of(self.queryset, pk)
        found = suggestions.tax_of(commodity, **parse_tax_query(request.query_params))
        return Response(TaxAnswer(found).data)
