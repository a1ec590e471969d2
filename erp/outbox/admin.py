"""Admin pages of the outbox and the dead letters, with the operators' actions on stuck events.

Rows change through services; a decision on a dead letter is executed here after its commit.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar, Final
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.db import Error as DatabaseFailure
from django.db.models import Count, Exists, F, Max, OuterRef
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from erp import capabilities, clock, metrics
from erp.admin import ServiceAdmin, Table
from erp.admin.charts import Chart, by_day, charts
from erp.admin.history import about, person
from erp.admin.site import HealthSign, add_page, health_signs
from erp.api import fields
from erp.api.serializers import Input
from erp.outbox import deadletters, operations, overview
from erp.outbox.models import DeadLetter, EventOutbox
from erp.outbox.topology import Unreachable

MOST_FOUND: Final = 1_000  # events of one search
# A page waits so long for the first dead letter and for each further one, and holds so many: each may have 10 MB.
FIRST_SECONDS: Final = 1.5
NEXT_SECONDS: Final = 0.3
MOST_LETTERS: Final = 100
BEHIND: Final = 50  # events listed behind a failed one


SLOW, STUCK = 10, 60  # seconds that an event has waited


def _signs() -> Iterator[HealthSign]:
    now = operations.figures()
    age = now.oldest_seconds
    colour = "danger" if age > STUCK else "warning" if age > SLOW else "success"
    yield HealthSign("Oldest unpublished event", f"{age:.0f} s" if age else "none", colour)
    yield HealthSign("Failed events", str(now.failed), "danger" if now.failed else "success")
    yield HealthSign("Relays", str(now.relays), "success" if now.relays else "danger")
    letters = overview.read_cached(metrics.seen, metrics.DEAD_LETTERS)
    if letters is None:
        yield HealthSign("Dead letters", "not known", "warning")
    else:
        yield HealthSign("Dead letters", f"{letters[0]:.0f}", "danger" if letters[0] else "success")


health_signs.append(_signs)


def _charts() -> list[Chart]:
    """Events published, and the longest that one waited, by day on which they came to be."""
    published = EventOutbox.objects.filter(status=EventOutbox.Status.PUBLISHED)
    waited = Max(F("processed_at") - F("created_at"))
    days = by_day(published, "created_at", count=Count("pk"), waited=waited)
    return [
        Chart("Events published", "events", {line["day"]: line["count"] for line in days}),
        Chart(
            "Longest wait of an event",
            "s",
            {line["day"]: round(line["waited"].total_seconds()) for line in days if line["waited"]},
        ),
    ]


charts.append(_charts)


class ReasonInput(Input):
    """The reason, stored with the decision."""

    reason = fields.CharField(min_length=3, max_length=500, multiline=True)


class Age(admin.SimpleListFilter):
    """Filter for events by age."""

    title = "age"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("60", "over a minute"), ("3600", "over an hour"), ("86400", "over a day")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() not in ("60", "3600", "86400"):
            return queryset
        return queryset.filter(created_at__lt=clock.now() - timedelta(seconds=int(self.value() or 0)))


class Blocked(admin.SimpleListFilter):
    """Filter for events of streams blocked by a failed event, with that event."""

    title = "stream"
    parameter_name = "stream"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("blocked", "blocked")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() != "blocked":
            return queryset
        failed = EventOutbox.objects.filter(
            status="failed", aggregate_type=OuterRef("aggregate_type"), aggregate_id=OuterRef("aggregate_id")
        )
        return queryset.filter(Exists(failed), status__in=["pending", "processing", "failed"])


class _Decided(ServiceAdmin):
    """Base page for rows on which operators decide, with a reason."""

    views = capabilities.VIEW_TRAIL

    def get_details(self, request: HttpRequest, row: Any) -> list[Any]:
        return ["decided_by" if name == "resolved_by" else name for name in super().get_details(request, row)]

    @admin.display(description="resolved by")
    def decided_by(self, row: Any) -> str:
        """Name of the operator who decided."""
        return person(row.resolved_by)


add_page("relays/", overview.view, name="relays")


@admin.register(EventOutbox)
class EventOutboxAdmin(_Decided):
    """Events from commit to publication."""

    runs: ClassVar = [operations.retry, operations.skip]
    bulk: ClassVar = [operations.retry]
    inputs: ClassVar = {operations.retry: ReasonInput, operations.skip: ReasonInput}
    list_display: ClassVar = [
        "event",
        "stream",
        "sequence",
        "status",
        "created_at",
        "processed_at",
        "attempts",
    ]
    list_filter: ClassVar = ["status", Age, Blocked, "resolution"]
    drill_downs: ClassVar = ["aggregate_type", "aggregate_id"]
    search_fields: ClassVar = ["aggregate_id"]
    search_help_text = "Id of an event, of the row it is about, or of the request's record"

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """The newest first (ids rise with time); a stream in its sequence."""
        return ("sequence",) if "aggregate_id" in request.GET else ("-id",)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Search rows by id, using indexed columns only."""
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

    @admin.display(description="event")
    def event(self, row: EventOutbox) -> str:
        """Type and version."""
        return f"{row.event_type} v{row.event_version}"

    @admin.display(description="attempts")
    def attempts(self, row: EventOutbox) -> int:
        """Number of refusals."""
        return row.processing_attempts

    @admin.display(description="stream")
    def stream(self, row: EventOutbox) -> str:
        """All events of the same row, in sequence."""
        return stream_link(row.aggregate_type, row.aggregate_id)

    def tables(self, request: HttpRequest, row: EventOutbox) -> list[Table]:
        """Events blocked by a failed event."""
        if row.status != EventOutbox.Status.FAILED:
            return []
        behind = EventOutbox.objects.filter(
            aggregate_type=row.aggregate_type, aggregate_id=row.aggregate_id, sequence__gt=row.sequence
        )
        lines = [
            (later.sequence, f"{later.event_type} v{later.event_version}", later.status, later.created_at)
            for later in behind.order_by("sequence")[:BEHIND]
        ]
        return [Table("Waiting behind it", ["No.", "Event", "Status", "Since"], lines)]


