"""Operations on the outbox: list, retry, skip, replay. Used by the commands and the admin."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet

from erp import access, clock, locks
from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid
from erp.logs import mask_text
from erp.outbox import capabilities, endpoint, events, wire
from erp.outbox.models import EventOutbox
from erp.outbox.publisher import MAX_BYTES, MAX_MESSAGES, BlockingPublisher
from erp.outbox.wakeup import wake
from erp.services import emit, service

log = structlog.get_logger(__name__)

COUNT_LIMIT: Final = 100_000  # figures stop counting here: what is beyond needs no exact number


@dataclass(frozen=True)
class Selection:
    """A selection of events: by id, type, aggregate, and time of their creation (both ends included)."""

    ids: tuple[UUID, ...] = ()
    types: tuple[str, ...] = ()
    aggregate_type: str = ""
    aggregate_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self != Selection()

    def rows(self, *statuses: str) -> QuerySet[EventOutbox]:
        """The rows of the outbox, in the order in which they were written."""
        rows = EventOutbox.objects.order_by("position")
        for lookup, value in (
            ("pk__in", self.ids),
            ("event_type__in", self.types),
            ("aggregate_type", self.aggregate_type),
            ("aggregate_id", self.aggregate_id),
            ("created_at__gte", self.since),
            ("created_at__lte", self.until),
            ("status__in", statuses),
        ):
            if value:
                rows = rows.filter(**{lookup: value})
        return rows

    def by_urgency(self, limit: int, *statuses: str) -> list[EventOutbox]:
        """At most ``limit`` rows: failed ones, waiting ones (both oldest first), published ones (newest first)."""
        status = EventOutbox.Status
        found: list[EventOutbox] = []
        for group, order in (
            ((status.FAILED,), "position"),
            ((status.PENDING, status.PROCESSING), "position"),
            ((status.PUBLISHED,), "-position"),
        ):
            if wanted := [each for each in group if not statuses or each in statuses]:
                found += self.rows(*wanted).order_by(order)[: limit - len(found)]
        return found

    def takes(self, event: wire.Envelope) -> bool:
        """Return whether an event without a row belongs to the selection."""
        return (
            (not self.ids or event.event_id in self.ids)
            and (not self.types or event.event_type in self.types)
            and self.aggregate_type in ("", event.stream.aggregate_type)
            and self.aggregate_id in (None, event.stream.aggregate_id)
            and (self.since is None or event.occurred_at >= self.since)
            and (self.until is None or event.occurred_at <= self.until)
        )


# Nothing here counts the table: each figure walks an index of what isn't published, and not beyond the limit.
_FIGURES: Final = """
WITH failed AS MATERIALIZED (
    SELECT aggregate_type, aggregate_id FROM event_outbox WHERE status = 'failed' LIMIT %(limit)s
), waiting AS MATERIALIZED (
    SELECT bucket, status FROM event_outbox WHERE status IN ('pending', 'processing') LIMIT %(limit)s
), owned AS MATERIALIZED (
    SELECT classid, objid::bigint AS bucket FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT (SELECT count(*) FROM waiting WHERE status = 'pending'),
       (SELECT count(*) FROM waiting WHERE status = 'processing'),
       (SELECT count(*) FROM failed),
       (SELECT count(*) FROM (SELECT DISTINCT * FROM failed) streams),
       (SELECT count(DISTINCT bucket) FROM waiting
        WHERE bucket NOT IN (SELECT bucket FROM owned WHERE classid = %(bucket)s::oid)),
       (SELECT count(*) FROM owned WHERE classid = %(present)s::oid),
       (SELECT count(*) FROM owned WHERE classid = %(bucket)s::oid),
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT created_at FROM event_outbox o
           WHERE status = 'pending' AND NOT EXISTS (
               SELECT 1 FROM failed f
               WHERE f.aggregate_type = o.aggregate_type AND f.aggregate_id = o.aggregate_id)
           ORDER BY created_at LIMIT 1
       )), 0)::float
