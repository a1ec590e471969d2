"""Codes of the tariff and rates of tax over HTTP: read only, since staff keep them in the admin."""

from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from apps.commodities import capabilities
from apps.commodities.models import HsnCode, HsnMapping, TaxRate
from apps.commodities.serializers import HsnCodeOutput, HsnMappingOutput, TaxRateOutput
from apps.commodities.viewsets.base import DatedFilters, ReferenceViewSet
from erp.api import fields
from erp.api.faults import faults_from, invalid
from erp.api.filters import check_query
from erp.api.viewsets import RowViewSet
from erp.errors import Fault


class HsnCodeViewSet(ReferenceViewSet):
    """Codes of the tariff."""

    queryset = HsnCode.objects.all()
    serializer_class = HsnCodeOutput
    filters: ClassVar = {"code": ["exact", "in"], "status": ["exact", "in"]}
    search_fields: ClassVar = ["code", "description"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code"]


class HsnMappingViewSet(RowViewSet):
    """Names that staff have given a code. No partner sees them."""

    queryset = HsnMapping.objects.all()
    serializer_class = HsnMappingOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"hsn_code": ["exact", "in"]}
    search_fields: ClassVar = ["name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "name"]


class TaxRateViewSet(ReferenceViewSet):
    """Rates of goods and services tax."""

    queryset = TaxRate.objects.all()
    serializer_class = TaxRateOutput
    filterset_class = DatedFilters
    filters: ClassVar = {"hsn": ["exact", "in"], "condition": ["exact", "in"], "status": ["exact", "in"]}
    search_fields: ClassVar = ["hsn", "source"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "hsn", "valid_from"]


ASKED: dict[str, Any] = {
    "on_date": fields.DateField(),
    "condition": fields.ChoiceField(choices=TaxRate.Condition.choices),
}


def tax_asked(query: QueryDict) -> dict[str, Any]:
    """The date and the condition of a question for the tax, each None where it isn't said. Raises ``Invalid``."""
    check_query(query, ASKED)
    asked: dict[str, Any] = dict.fromkeys(ASKED)
    faults: list[Fault] = []
    for name, text in query.dict().items():
        try:
            asked[name] = fields.from_text(ASKED[name], str(text))
        except ValidationError as error:
            faults += faults_from(error.detail, f"/query/{name}")
    if faults:
        raise invalid(faults)
    return asked
