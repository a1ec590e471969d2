"""Services of the event feed."""

from django.db import connection

from apps.integrations.models import FeedEntry
from erp import events, locks
from erp.access import Actor
from erp.errors import Gone
from erp.outbox.wire import Envelope
from erp.services import service

PURGE_ROWS = 500
# The position, a column default, is assigned to the row after the lock is acquired.
_APPEND = """
WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(%s, 0))
INSERT INTO integration_feedentry (
    event_id, type, event_version, aggregate_type, aggregate_id, sequence, occurred_at, data, readers, recorded_at
)
SELECT %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s::uuid[], clock_timestamp() FROM locked
ON CONFLICT (event_id) DO NOTHING
"""


class CursorExpired(Gone):
    """The cursor has expired: its event is no longer stored."""


@service(
    public="called by the consumer of events only",
    machinery="the feed repeats events",
)
def record(*, actor: Actor, event: Envelope) -> None:
    """Append an event to the feed, once. Events of rows without readers are left out.

    The lock is held until the transaction ends, so that positions become visible in their order and no entry appears
    before a cursor that a client already has.
    """
    stream = event.stream
    if stream.aggregate_type not in events.registry.rows:
        return
    readers = frozenset({events.ANYBODY})
    if not event.is_gap:
        readers = events.readers_of(event.event_type, event.event_version, event.payload())
    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND,
            [
                locks.FEED,
                event.event_id,
                event.event_type,
                event.event_version,
                stream.aggregate_type,
                stream.aggregate_id,
                event.sequence,
                event.occurred_at,
                event.data,
                sorted(readers),
            ],
        )


@service(
    public="periodic task",
    machinery="the feed repeats events",
)
def purge(*, actor: Actor, before: int) -> int:
    """Delete a batch of entries before a position; return how many."""
    oldest = FeedEntry.objects.filter(position__lt=before).order_by("position").values("position")
    deleted, _ = FeedEntry.objects.filter(position__in=oldest[:PURGE_ROWS]).delete()
    return deleted
