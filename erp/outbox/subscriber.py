"""The consumer applies each event once, in stream order, in one transaction with its effects (core §3)."""

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connection
from redis.exceptions import RedisError

from erp import health, logs
from erp.access import SYSTEM
from erp.events import Event, registry
from erp.ids import uuid7
from erp.outbox import endpoint, metrics, wire
from erp.outbox.pull import Delivery, Puller
from erp.outbox.wire import Envelope, MalformedMessage, Stream
from erp.services import unit_of_work
from erp.trail import context as trail

log = structlog.get_logger(__name__)

SWEEP_SECONDS: Final = 5.0
GAP_SECONDS: Final = 60  # a gap older than this is an alarm
QUICK_RETRIES: Final = 3  # of a deadlock or a lost connection, before it counts as the handler's failure
STOP_SECONDS: Final = 20.0  # to settle pulled messages when the process is stopped
# Pub/Sub may hold back what follows in a stream until then: acknowledge soon, in few calls.
_ACK_BATCH: Final = 100
_ACK_SECONDS: Final = 0.05


class Handler(Protocol):
    """A module's reaction to an event: calls services as SYSTEM, in the transaction of its inbox row."""

    def __call__(self, event: Any, /, *, meta: Envelope) -> None: ...


class EventListener(Protocol):
    """A reaction to every event of every type, and to gap markers, in the same transaction.

    Listeners run last, after the event's handlers, so that their locks are held for the shortest time.
    """

    def __call__(self, event: Envelope, /) -> None: ...


_handlers: dict[str, list[tuple[type[Event], Handler]]] = {}
_listeners: list[EventListener] = []


H = TypeVar("H", bound=Handler)
L = TypeVar("L", bound=EventListener)


def handles(*events: type[Event]) -> Callable[[H], H]:
    """Register a handler of these events (newest versions; older ones arrive upcast)."""

    def register(handler: H) -> H:
        for event in events:
            _handlers.setdefault(event.__event__.name, []).append((event, handler))
        return handler

    return register


def handles_all(listener: L) -> L:
    """Register a listener for every event as received; its payload may be of an older version."""
    _listeners.append(listener)
    return listener


def handlers(event_type: str) -> list[Handler]:
    """The handlers of an event type, in order of registration."""
    return [handler for _, handler in _handlers.get(event_type, ())]


def seal() -> None:
    """Refuse a handler for a version that is not the newest, because it would never be called."""
    for name, entries in _handlers.items():
        for event, handler in entries:
            if registry.latest(name) is not event:
                raise ImproperlyConfigured(
                    f"{getattr(handler, '__qualname__', handler)} handles version {event.__event__.version} "
                    f"of {name}, the newest is {registry.latest(name).__event__.version}"
                )


class DeliveryOutcome(StrEnum):
    """The outcome of a received event."""

    APPLIED = "applied"
    REPEAT = "repeat"
    PARKED = "parked"


