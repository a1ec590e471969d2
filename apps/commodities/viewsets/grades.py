"""Grades over HTTP."""

from typing import ClassVar

from apps.commodities import services
from apps.commodities.models import Grade
from apps.commodities.serializers import CreateGradeInput, GradeOutput, UpdateGradeInput
from apps.commodities.viewsets.base import CommodityParts, ReferenceRows, ReferenceViewSet
from erp.api.endpoints import endpoint


class GradeRows(ReferenceRows):
    """How grades are listed."""

    queryset = Grade.objects.all()
    serializer_class = GradeOutput
    filters: ClassVar = {"status": ["exact", "in"]}
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "name", "rank"]


class GradeViewSet(ReferenceViewSet, GradeRows):
    """Grades of commodities."""

    filters: ClassVar = {"commodity_id": ["exact"], **GradeRows.filters}

    create = endpoint(services.create_grade, CreateGradeInput)
    update = endpoint(services.update_grade, UpdateGradeInput, if_match="required")


class CommodityGradesViewSet(CommodityParts, GradeRows):
    """Grades of one commodity."""
