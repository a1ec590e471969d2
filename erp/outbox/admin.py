"""The outbox as operators see it: by status, and each stream in its sequence. Nothing is changed here."""

from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from erp import capabilities
from erp.admin import ServiceAdmin
from erp.admin.history import about
from erp.outbox.models import EventOutbox

MOST_FOUND = 1_000  # events of one search


@admin.register(EventOutbox)
class EventOutboxAdmin(ServiceAdmin):
    """Events from commit to publication."""

    views = capabilities.VIEW_TRAIL
    list_display: ClassVar = [
        "event_type",
        "event_version",
        "stream",
        "sequence",
        "status",
        "created_at",
        "processed_at",
        "processing_attempts",
    ]
    list_filter: ClassVar = ["status", "resolution"]
    search_fields: ClassVar = ["aggregate_id"]
    search_help_text = "Id of an event, of the row it is about, or of the request's record"

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """The newest first (ids rise with time); a stream in its sequence."""
        return ("sequence",) if "aggregate_id" in request.GET else ("-id",)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Rows by an id: what has an index, and nothing else."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            key = UUID(term)
        except ValueError:
            return queryset.none(), False
        # Apart, each finds its index; as one condition they would read the table.
        places = (
            EventOutbox.objects.filter(pk=key),
            about(key),
            EventOutbox.objects.filter(causation_id=str(key)),
        )
        found = {pk for place in places for pk in place.values_list("pk", flat=True)[:MOST_FOUND]}
        return queryset.filter(pk__in=found), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in ("aggregate_type", "aggregate_id") or super().lookup_allowed(lookup, value, request)

    @admin.display(description="stream")
    def stream(self, row: EventOutbox) -> str:
        """All events of the same row, in sequence."""
        return format_html(
            '<a class="text-link" href="{}?{}">{} …{}</a>',
            reverse("admin:outbox_eventoutbox_changelist"),
            urlencode({"aggregate_type": row.aggregate_type, "aggregate_id": row.aggregate_id}),
            row.aggregate_type,
            str(row.aggregate_id)[-12:],
        )
