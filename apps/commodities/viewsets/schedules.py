"""Schedules of premiums and discounts over HTTP: read only, since two people publish them in the admin."""

from typing import Any, ClassVar

import django_filters

from apps.commodities.models import QualitySchedule
from apps.commodities.serializers import QualityScheduleOutput
from apps.commodities.viewsets.base import CommodityParts, ReferenceRows, ReferenceViewSet


class DatedFilters(django_filters.FilterSet):  # type: ignore[misc]
    """What a list of rows that hold between two dates can be asked beyond its columns."""

    on_date = django_filters.DateFilter(
        label="Rows that hold on this date.", method="holding", input_formats=["%Y-%m-%d"]
    )

    def holding(self, rows: Any, name: str, day: Any) -> Any:
        """Rows that hold on ``day``."""
        return rows.on(day)


class ScheduleRows(ReferenceRows):
    """How schedules are listed."""

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

    collection = "quality-schedules"
