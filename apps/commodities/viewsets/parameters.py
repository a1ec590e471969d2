"""Quality parameters and their templates over HTTP."""

from typing import ClassVar

from apps.commodities import services
from apps.commodities.models import ParameterTemplate, QualityParameter
from apps.commodities.serializers import (
    CreateParameterInput,
    CreateTemplateInput,
    ParameterOutput,
    TemplateOutput,
    UpdateParameterInput,
    UpdateTemplateInput,
)
from apps.commodities.viewsets.base import CommodityParts, ReferenceRows, ReferenceViewSet
from erp.api.endpoints import endpoint


class ParameterRows(ReferenceRows):
    """How quality parameters are listed."""

    queryset = QualityParameter.objects.all()
    serializer_class = ParameterOutput
    filters: ClassVar = {
        "code": ["exact", "in"],
        "is_mandatory": ["exact"],
        "status": ["exact", "in"],
    }
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "name", "display_order"]


class ParameterViewSet(ReferenceViewSet, ParameterRows):
    """Quality parameters of commodities."""

    filters: ClassVar = {"commodity_id": ["exact"], **ParameterRows.filters}

    create = endpoint(services.create_parameter, CreateParameterInput)
    update = endpoint(
        services.update_parameter,
        UpdateParameterInput,
        if_match="required",
    )


class CommodityParametersViewSet(CommodityParts, ParameterRows):
    """Quality parameters of one commodity."""


class TemplateViewSet(ReferenceViewSet):
    """Quality parameters to copy, by category of commodities."""

    queryset = ParameterTemplate.objects.all()
    serializer_class = TemplateOutput
    filters: ClassVar = {
        "category": ["exact", "in"],
        "code": ["exact", "in"],
        "status": ["exact", "in"],
    }
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "name", "display_order"]

    create = endpoint(services.create_template, CreateTemplateInput)
    update = endpoint(
        services.update_template,
        UpdateTemplateInput,
        if_match="required",
    )