"""


@dataclass(frozen=True)
class Figures:
    """The current figures of the outbox. ``oldest_seconds`` covers pending events whose stream is not blocked."""

    pending: int
    processing: int
    failed: int
    blocked_streams: int
    unowned_buckets: int
    relays: int
    owned_buckets: int
    oldest_seconds: float


def figures() -> Figures:
    """Read the figures; each count stops at 100,000."""
    with connection.cursor() as cursor:
        cursor.execute(
            _FIGURES, {"limit": COUNT_LIMIT, "bucket": locks.RELAY_BUCKET, "present": locks.RELAY_PRESENT}
        )
        return Figures(*cursor.fetchone())


def describe(row: EventOutbox, *, payload: bool = False) -> dict[str, Any]:
    """A row for people and ``--json``; the payload only when asked for."""
    document: dict[str, Any] = {
        "id": str(row.pk),
        "type": row.event_type,
        "version": row.event_version,
        "aggregate": {"type": row.aggregate_type, "id": str(row.aggregate_id)},
        "sequence": row.sequence,
        "status": row.status,
        "attempts": row.processing_attempts,
        "created_at": row.created_at.isoformat(),
        "processed_at": row.processed_at and row.processed_at.isoformat(),
        "last_error": row.last_error,
    }
    if payload:
        document |= {
            "payload": row.payload,
            "bucket": row.bucket,
            "position": row.position,
            "message_id": row.published_message_id,
            "correlation_id": row.correlation_id,
            "causation_id": row.causation_id,
            "actor_id": row.actor_id and str(row.actor_id),
            "not_before": row.not_before and row.not_before.isoformat(),
            "resolution": row.resolution
            and {
                "kind": row.resolution,
                "by": row.resolved_by,
                "at": row.resolved_at and row.resolved_at.isoformat(),
                "reason": row.resolution_reason,
            },
        }
    return document


class NotFailed(Conflict):
    """Only a failed event can be retried or skipped."""

    code = "outbox.not_failed"


@service(requires=capabilities.MANAGE, emits=[events.OutboxEventRetried], raises=[NotFailed])
def retry(event: EventOutbox, *, actor: Actor, reason: str, by: str = "") -> EventOutbox:
    """Reset the attempts of a failed event; the relay publishes it, then the events after it.

    ``by`` names the operator if called by a command. Raises NotFailed, and Invalid without a reason.
    """
    return _resolve(event, EventOutbox.Resolution.RETRIED, events.OutboxEventRetried, actor, reason, by)


@service(requires=capabilities.MANAGE, emits=[events.OutboxEventSkipped], raises=[NotFailed])
def skip(event: EventOutbox, *, actor: Actor, reason: str, by: str = "") -> EventOutbox:
    """Skip a failed event: a gap marker replaces it, and the events after it are published.

    ``by`` names the operator if called by a command. Raises NotFailed, and Invalid without a reason.
    """
    return _resolve(event, EventOutbox.Resolution.SKIPPED, events.OutboxEventSkipped, actor, reason, by)


def _resolve(
    row: EventOutbox,
    resolution: EventOutbox.Resolution,
    tells: type[events.Resolved],
    actor: Actor,
    reason: str,
    by: str,
) -> EventOutbox:
    if row.status != EventOutbox.Status.FAILED:
        raise NotFailed(f"Event {row.pk} is {row.status}, not failed.")
    row.status, row.resolution = EventOutbox.Status.PENDING, resolution
    row.processing_attempts, row.not_before = 0, None
    row.resolved_at = clock.now()
    row.resolved_by = operator(actor, by)
    row.resolution_reason = reason_given(reason)
    row.save(
        update_fields=[
            "status",
            "resolution",
            "processing_attempts",
            "not_before",
            "resolved_at",
            "resolved_by",
            "resolution_reason",
        ]
    )
    emit(
        tells(
            outbox_event_id=row.pk,
            event_type=row.event_type,
            event_version=row.event_version,
            subject_type=row.aggregate_type,
            subject_id=row.aggregate_id,
            sequence=row.sequence,
            reason=row.resolution_reason,
            by=by,
        )
    )
    transaction.on_commit(lambda: wake([row.bucket]), robust=True)
    return row


def operator(actor: Actor, by: str = "") -> str:
    """Return the deciding operator: the account named by a command, else the id of the person in the portal."""
    return (by or str(actor.pk or actor))[:200]


def reason_given(reason: str) -> str:
    """Return the reason as stored. Raises Invalid if it is empty."""
    if not reason.strip():
        raise Invalid(errors=[FieldError("/reason", "required", "Say why.")])
    return mask_text(reason.strip())


@access.require_capability("outbox.manage")
def replay(selection: Selection, *, topic: str, actor: Actor, by: str, reason: str) -> int:
    """Publish events again with the same ids and sequences, each stream in order; return how many.

    Consumers that have applied them drop them. ``topic`` is its short name. No row changes, so it is not a service.
    Raises Invalid without a reason, publisher.Poison and publisher.NotPublished; events published before
    the error stay published.
    """
    reason_given(reason)
    rows = selection.rows("published").order_by("aggregate_type", "aggregate_id", "sequence")
    log.warning("outbox.replay_started", topic=topic, by=by, reason=reason)
    count = 0
    with BlockingPublisher() as publisher:
        for request in _replays(rows.iterator(chunk_size=500)):
            publisher.publish(endpoint.topic_path(topic), request)
            count += len(request)
    log.warning("outbox.replayed", topic=topic, events=count, by=by, reason=reason)
    return count


def _replays(rows: Iterable[EventOutbox]) -> Iterator[list[Any]]:
    """Requests of one stream each, within Pub/Sub's limits."""
    for stream, group in groupby(rows, key=lambda row: wire.Stream(row.aggregate_type, row.aggregate_id)):
        request: list[Any] = []
        size = 0
        for row in group:
            data = json.dumps(row.payload, separators=(",", ":"), ensure_ascii=False)
            message = wire.encode(
                wire.envelope(row, row.pk, data, replay=True), wire.ordering_key(stream, row.bucket)
            )
            if request and (len(request) == MAX_MESSAGES or size + message.ByteSize() > MAX_BYTES):
                yield request
                request, size = [], 0
            request.append(message)
            size += message.ByteSize()
        yield request
