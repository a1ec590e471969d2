"""The relay publishes waiting rows of ``event_outbox`` to Pub/Sub, each stream in sequence (core §2).

One coroutine owns the database connection: it reads batches of idle buckets, marks what was acknowledged,
and shares buckets with other relays. Batches are published concurrently, with many requests in flight. The order
of a stream depends on one rule only: a run of rows starts where its predecessor is published or purged, and
later rows are sent in the same request or a later one. Locks only save work.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from psycopg.rows import class_row

from erp.logs import mask_text
from erp.outbox import endpoint, metrics, ownership, sql, topology, wire
from erp.outbox.batches import Batch, Bucket, Hold, OutboxRow, Poisoned, Published, requests
from erp.outbox.listener import NotifyListener
from erp.outbox.publisher import MAX_BYTES, MAX_MESSAGES, NotPublished, Poison, Publisher

log = structlog.get_logger(__name__)

IN_FLIGHT: Final = 256  # publish requests at a time; beyond it they only queue inside gRPC
READ_ROWS: Final = 4_000  # rows of one read over all its buckets, and their payload's bytes
READ_BYTES: Final = 64_000_000
READ_BUCKETS: Final = 16  # with a backlog, of one read: the last ones are sent while it lasts
BALANCE_SECONDS: Final = 0.5  # a dead relay's buckets are taken over within 2 s
SWEEP_SECONDS: Final = 3.0  # a net under the low-water mark, and how soon a retried row is seen
BACKOFF_SECONDS: Final = 30.0  # most that a poison event waits between two attempts
RETRY_SECONDS: Final = 1.0  # most that a request waits in an outage
SILENT_SECONDS: Final = 0.5  # without an answer a topic may have been deleted and recreated unnoticed
JOIN_SECONDS: Final = 3.0  # relays that start together may see each other's passing layout lock
REASON_CHARACTERS: Final = 1000  # an attribute's value has at most 1,024 bytes

Ended = Literal["stopped", "drained", "idle", "unreachable"]


class Abandoned(Exception):
    """The relay stops; unacknowledged events stay pending."""


@dataclass(slots=True)
class Summary:
    """The result of a relay run, and why it ended."""

    ended: Ended = "stopped"
    published: int = 0
    poisoned: int = 0
    failed: int = 0
    buckets: int = 0
    last_error: str = ""


class CrashPoint:
    """Kills this process at a named point once every N passings: ``ERP_RELAY_FAULT=after_publish:7``.

    For crash tests; inert in production and while the variable isn't set.
    """

    def __init__(self) -> None:
        name, _, every = os.environ.get("ERP_RELAY_FAULT", "").partition(":")
        self._point = "" if settings.ERP_ENV == "production" else name
        self._every = int(every or 1)
        self._passed: Counter[str] = Counter()

    def __call__(
        self, point: Literal["before_publish", "after_publish", "before_mark", "after_mark"]
    ) -> None:
        self._passed[point] += 1
        if point == self._point and self._passed[point] % self._every == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Relay:
    """Publishes until stopped, or until all events are published.

    ``drain``: end when nothing of the owned buckets waits. ``patience``: seconds after which it gives up
    owning a bucket, or, when draining, reaching Pub/Sub; None is for ever. ``allow_lossy``: start although
    the topology can lose events.
    """

    def __init__(
        self, *, drain: bool = False, patience: float | None = None, allow_lossy: bool = False
    ) -> None:
        self.summary = Summary()
        self._drain, self._patience, self._allow_lossy = drain, patience, allow_lossy
        self._stopping = False
        self._nudge = asyncio.Event()  # something for the loop to look at
        self._stop = asyncio.Event()
        self._listener = NotifyListener(self._nudge)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._waiting = asyncio.Lock()  # one waits for the topology, and all with it
        self._topology_ok = True  # as far as the last answers show
        self._check: asyncio.Task[bool] | None = None  # of the topology, since the last silence
        self._answered = 0.0  # when Pub/Sub last answered, on the monotonic clock
        self._topic = endpoint.topic_path(settings.PUBSUB_TOPIC)
        self._dead_letter_topic = endpoint.topic_path(settings.PUBSUB_DLQ_TOPIC)
        self._failing_since: float | None = None  # no request has succeeded since
        self._outage = False  # for so long that it was worth a word
        self._fault = CrashPoint()
        self._crash: BaseException | None = None
        self._heartbeat = metrics.Heartbeat("relay")

    def stop(self) -> None:
        """Finish what is in flight and end. Safe to call from a signal handler of the event loop."""
        self._stopping = True
        self._stop.set()
        self._nudge.set()

    async def run(self) -> Summary:
        """Relay; reconnects for ever unless draining.

        Raises topology.Lossy, ownership.LayoutRefused and ownership.LayoutHeld at the start, psycopg.Error
        when draining and the database fails.
        """
        listener = asyncio.create_task(self._listener.run())
        try:
            async with Publisher() as self._publisher:
                if not await self._reach_pubsub():
                    return self.summary
                while not self._stopping:
                    try:
                        return await self._session()
                    except psycopg.Error as error:
                        self.summary.last_error = type(error).__name__
                        log.warning("relay.database_lost", error=type(error).__name__)
                        if self._drain:
                            raise
                        self._heartbeat.beat()
                        await self._pause(random.uniform(0.1, RETRY_SECONDS))
                return self.summary
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener

    async def _session(self) -> Summary:
        """Relay on one connection, with a fresh memory, until the end or the connection's loss."""
        self._buckets: dict[int, Bucket] = {}
        self._outcomes: deque[Published | Poisoned] = deque()
        self._ended: deque[Batch] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        connection = await ownership.connect()
        try:
            self._connection = connection
            self._cursor = connection.cursor(row_factory=class_row(OutboxRow))
            await self._join()
            self._owner = ownership.Ownership(connection)
            await self._owner.announce()
            return await self._loop()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await connection.close()
            metrics.RELAY_BUCKETS.set(0)

    async def _join(self) -> None:
        give_up = time.monotonic() + JOIN_SECONDS
        while True:
            try:
                return await ownership.join(self._connection)
            except ownership.LayoutHeld:
                if time.monotonic() > give_up or self._stopping:
                    raise
                await self._pause(random.uniform(0, 0.3))

    async def _loop(self) -> Summary:
        started = time.monotonic()
        balance_at = poll_at = 0.0
        while True:
            self._nudge.clear()
            await self._mark()
            if self._crash is not None:
                raise self._crash
            now = time.monotonic()
            self._heartbeat.beat()
            metrics.RELAY_HEARTBEAT.set_to_current_time()
            if self._stopping and not (self._tasks or self._outcomes):
                return self._end("stopped")
            if not self._stopping:
                if now >= balance_at:
                    await self._balance()
                    balance_at = now + BALANCE_SECONDS
                if not self._buckets and self._patience is not None and self._given_up(now - started):
                    return self._end("idle")
                polling = now >= poll_at
                if polling:
                    # Without wake-ups every event waits for a poll: look twice as often.
                    poll_at = now + settings.OUTBOX_POLL_INTERVAL / (1 if self._listener.hearing else 2)
                await self._read(self._due(now, polling))
                if self._drain and not self._tasks and self._drained():
                    return self._end("drained")
                if self._drain and self._failing_for(now) > (self._patience or 0):
                    self.summary.ended = "unreachable"
                    self.stop()
            if not self._nudge.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), max(0.001, poll_at - time.monotonic()))

    def _end(self, ended: Ended) -> Summary:
        if self.summary.ended != "unreachable":
            self.summary.ended = ended
        return self.summary

    def _given_up(self, waited: float) -> bool:
        assert self._patience is not None
        return self._owner.hopeless or waited > self._patience

    def _failing_for(self, now: float) -> float:
        return now - self._failing_since if self._failing_since is not None else 0.0

    def _drained(self) -> bool:
        """Whether a sweep of every bucket found nothing, and no poison is backing off."""
        return bool(self._buckets) and all(
            bucket.clean and all(hold.due is None for hold in bucket.holds.values())
            for bucket in self._buckets.values()
        )

    async def _balance(self) -> None:
        gained, surplus = await self._owner.balance()
        for number in gained:
            self._buckets[number] = Bucket(number)
        for bucket in sorted(self._buckets.values(), key=lambda b: b.busy):
            bucket.leaving = surplus > 0
            surplus -= 1
        await self._leave()
        self.summary.buckets = max(self.summary.buckets, len(self._buckets))
        metrics.RELAY_BUCKETS.set(len(self._buckets))

    async def _leave(self) -> None:
        """Give back the surplus whose batches are done."""
        leaving = {b.number for b in self._buckets.values() if b.leaving and not b.busy}
        if leaving:
            for number in leaving:
                del self._buckets[number]
            await self._owner.give_back(leaving)

    def _due(self, now: float, polling: bool) -> list[Bucket]:
        """Idle buckets to read: all when polling, else those with a wake-up or more behind a full batch.

        Of many with a backlog those that were read longest ago.
        """
        woken = self._listener.take()
        due = []
        for bucket in self._buckets.values():
            bucket.again |= bucket.number in woken
            if not bucket.busy and not bucket.leaving and (polling or bucket.again):
                if any(hold.due is not None and hold.due <= now for hold in bucket.holds.values()):
                    bucket.sweep_at = now
                due.append(bucket)
        backlog = sorted((b for b in due if b.behind is not None), key=lambda b: b.behind or 0.0)
        if len(backlog) > READ_BUCKETS:
            later = {bucket.number for bucket in backlog[READ_BUCKETS:]}
            due = [bucket for bucket in due if bucket.number not in later]
            self._nudge.set()  # don't wait: their turn comes with the next read
        return due

    async def _read(self, due: list[Bucket]) -> None:
        """Read a batch of each bucket in one statement and send them on their way."""
        if not due:
            return
        now = time.monotonic()
        swept = {b.number for b in due if b.sweep_at <= now}
        await self._review(now, [b for b in due if b.number in swept])
        rows = max(10, min(MAX_MESSAGES, READ_ROWS // len(due)))
        size = min(MAX_BYTES, READ_BYTES // len(due))
        await self._cursor.execute(
            sql.READ,
            {
                "buckets": [b.number for b in due],
                "marks": [0 if b.number in swept else b.mark for b in due],
                "held": [stream.key for b in due for stream in b.holds],
                "rows": rows,
                "bytes": size,
            },
        )
        found = await self._cursor.fetchall()
        snapshot = found[0]
        waiting: dict[int, list[OutboxRow]] = {bucket.number: [] for bucket in due}
        for row in found:
            if row.id is not None:
                waiting[row.bucket].append(row)
        for bucket in due:
            taken = waiting[bucket.number]
            bucket.again = bool(taken) and (len(taken) >= rows or taken[-1].bytes >= size)
            bucket.behind = now if bucket.again else None
            batch = Batch(
                bucket, taken, snapshot.xmin, snapshot.xmax, swept=bucket.number in swept, full=bucket.again
            )
            bucket.clean = not taken and (bucket.clean or batch.swept)
            if not taken:
                batch.close()
                if self._drain and not bucket.clean:
                    bucket.sweep_at = now  # nobody waits for the next one in its own time
                continue
            bucket.busy = True
            task = asyncio.create_task(self._send_batch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def _review(self, now: float, buckets: list[Bucket]) -> None:
        """Before a sweep: forget the holds that were resolved or are due."""
        if not buckets:
            return
        held = [hold.row_id for b in buckets for hold in b.holds.values() if hold.due is None]
        blocking: set[UUID] = set()
        if held:
            cursor = await self._connection.execute(sql.STILL_BLOCKING, {"ids": held})
            blocking = {row_id for (row_id,) in await cursor.fetchall()}
        for bucket in buckets:
            bucket.holds = {
                stream: hold
                for stream, hold in bucket.holds.items()
                if (hold.row_id in blocking if hold.due is None else hold.due > now)
            }
            bucket.sweep_at = now + SWEEP_SECONDS * random.uniform(0.8, 1.2)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._nudge.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crash = error

    async def _send_batch(self, batch: Batch) -> None:
        lanes = [self._send_lane(batch, key, rows) for key, rows in batch.lanes()]
        for result in await asyncio.gather(*lanes, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, Abandoned):
                raise result
        self._ended.append(batch)

    async def _send_lane(self, batch: Batch, key: str, rows: list[OutboxRow]) -> None:
        """Send the rows of one ordering key, request after request."""
        for request in requests(rows):
            await self._send(batch, key, request)

    async def _send(self, batch: Batch, key: str, rows: list[OutboxRow]) -> None:
        """Send one request; where it holds poison, halve it until the one event is alone."""
        if batch.stopped:
            rows = [row for row in rows if row.stream not in batch.stopped]
        if not rows:
            return
        self._fault("before_publish")
        try:
            ids = await self._publish(self._topic, [self._encode(row, key) for row in rows])
        except Poison as error:
            if len(rows) == 1:
                await self._give_up(batch, rows[0], str(error))
                return
            middle = len(rows) // 2
            await self._send(batch, key, rows[:middle])
            await self._send(batch, key, rows[middle:])
            return
        self._fault("after_publish")
        for row, message_id in zip(rows, ids, strict=True):
            self._outcomes.append(Published(row, message_id))
            assert row.id is not None
            batch.settled.add(row.id)
        self._nudge.set()

    @staticmethod
    def _encode(row: OutboxRow, key: str) -> Any:
        try:
            return wire.encode(row.envelope(), key)
        except (ValueError, TypeError) as error:
            raise Poison(f"ENCODING: {error}") from None

    async def _publish(self, topic: str, messages: list[Any]) -> list[str]:
        """Publish, through any outage, and return once it is certain that the topic has its subscriptions.

        Raises Poison, or Abandoned when the relay stops meanwhile.
        """
        failures = 0
        while True:
            if not self._topology_ok:
                await self._await_topology()
            async with self._slots:
                if not self._topology_ok:  # it broke while this one waited for its turn
                    continue
                self._check_after_silence()  # beside the request
                started = time.perf_counter()
                failure: NotPublished | None = None
                try:
                    ids = await self._publisher.publish(topic, messages)
                except NotPublished as error:
                    failure = error
                    # For every request at once: a topic that comes back may have no subscription yet.
                    self._topology_ok &= error.code != "NOT_FOUND"
                except Poison:
                    self._recovered()
                    raise
                else:
                    metrics.PUBLISH_SECONDS.observe(time.perf_counter() - started)
                    check = self._check_after_silence()  # the same, unless the answer took long
                    self._recovered()
            if failure is None:
                # A topic without a subscription acknowledges, too. Then the same goes out again.
                if await asyncio.shield(check) and self._topology_ok:
                    return ids
                continue
            self._failing(failure)
            failures += 1
            await self._pause(random.uniform(0, min(RETRY_SECONDS, 0.05 * 2**failures)))
            if self._stopping:
                raise Abandoned

    def _failing(self, error: NotPublished) -> None:
        metrics.RETRIES.labels(code=error.code).inc()
        self.summary.last_error = mask_text(str(error))
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif not self._outage and self._failing_for(now) > RETRY_SECONDS:
            self._outage = True
            log.warning("relay.pubsub_failing", code=error.code, error=self.summary.last_error)

    def _recovered(self) -> None:
        self._answered = time.monotonic()
        if self._outage:
            log.info("relay.pubsub_back", seconds=round(self._failing_for(time.monotonic()), 1))
        self._failing_since, self._outage = None, False

    async def _give_up(self, batch: Batch, row: OutboxRow, reason: str) -> None:
        """Delay one poison event, or after its last attempt mark it failed and publish a copy as dead letter."""
        batch.stopped.add(row.stream)
        reason = mask_text(reason)[:REASON_CHARACTERS]
        attempts = row.processing_attempts + 1
        delay = min(BACKOFF_SECONDS, 2.0 ** (attempts - 1)) * random.uniform(0.5, 1)
        status: Literal["processing", "failed"] = "processing"
        if attempts >= settings.OUTBOX_MAX_ATTEMPTS:
            if await self._copy(row, reason):
                status, delay = "failed", 0.0
            else:
                delay = BACKOFF_SECONDS
        assert row.id is not None
        batch.bucket.holds[row.stream] = Hold(
            row.id, None if status == "failed" else time.monotonic() + delay
        )
        self._outcomes.append(Poisoned(row, status, reason, delay))
        self._nudge.set()

    async def _copy(self, row: OutboxRow, reason: str) -> bool:
        """Put a copy of a poison event on the dead-letter topic; False when that can't be reached now.

        What Pub/Sub refused once it may refuse again: then the copy goes without the payload.
        """
        for message in wire.dead_letters(row.envelope(), reason):
            try:
                await self._publisher.publish(self._dead_letter_topic, [message])
            except Poison:
                continue
            except NotPublished as error:
                self._failing(error)
                return False
            return True
        log.error("relay.dead_letter_refused", event_id=str(row.id), event_type=row.event_type)
        return True

    async def _mark(self) -> None:
        """Store acknowledgements and refusals in one update, then free the finished buckets."""
        ended, self._ended = self._ended, deque()
        outcomes, self._outcomes = self._outcomes, deque()
        published = [o for o in outcomes if isinstance(o, Published)]
        if published:
            self._fault("before_mark")
            await self._connection.execute(
                sql.PUBLISHED,
                {"ids": [o.row.id for o in published], "message_ids": [o.message_id for o in published]},
            )
            self._fault("after_mark")
            now = datetime.now(UTC)
            for event_type, count in Counter(o.row.event_type for o in published).items():
                metrics.PUBLISHED.labels(type=event_type).inc(count)
            for row in (o.row for o in published):
                metrics.COMMIT_TO_ACK_SECONDS.observe(max(0.0, (now - row.created_at).total_seconds()))
            self.summary.published += len(published)
        for outcome in outcomes:
            if isinstance(outcome, Poisoned):
                await self._quarantine(outcome)
        for batch in ended:
            batch.close()
        if ended:
            await self._leave()

    async def _quarantine(self, outcome: Poisoned) -> None:
        await self._connection.execute(
            sql.POISONED,
            {
                "id": outcome.row.id,
                "status": outcome.status,
                "reason": outcome.reason,
                "delay": outcome.delay,
            },
        )
        self.summary.poisoned += 1
        self.summary.failed += outcome.status == "failed"
        log.error(
            "relay.event_refused",
            event_id=str(outcome.row.id),
            event_type=outcome.row.event_type,
            sequence=outcome.row.sequence,
            attempts=outcome.row.processing_attempts + 1,
            status=outcome.status,
            reason=outcome.reason,
        )

    async def _reach_pubsub(self) -> bool:
        """Wait until the topology can be seen and is safe. False when the relay stops or gives up first."""
        started = time.monotonic()
        while not self._stopping:
            try:
                await asyncio.to_thread(topology.preflight)
                return True
            except topology.Lossy:
                if self._allow_lossy:
                    return True
                raise
            except topology.Unreachable as error:
                self._heartbeat.beat()
                self.summary.last_error = mask_text(str(error))
                log.warning("relay.pubsub_unreachable", error=self.summary.last_error)
                if self._drain and time.monotonic() - started > (self._patience or 0):
                    self.summary.ended = "unreachable"
                    return False
                await self._pause(random.uniform(0.1, RETRY_SECONDS))
        return False

    def _check_after_silence(self) -> asyncio.Task[bool]:
        """The check that what is published now depends on; after a silence a new one.

        While answers follow each other closely a topic can't be replaced unnoticed, so one check is good for all.
        """
        if self._check is None or time.monotonic() - self._answered > SILENT_SECONDS:
            self._check = self._start_check()
        return self._check

    def _start_check(self) -> asyncio.Task[bool]:
        self._answered = time.monotonic()
        return asyncio.create_task(self._check_topology())

    async def _check_topology(self) -> bool:
        """Return whether no published event can be lost; if it can, no request starts until this is repaired."""
        try:
            await asyncio.to_thread(topology.preflight, fresh=True)
        except (topology.Lossy, topology.Unreachable) as error:
            if self._allow_lossy:
                return True
            log.warning("relay.topology_broken", error=str(error))
            self._failing(NotPublished("TOPOLOGY", str(error)))
            self._topology_ok = False
            return False
        return True

    async def _await_topology(self) -> None:
        """Wait until the topology is safe again, so that nothing is published to a topic without a subscription."""
        async with self._waiting:
            while not self._topology_ok:
                self._check = self._start_check()
                if await asyncio.shield(self._check):
                    self._topology_ok = True
                    self._recovered()
                    return
                await self._pause(random.uniform(0.1, RETRY_SECONDS))
                if self._stopping:
                    raise Abandoned

    async def _pause(self, seconds: float) -> None:
        """Sleep, but wake when the relay stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