@admin.register(DeadLetter)
class DeadLetterAdmin(_Decided):
    """Finally refused events in the dead-letter subscription."""

    empty = "No event was finally refused: there is nothing to do."
    runs: ClassVar = [deadletters.redrive, deadletters.discard]
    bulk: ClassVar = [deadletters.redrive]
    inputs: ClassVar = {deadletters.redrive: ReasonInput, deadletters.discard: ReasonInput}
    list_display: ClassVar = [
        "key",
        "event",
        "refused_by",
        "attempts",
        "reason",
        "status",
        "failed_at",
    ]
    list_filter: ClassVar = ["status", "kind"]
    ordering: ClassVar = ["-status", "-failed_at"]  # what waits for a decision comes first
    search_fields: ClassVar = ["key__exact", "event_type__startswith"]
    search_help_text = "Id of an event, or the beginning of a type"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the list after reading the subscription; while Pub/Sub is unreachable, show the last known state."""
        if request.method == "GET" and self.has_view_permission(request):
            self.check_query(request)
            try:
                with deadletters.held(MOST_LETTERS, first=FIRST_SECONDS, more=NEXT_SECONDS):
                    pass
            except Unreachable as error:
                messages.error(
                    request, f"Pub/Sub is not reachable now ({error}). The list shows the last known state."
                )
        return super().changelist_view(request, extra_context)

    def run_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Confirm and store the decision, then execute it."""
        answer = super().run_view(request, object_id, verb)
        if answer.status_code == 302:
            self._carry_out(request)
        return answer

    def run_many_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """The same for several rows."""
        answer = super().run_many_view(request, verb)
        if request.method == "POST" and answer.status_code == 200:
            self._carry_out(request)
        return answer

    def _carry_out(self, request: HttpRequest) -> None:
        """Execute decisions outside of any transaction. The periodic task retries what fails."""
        if not deadletters.undone():
            return
        disabled_reason = "another operator has it open, or it no longer exists"
        try:
            with deadletters.held(first=FIRST_SECONDS, more=NEXT_SECONDS) as letters:
                letters.carry_out_decisions()
        except (Unreachable, DatabaseFailure) as error:
            disabled_reason = f"{type(error).__name__}: {error}"
        if deadletters.undone():
            messages.warning(
                request,
                f"Decided, but not executed yet ({disabled_reason}). It is retried every five minutes.",
            )

    @admin.display(description="what")
    def event(self, row: DeadLetter) -> str:
        """Type, place in its stream, and a link to all events of the stream."""
        if row.aggregate_id is None:
            return "no event"
        stream = stream_link(row.aggregate_type, row.aggregate_id)
        return format_html("{} #{} of {}", row.event_type, row.sequence, stream)

    @admin.display(description="reason")
    def reason(self, row: DeadLetter) -> str:
        """Reason of the last refusal."""
        return row.last_error[:200] or deadletters.NO_REASON

    @admin.display(description="source", ordering="subscription")
    def refused_by(self, row: DeadLetter) -> str:
        """The subscription or the relay that refused it, and the kind."""
        return f"{row.subscription or 'relay'} ({row.kind})"


def stream_link(aggregate_type: str, aggregate_id: UUID) -> str:
    """A link to all events of a stream, in sequence."""
    return format_html(
        '<a class="text-link" href="{}?{}">{} …{}</a>',
        reverse("admin:outbox_eventoutbox_changelist"),
        urlencode({"aggregate_type": aggregate_type, "aggregate_id": aggregate_id}),
        aggregate_type,
        str(aggregate_id)[-12:],
    )
