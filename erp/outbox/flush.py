"""Write the buffered events of a unit of work: streams and outbox rows in one statement (core §2)."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from erp.ids import uuid7
from erp.outbox.wakeup import wake

# Streams are upserted in sorted order, so two emitters over shared streams can't deadlock. The row lock that
# the upsert takes makes sequences gapless and commit-ordered.
FLUSH = """
WITH input AS (
    SELECT *, row_number() OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY ordinal) AS nth
    FROM unnest(%s::uuid[], %s::text[], %s::int[], %s::jsonb[], %s::text[], %s::uuid[], %s::smallint[])
         WITH ORDINALITY
         AS i (id, event_type, event_version, payload, aggregate_type, aggregate_id, bucket, ordinal)
), streams AS (
    INSERT INTO event_stream AS s (aggregate_type, aggregate_id, last_sequence, created_at)
    SELECT aggregate_type, aggregate_id, count(*), clock_timestamp()
    FROM input GROUP BY aggregate_type, aggregate_id ORDER BY aggregate_type, aggregate_id
    ON CONFLICT (aggregate_type, aggregate_id)
    DO UPDATE SET last_sequence = s.last_sequence + EXCLUDED.last_sequence
    RETURNING aggregate_type, aggregate_id, last_sequence
), totals AS (
    SELECT aggregate_type, aggregate_id, count(*) AS total FROM input GROUP BY 1, 2
)
INSERT INTO event_outbox (
    id, event_type, event_version, payload, aggregate_type, aggregate_id, bucket, sequence, created_at, status,
    processing_attempts, correlation_id, causation_id, traceparent, actor_id, published_message_id,
    resolved_by, resolution_reason
)
SELECT i.id, i.event_type, i.event_version, i.payload, i.aggregate_type, i.aggregate_id, i.bucket,
       s.last_sequence - t.total + i.nth, clock_timestamp(), 'pending', 0, %s, %s, %s, %s, '', '', ''
FROM input i
JOIN streams s USING (aggregate_type, aggregate_id)
JOIN totals t USING (aggregate_type, aggregate_id)
ORDER BY i.ordinal
"""


class Buffered(NamedTuple):
    """An event that waits for the end of its unit of work."""

    event_type: str
    event_version: int
    payload: dict[str, Any]
    aggregate_type: str
    aggregate_id: UUID


def bucket_of(aggregate_type: str, aggregate_id: UUID) -> int:
    """Bucket of a stream: a stable hash, the same in every process and release."""
    digest = hashlib.sha256(f"{aggregate_type}:{aggregate_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % int(settings.OUTBOX_BUCKETS)


def flush(
    events: Sequence[Buffered],
    *,
    correlation_id: str = "",
    causation_id: str = "",
    traceparent: str = "",
    actor_id: UUID | None = None,
) -> None:
    """Insert the events and wake the relay once the transaction has committed."""
    if not events:
        return
    waiting = _waiting.get()
    values = (events, correlation_id, causation_id, traceparent, actor_id)
    if waiting is None:
        _insert("", (), *values)
    else:
        waiting.append(values)


_waiting: ContextVar[list[Any] | None] = ContextVar("erp_waiting_flush", default=None)


@contextmanager
def flush_with_statement() -> Iterator[Callable[[str, Sequence[Any]], None]]:
    """Put off the flush of the one unit of work in the block; the function yielded runs it with one more statement.

    Both take one round trip. Without events the statement runs alone.
    """
    waiting: list[Any] = []

    def execute(statement: str, parameters: Sequence[Any]) -> None:
        if waiting:
            (values,) = waiting
            _insert(f"stored AS ({statement}), ", parameters, *values)
        else:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)

    token = _waiting.set(waiting)
    try:
        yield execute
    finally:
        _waiting.reset(token)


def _insert(
    before: str,
    parameters: Sequence[Any],
    events: Sequence[Buffered],
    correlation_id: str,
    causation_id: str,
    traceparent: str,
    actor_id: UUID | None,
) -> None:
    buckets = [bucket_of(e.aggregate_type, e.aggregate_id) for e in events]
    with connection.cursor() as cursor:
        cursor.execute(
            FLUSH.replace("WITH ", f"WITH {before}", 1),
            [
                *parameters,
                [uuid7() for _ in events],
                [e.event_type for e in events],
                [e.event_version for e in events],
                [json.dumps(e.payload, separators=(",", ":")) for e in events],
                [e.aggregate_type for e in events],
                [e.aggregate_id for e in events],
                buckets,
                correlation_id,
                causation_id,
                traceparent,
                actor_id,
            ],
        )
    woken = frozenset(buckets)
    transaction.on_commit(lambda: wake(woken), robust=True)
