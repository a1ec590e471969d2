"""Schedules of premiums and discounts over HTTP, read only. Staff publish them in the portal."""

from typing import ClassVar

from apps.commodities.filters import DatedFilters
from apps.commodities.models.schedules import QualitySchedule
from apps.commodities.serializers.schedules import QualityScheduleOutput
from apps.commodities.viewsets.base import CommodityParts, ReferenceRows, ReferenceViewSet


class ScheduleRows(ReferenceRows):
    """Lists of schedules."""

    queryset = QualitySchedule.objects.with_lines()
    serializer_class = QualityScheduleOutput
    filterset_class = DatedFilters
    filters: ClassVar = {
        "code": ["exact", "in"],
        "contract_form": ["exact", "in"],
        "status": ["exact", "in"],
    }
    search_fields: ClassVar = ["code", "title"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "code", "schedule_version", "valid_from"]


class QualityScheduleViewSet(ReferenceViewSet, ScheduleRows):
    """Schedules of premiums and discounts."""

    filters: ClassVar = {"commodity_id": ["exact"], **ScheduleRows.filters}


class CommoditySchedulesViewSet(CommodityParts, ScheduleRows):
    """Schedules of premiums and discounts of one commodity."""
