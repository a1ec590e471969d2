"""Executed requests for operators: principal, route, time; never a response body or a key."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from erp import capabilities
from erp.admin import ServiceAdmin, Table
from erp.admin.history import caused_by
from erp.idempotency.models import Record


@admin.register(Record)
class RecordAdmin(ServiceAdmin):
    """Idempotency records with the events that each request caused."""

    views = capabilities.VIEW_TRAIL
    list_display: ClassVar = [
        "id",
        "created_at",
        "method",
        "route",
        "status",
        "principal",
        "secret",
        "expires_at",
    ]
    list_filter: ClassVar = ["secret"]
    search_fields: ClassVar = ["principal__exact", "route__exact"]
    search_help_text = "A principal (user:…) or a route"
    ordering: ClassVar = ["-id"]
    details: ClassVar = [
        "principal",
        "method",
        "route",
        "status",
        "secret",
        "body_wiped",
        "created_at",
        "body_expires_at",
        "expires_at",
    ]

    def tables(self, request: HttpRequest, row: Record) -> list[Table]:
        lines = [
            (
                line.at,
                format_html('<a class="text-link" href="{}">{}</a>', _event(line.id), line.event),
                line.sequence,
                line.actor,
                line.status,
            )
            for line in caused_by(row.pk)
        ]
        return [Table("Events that it caused", ["When", "Event", "No.", "By", "Delivery"], lines)]


def _event(key: object) -> str:
    return reverse("admin:outbox_eventoutbox_change", args=[key])
