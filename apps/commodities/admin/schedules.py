"""Schedules of premiums and discounts in the staff portal."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.commodities import capabilities
from apps.commodities.admin.units import DRAFTED
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.models.schedules import QualitySchedule, words_of
from apps.commodities.serializers import schedules as serializers
from apps.commodities.services import schedules as services
from erp.admin import ServiceAdmin, Table


@admin.register(QualitySchedule)
class QualityScheduleAdmin(ServiceAdmin):
    """Premiums and discounts for quality. Another person approves them for publication."""

    views = capabilities.VIEW
    creates, updates = services.draft_quality_schedule, services.edit_quality_schedule
    runs: ClassVar = [services.submit_quality_schedule, services.withdraw_quality_schedule]
    inputs: ClassVar = {
        services.draft_quality_schedule: serializers.DraftQualityScheduleInput,
        services.edit_quality_schedule: serializers.EditQualityScheduleInput,
    }
    codes: ClassVar = {"parameter": QualityParameter}
    list_display: ClassVar = [
        "code",
        "schedule_version",
        "title",
        "commodity",
        "contract_form",
        "valid_from",
        "valid_to",
        "status",
    ]
    list_filter: ClassVar = ["status", "contract_form", "commodity"]
    list_select_related: ClassVar = ["commodity"]
    search_fields: ClassVar = ["code", "title", "source"]
    ordering: ClassVar = ["code", "-schedule_version"]
    details: ClassVar = [
        "commodity",
        "code",
        "schedule_version",
        "contract_form",
        "title",
        "mode",
        "pricing_unit",
        "cap_percent",
        *DRAFTED,
    ]

    def tables(self, request: HttpRequest, row: QualitySchedule) -> list[Table]:
        lines = [
            (
                line.pop("order"),
                line.pop("parameter"),
                line.pop("method"),
                line.pop("form"),
                words_of(line),
            )
            for line in row.lines
        ]
        return [Table("Lines", ["Order", "Parameter", "Method", "Form", "Terms"], lines)]
