"""How the feed of events grows and ends."""

from typing import Any

from django.db import connection

from apps.integrations.models import FeedEntry
from erp import events, locks
from erp.errors import Gone
from erp.outbox.wire import Envelope
from erp.services import service

PURGE_ROWS = 500


class CursorExpired(Gone):
    """The place in the feed is no longer kept."""


@service(
    public="the consumer tells the feed; nobody asks for it",
    machinery="the feed repeats what events have told",
)
def record(*, actor: Any, event: Envelope) -> None:
    """Append an event to the feed, once; events of rows that nobody can read are left out.

    The lock is held until the transaction ends. So positions become visible in their order, and none turns up
    behind a place that was handed out.
    """
    stream = event.stream
    if stream.aggregate_type not in events.registry.rows:
        return
    payload: dict[str, Any] = {}
    readers = frozenset({events.ANYBODY})
    if not event.is_gap:
        payload = event.payload()
        readers = events.readers_of(event.event_type, event.event_version, payload)
    entry = FeedEntry(
        event_id=event.event_id,
        type=event.event_type,
        event_version=event.event_version,
        aggregate_type=stream.aggregate_type,
        aggregate_id=stream.aggregate_id,
        sequence=event.sequence,
        occurred_at=event.occurred_at,
        data=payload,
        readers=sorted(readers),
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [locks.FEED])
    FeedEntry.objects.bulk_create([entry], ignore_conflicts=True)


@service(
    public="periodic work; nobody asks for it",
    machinery="the feed repeats what events have told",
)
def purge(*, actor: Any, before: int) -> int:
    """Delete a batch of the entries before a position; returns how many."""
    oldest = FeedEntry.objects.filter(position__lt=before).order_by("position").values("position")
    deleted, _ = FeedEntry.objects.filter(position__in=oldest[:PURGE_ROWS]).delete()
    return deleted