_START: Final = """
INSERT INTO event_subscriber (subscription, started_at) VALUES (%s, clock_timestamp()) ON CONFLICT DO NOTHING
"""
# A stream begins at 1. Only one older than the subscription may begin later: its past was never ours.
_BEGIN: Final = """
INSERT INTO event_cursor (subscription, aggregate_type, aggregate_id, applied)
SELECT %(subscription)s, %(type)s, %(id)s, CASE WHEN EXISTS (
    SELECT 1 FROM event_stream s JOIN event_subscriber b ON b.subscription = %(subscription)s
    WHERE s.aggregate_type = %(type)s AND s.aggregate_id = %(id)s AND s.created_at < b.started_at
) THEN %(sequence)s - 1 ELSE 0 END
ON CONFLICT DO NOTHING
"""
_LOCK: Final = """
SELECT applied FROM event_cursor
WHERE subscription = %(subscription)s AND aggregate_type = %(type)s AND aggregate_id = %(id)s FOR UPDATE
"""
_ADVANCE: Final = """
UPDATE event_cursor SET applied = %(sequence)s
WHERE subscription = %(subscription)s AND aggregate_type = %(type)s AND aggregate_id = %(id)s
"""
_RECEIVED: Final = """
INSERT INTO event_inbox (subscription, event_id, applied_at)
VALUES (%(subscription)s, %(event)s, clock_timestamp()) ON CONFLICT DO NOTHING
"""
_PARK: Final = """
INSERT INTO event_parked (subscription, aggregate_type, aggregate_id, sequence, event_id, attributes, data,
                          parked_at, attempts, last_error, next_attempt_at)
VALUES (%(subscription)s, %(type)s, %(id)s, %(sequence)s, %(event)s, %(attributes)s, %(data)s,
        clock_timestamp(), 0, '', clock_timestamp())
ON CONFLICT DO NOTHING
"""
_UNPARK: Final = """
DELETE FROM event_parked
WHERE subscription = %(subscription)s AND aggregate_type = %(type)s AND aggregate_id = %(id)s
  AND sequence <= %(sequence)s
"""
# The parked event of a stream whose turn has come.
_NEXT: Final = """
SELECT p.attributes, p.data::text, p.attempts
FROM event_parked p JOIN event_cursor c USING (subscription, aggregate_type, aggregate_id)
WHERE p.subscription = %(subscription)s AND p.aggregate_type = %(type)s AND p.aggregate_id = %(id)s
  AND p.sequence <= c.applied + 1 AND p.next_attempt_at <= clock_timestamp() AND p.attempts < %(most)s
ORDER BY p.sequence LIMIT 1
"""
_DUE: Final = """
SELECT DISTINCT p.aggregate_type, p.aggregate_id
FROM event_parked p JOIN event_cursor c USING (subscription, aggregate_type, aggregate_id)
WHERE p.subscription = %s AND p.sequence <= c.applied + 1 AND p.next_attempt_at <= clock_timestamp()
  AND p.attempts < %s
LIMIT 500
"""
_PUT_OFF: Final = """
UPDATE event_parked
SET attempts = attempts + 1, last_error = %(error)s,
    next_attempt_at = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE subscription = %(subscription)s AND aggregate_type = %(type)s AND aggregate_id = %(id)s
  AND sequence = %(sequence)s
"""
# The last error of each event that fails; a pending decision is not changed.
_NOTE: Final = """
INSERT INTO event_dead_letter AS d (
    id, subscription, key, kind, event_type, aggregate_type, aggregate_id, sequence, attempts, last_error,
    failed_at, message_id, status, resolved_by, resolution_reason)
VALUES (%(row)s, %(subscription)s, %(key)s, 'refused', %(event_type)s, %(type)s, %(id)s, %(sequence)s,
        %(attempts)s, %(error)s, clock_timestamp(), '', 'failing', '', '')
ON CONFLICT (subscription, key) DO UPDATE
SET attempts = EXCLUDED.attempts, last_error = EXCLUDED.last_error, failed_at = EXCLUDED.failed_at,
    status = CASE WHEN d.status IN ('redriven', 'discarded') AND d.carried_out_at IS NULL
                  THEN d.status ELSE 'failing' END
"""
_FORGET: Final = "DELETE FROM event_dead_letter WHERE subscription = %s AND key = %s AND status = 'failing'"
_GAPS: Final = """
SELECT p.aggregate_type, p.aggregate_id, c.applied, min(p.sequence), count(*)
FROM event_parked p JOIN event_cursor c USING (subscription, aggregate_type, aggregate_id)
WHERE p.subscription = %s AND p.parked_at < clock_timestamp() - make_interval(secs => %s)
GROUP BY p.aggregate_type, p.aggregate_id, c.applied
LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """A blocked stream: its parked events, and the sequence they wait for."""

    stream: Stream
    missing: int
    parked: int


class Subscription:
    """The applied events of one subscription, stored in the database; for the consumer and ``dlq discard``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self) -> None:
        """Store the subscription's first start."""
        self._run(_START, [self.name])

    def receive(self, event: Envelope) -> DeliveryOutcome:
        """Apply an event, park it, or drop a duplicate; then apply the parked events after it.

        An exception of a handler is raised, and nothing of the event is stored.
        """
        outcome = self._take(event)
        if outcome is DeliveryOutcome.APPLIED:
            self.follow(event.stream)
        return outcome

    def follow(self, stream: Stream) -> None:
        """Apply parked events of the stream for as long as the next one is there.

        A failing event stays parked and is retried later; after the last attempt it counts as dead.
        Raises only where the database or Redis is down.
        """
        while row := self._one(_NEXT, self._keys(stream) | {"most": max_attempts()}):
            attributes, data, attempts = row
            event = wire.decode(json.loads(attributes) if isinstance(attributes, str) else attributes, data)
            try:
                self._take(event)
            except Exception as error:
                if dependency_down():
                    raise
                _failed(event, error, attempts + 1)
                most = settings.PUBSUB_RETRY_MAX_SECONDS
                least = settings.PUBSUB_RETRY_MIN_SECONDS
                self._run(
                    _PUT_OFF,
                    self._keys(stream)
                    | {
                        "sequence": event.sequence,
                        "error": _words(error),
                        "delay": min(most, least * 2.0**attempts),
                    },
                )
                return

    def note_failure(self, event: Envelope, error: Exception, attempts: int) -> None:
        """Store why the event was refused, because the dead letter does not contain the reason."""
        self._run(
            _NOTE,
            self._keys(event.stream)
            | {
                "row": uuid7(),
                "key": str(event.event_id),
                "event_type": event.event_type[:100],
                "sequence": event.sequence,
                "attempts": attempts,
                "error": _words(error),
            },
        )

    def forget_failure(self, event: Envelope) -> None:
        """Delete the stored failure of an event that was applied."""
        self._run(_FORGET, [self.name, str(event.event_id)])

    def sweep(self) -> None:
        """Apply the parked events whose turn has come."""
        for aggregate_type, aggregate_id in self._all(_DUE, [self.name, max_attempts()]):
            self.follow(Stream(aggregate_type, aggregate_id))

    def gaps(self, older_than: float = GAP_SECONDS) -> list[Gap]:
        """Streams whose parked events have waited longer than so many seconds."""
        return [
            Gap(Stream(aggregate_type, aggregate_id), applied + 1, parked)
            for aggregate_type, aggregate_id, applied, _, parked in self._all(_GAPS, [self.name, older_than])
        ]

    def _take(self, event: Envelope) -> DeliveryOutcome:
        keys = self._keys(event.stream) | {"sequence": event.sequence, "event": event.event_id}
        if self._one(_LOCK.replace(" FOR UPDATE", ""), keys) is None:
            # On its own, before the handlers: their failure must not undo where the stream begins for us.
            self._run(_BEGIN, keys)
        with (
            logs.bind(request_id=event.correlation_id, traceparent=event.traceparent),
            trail.through("task"),
            unit_of_work(SYSTEM, causation_id=str(event.event_id)),
        ):
            locked = self._one(_LOCK, keys)
            assert locked is not None
            applied = locked[0]
            if event.sequence <= applied:
                self._run(_UNPARK, keys | {"sequence": applied})
                return DeliveryOutcome.REPEAT
            if event.sequence > applied + 1:
                self._run(
                    _PARK, keys | {"attributes": json.dumps(wire.attributes(event)), "data": event.data}
                )
                return DeliveryOutcome.PARKED
            new = self._run(_RECEIVED, keys)
            if new and not event.is_gap and (todo := handlers(event.event_type)):
                loaded = registry.load(event.event_type, event.event_version, event.payload())
                for handler in todo:
                    handler(loaded, meta=event)
            self._run(_ADVANCE, keys)
            self._run(_UNPARK, keys)
            for listener in _listeners if new else ():
                listener(event)
        return DeliveryOutcome.APPLIED

    def _keys(self, stream: Stream) -> dict[str, Any]:
        return {"subscription": self.name, "type": stream.aggregate_type, "id": stream.aggregate_id}

    @staticmethod
    def _run(statement: str, parameters: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return int(cursor.rowcount)

    @staticmethod
    def _one(statement: str, parameters: Any) -> tuple[Any, ...] | None:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row

    @staticmethod
    def _all(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


def max_attempts() -> int:
    """Deliveries of an event before it counts as dead."""
    return int(settings.PUBSUB_MAX_DELIVERY_ATTEMPTS)


def dependency_down() -> str:
    """Which of database and Redis doesn't answer, and how; "" when both do."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    if fault := health.database():
        return f"database: {fault}"
    if settings.REDIS_URL and (fault := health.redis()):
        return f"Redis: {fault}"
    return ""


def _words(error: Exception) -> str:
    """An error as a column takes it, personal data masked."""
    text = logs.mask_text(f"{type(error).__name__}: {error}")[:1000]
    return text.replace("\x00", "").encode(errors="replace").decode()


def _failed(event: Envelope, error: Exception, attempt: int) -> None:
    metrics.CONSUMED.labels(outcome="failed").inc()
    log.error(
        "consumer.handler_failed",
        event_id=str(event.event_id),
        event_type=event.event_type,
        sequence=event.sequence,
        attempt=attempt,
        exc_info=error,
    )


@dataclass(slots=True)
class Tally:
    """Counts of the messages that a consumer settled, by outcome."""

    applied: int = 0
    repeat: int = 0
    parked: int = 0
    failed: int = 0

    def as_dict(self) -> dict[str, int]:
        """For ``--json``."""
        return {"applied": self.applied, "repeat": self.repeat, "parked": self.parked, "failed": self.failed}


@dataclass
class Consumer:
    """Pulls a subscription and runs the handlers of its events until stopped.

    ``idle``: end after so many seconds without a message; None is never.
    """

    subscription: str
    idle: float | None = None
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._progress = Subscription(self.subscription)
        self._stopping = threading.Event()
        self._acks: list[str] = []
        self._ack_at = 0.0
        self._alarmed: set[tuple[Stream, int]] = set()
        self._heartbeat = metrics.Heartbeat("consumer")

    def stop(self) -> None:
        """Stop pulling, settle pulled messages, and end. Safe in a signal handler."""
        self._stopping.set()

    def run(self) -> Tally:
        """Consume. Survives outages of the database, Redis and Pub/Sub."""
        self._patiently(self._progress.start)
        with Puller(endpoint.subscription_path(self.subscription)) as puller:
            self._consume(puller)
            puller.stop()
            give_up = time.monotonic() + STOP_SECONDS
            while time.monotonic() < give_up and (delivery := puller.next(0)) is not None:
                if not self._handle(puller, delivery):
                    break
            self._flush(puller)
        return self.tally

    def _consume(self, puller: Puller) -> None:
        sweep_at = 0.0
        heard = time.monotonic()
        while not self._stopping.is_set():
            self._heartbeat.beat()
            now = time.monotonic()
            if now >= sweep_at:
                self._patiently(self._sweep)
                sweep_at = time.monotonic() + SWEEP_SECONDS
            delivery = puller.next(0)
            if delivery is None:
                self._flush(puller)
                delivery = puller.next(0.2)
            if delivery is None:
                if self.idle is not None and now - heard > self.idle:
                    return
                continue
            heard = now
            self._handle(puller, delivery)

    def _handle(self, puller: Puller, delivery: Delivery) -> bool:
        """Settle one message; False when the process ends before it could be."""
        try:
            event = wire.decode(delivery.attributes, delivery.data)
        except MalformedMessage as error:
            log.error("consumer.malformed", message_id=delivery.message_id, error=str(error))
            self._refuse(puller, delivery)
            return True
        outcome: DeliveryOutcome | None = None

        def receive() -> None:
            nonlocal outcome
            outcome = self._progress.receive(event)
            if delivery.attempt > 1 and outcome is not DeliveryOutcome.PARKED:
                self._progress.forget_failure(event)

        try:
            if not self._patiently(receive):
                return False
        except Exception as error:
            failure = error
            _failed(event, failure, delivery.attempt)
            if not self._patiently(lambda: self._progress.note_failure(event, failure, delivery.attempt)):
                return False
            self._refuse(puller, delivery)
            return True
        assert outcome is not None
        metrics.CONSUMED.labels(outcome=outcome.value).inc()
        metrics.CONSUMER_LAG_SECONDS.set((datetime.now(UTC) - event.occurred_at).total_seconds())
        if outcome is DeliveryOutcome.REPEAT:
            metrics.DUPLICATES.inc()
        setattr(self.tally, outcome.value, getattr(self.tally, outcome.value) + 1)
        if not self._acks:
            self._ack_at = time.monotonic() + _ACK_SECONDS
        self._acks.append(delivery.ack_id)
        if len(self._acks) >= _ACK_BATCH or time.monotonic() >= self._ack_at:
            self._flush(puller)
        return True

    def _refuse(self, puller: Puller, delivery: Delivery) -> None:
        self.tally.failed += 1
        puller.give_back([delivery.ack_id])

    def _flush(self, puller: Puller) -> None:
        acks, self._acks = self._acks, []
        puller.acknowledge(acks)

    def _patiently(self, work: Callable[[], None]) -> bool:
        """Run ``work`` and retry during outages of database or Redis; return False if the process must end before.

        What is held keeps its lease meanwhile, and the server sends no more than that. Raises what ``work``
        raises once both answer; what only a retry can tell from an outage is tried again a few times.
        """
        failures = 0
        is_reported = False
        while True:
            try:
                work()
            except Exception as error:
                if down := dependency_down():
                    if not is_reported:
                        log.warning("consumer.waiting", down=down)
                        is_reported = True
                    failures = 0
                elif (
                    not isinstance(error, (OperationalError, InterfaceError, RedisError))
                    or failures >= QUICK_RETRIES
                ):
                    raise
                else:
                    failures += 1
                self._heartbeat.beat()
                if self._stopping.wait(random.uniform(0.05, 1.0 if down else 0.2)):
                    return False
            else:
                if is_reported:
                    log.info("consumer.resumed")
                return True

    def _sweep(self) -> None:
        self._progress.sweep()
        gaps = {(gap.stream, gap.missing): gap for gap in self._progress.gaps()}
        for key, gap in gaps.items():
            if key not in self._alarmed:
                metrics.GAPS.inc()
                log.error(
                    "consumer.gap",
                    aggregate_type=gap.stream.aggregate_type,
                    aggregate_id=str(gap.stream.aggregate_id),
                    missing=gap.missing,
                    parked=gap.parked,
                )
        self._alarmed = set(gaps)
