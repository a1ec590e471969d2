"""How the feed of events grows and ends."""

from django.db import connection

from apps.integrations.models import FeedEntry
from erp import events, locks
from erp.access import Actor
from erp.errors import Gone
from erp.outbox.wire import Envelope
from erp.services import service

PURGE_ROWS = 500
# The position, a default, is taken for the row that comes out of the lock: not before.
_APPEND = """
WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(%s, 0))
INSERT INTO integration_feedentry (
    event_id, type, event_version, aggregate_type, aggregate_id, sequence, occurred_at, data, readers, recorded_at
)
SELECT %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s::uuid[], clock_timestamp() FROM locked
ON CONFLICT (event_id) DO NOTHING
"""


class CursorExpired(Gone):
    """The place in the feed is no longer kept."""


@service(
    public="the consumer tells the feed; nobody asks for it",
    machinery="the feed repeats what events have told",
)
def record(*, actor: Actor, event: Envelope) -> None:
    """Append an event to the feed, once; events of rows that nobody can read are left out.

    The lock is held until the transaction ends. So positions become visible in their order, and none turns up
    behind a place that was handed out.
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
    public="periodic work; nobody asks for it",
    machinery="the feed repeats what events have told",
)
def purge(*, actor: Actor, before: int) -> int:
    """Delete a batch of the entries before a position; returns how many."""
    oldest = FeedEntry.objects.filter(position__lt=before).order_by("position").values("position")
    deleted, _ = FeedEntry.objects.filter(position__in=oldest[:PURGE_ROWS]).delete()
    return deleted
