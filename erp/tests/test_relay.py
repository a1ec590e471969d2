"""The relay: order per stream, nothing lost, nothing stuck (core §2)."""

import asyncio
import signal
import socket
import threading
import time
from collections import deque
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4, uuid5

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from google.pubsub_v1 import types

from erp import locks
from erp.embedded.testing import PubSub
from erp.outbox import endpoint, metrics, operations, ownership, relay, topology, wire
from erp.outbox.batches import Batch, Bucket, Hold, OutboxRow, Poisoned, Published, requests
from erp.outbox.flush import Buffered, bucket_of, flush, flush_with_statement
from erp.outbox.models import EventOutbox, Subscriber
from erp.outbox.publisher import MAX_BYTES, MAX_MESSAGES, NotPublished, Poison
from erp.outbox.pull import Puller
from erp.outbox.relay import Abandoned, Relay
from erp.tests.outbox_support import (
    Faults,
    align,
    call,
    command,
    count,
    deliveries,
    drain,
    ended,
    in_order,
    insert,
    owners,
    received,
    relaying,
    statuses,
    streams_of,
    until,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pubsub"), pytest.mark.slow]


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_each_stream_arrives_in_sequence_whatever_its_writers_do(settings: Any, ordering: str) -> None:
    settings.OUTBOX_ORDERING = ordering
    streams = [uuid4() for _ in range(6)]

    def write(number: int) -> None:
        for turn in range(30):
            with transaction.atomic():
                chosen = [streams[(number + turn + k) % 6] for k in range(3)]
                flush([Buffered("parcel.sent", 1, {"by": number, "turn": turn}, "parcel", s) for s in chosen])
                if turn % 5 == 0:
                    time.sleep(0.01)  # some transactions commit long after they took their numbers
        connections.close_all()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    with relaying():
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        events = received(count(540))
        until(lambda: statuses() == {"published": 540})
    assert {len(sequence) for sequence in in_order(events).values()} == {90}


def test_what_a_transaction_rolls_back_is_never_sent() -> None:
    with transaction.atomic():
        flush([Buffered("parcel.sent", 1, {}, "parcel", uuid4())])
        transaction.set_rollback(True)
    (row,) = insert(uuid4())
    assert drain().published == 1
    assert [event.event_id for event in received(count(1))] == [row.pk]


def test_an_event_travels_as_a_cloud_event() -> None:
    stream = uuid4()
    with transaction.atomic():
        flush(
            [Buffered("parcel.sent", 3, {"weight": "12.50"}, "parcel", stream)],
            correlation_id="request-1",
            causation_id="record-1",
            traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        )
    row = EventOutbox.objects.get()
    drain()
    (delivery,) = deliveries(count(1))
    assert delivery.attributes == {
        "ce-specversion": "1.0",
        "ce-id": str(row.pk),
        "ce-type": "parcel.sent",
        "ce-source": "/cotton-erp",
        "ce-subject": f"parcel/{stream}",
        "ce-time": row.created_at.isoformat(),
        "ce-dataschema": "https://schemas.cotton-erp.example/events/parcel.sent.v3.schema.json",
        "content-type": "application/json",
        "eventversion": "3",
        "aggregatetype": "parcel",
        "aggregateid": str(stream),
        "sequence": "1",
        "correlationid": "request-1",
        "causationid": "record-1",
        "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    }
    assert delivery.data == b'{"weight": "12.50"}'
    assert delivery.ordering_key == f"parcel:{stream}"
    row.refresh_from_db()
    assert row.status == "published"
    assert row.published_message_id == delivery.message_id
    assert row.processed_at is not None
    assert row.processing_attempts == 0


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_buckets_with_a_backlog_take_turns_and_none_is_left_behind(
    settings: Any, monkeypatch: pytest.MonkeyPatch, ordering: str
) -> None:
    monkeypatch.setattr(relay, "READ_BUCKETS", 2)
    monkeypatch.setattr(relay, "READ_ROWS", 20)
    settings.OUTBOX_BUCKETS, settings.OUTBOX_ORDERING = 8, ordering
    streams = [uuid4() for _ in range(24)]
    for _ in range(25):
        insert(*streams)
    assert drain().published == 600
    events = received(count(600))
    assert len(events) == 600
    assert {len(sequence) for sequence in in_order(events).values()} == {25}


def test_a_late_commit_below_the_low_water_mark_is_not_passed(
    monkeypatch: pytest.MonkeyPatch, one_bucket: None
) -> None:
    monkeypatch.setattr(relay, "SWEEP_SECONDS", 1e6)  # the net must not be what catches it
    late = uuid4()
    began, go_on = threading.Event(), threading.Event()

    def write_late() -> None:
        with transaction.atomic():
            flush([Buffered("parcel.sent", 1, {}, "parcel", late)])
            began.set()
            go_on.wait(20)
        connections.close_all()

    writer = threading.Thread(target=write_late)
    with relaying():
        writer.start()
        began.wait(10)
        for number in range(1, 6):
            insert(uuid4(), uuid4())
            until(lambda number=number: statuses() == {"published": 2 * number})
        go_on.set()
        writer.join()
        until(lambda: statuses() == {"published": 11})
    assert late in {event.stream.aggregate_id for event in received(count(11))}


def test_the_low_water_mark_moves_only_when_nothing_can_commit_below_it() -> None:
    bucket = Bucket(1)
    bucket.settle(xmin=100, xmax=105, last=10, done=None)
    assert bucket.mark == 0, "transactions 100 to 104 may still commit below 10"
    bucket.settle(xmin=103, xmax=110, last=20, done=None)
    assert bucket.mark == 0
    bucket.settle(xmin=105, xmax=112, last=24, done=21)
    assert bucket.mark == 10
    bucket.settle(xmin=112, xmax=115, last=None, done=None)
    assert bucket.mark == 21, "24 waits still, so the mark stays below it"
    bucket.settle(xmin=112, xmax=115, last=8, done=7)
    assert bucket.mark == 7, "a sweep found what waits below the mark"


def test_a_row_that_waits_right_above_the_low_water_mark_does_not_hold_up_the_mark_for_longer() -> None:
    bucket = Bucket(1)
    bucket.settle(xmin=100, xmax=105, last=10, done=None)
    bucket.settle(xmin=103, xmax=110, last=1, done=0)
    bucket.settle(xmin=105, xmax=112, last=None, done=None)
    assert bucket.mark == 10, "what was done before it came is remembered"
    bucket.settle(xmin=112, xmax=115, last=12, done=10)
    bucket.settle(xmin=113, xmax=120, last=20, done=None)
    bucket.settle(xmin=120, xmax=125, last=None, done=None)
    assert bucket.mark == 20, "where the mark is already is no place to wait for"


def waiting(stream: wire.Stream, sequence: int = 1, **fields: Any) -> OutboxRow:
    """A row that was read, without a predecessor."""
    row = OutboxRow(
        xmin=1,
        xmax=1,
        id=uuid4(),
        bucket=1,
        position=sequence,
        sequence=sequence,
        aggregate_type=stream.aggregate_type,
        aggregate_id=stream.aggregate_id,
        event_type="parcel.sent",
        event_version=1,
        data="{}",
        size=2,
        bytes=2,
        created_at=timezone.now(),
        correlation_id="",
        causation_id="",
        traceparent="",
        processing_attempts=0,
        resolution=None,
        predecessor=None,
        predecessor_status=None,
        predecessor_wait=None,
    )
    return row._replace(**fields)


def batch_of(*rows: OutboxRow, swept: bool = False, full: bool = False) -> Batch:
    """The rows, read from a bucket of their own."""
    return Batch(Bucket(1, busy=True), list(rows), xmin=100, xmax=105, swept=swept, full=full)


def is_in(seconds: float | None, due: float | None, *, since: float) -> bool:
    """Whether ``due`` was set, at some moment between ``since`` and now, to so many seconds later."""
    if seconds is None or due is None:
        return seconds is due
    return since + seconds <= due <= time.monotonic() + seconds


def parcel() -> wire.Stream:
    """A stream of its own."""
    return wire.Stream("parcel", uuid4())


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_runs_that_may_not_start_are_left_out_and_all_others_sent(settings: Any, ordering: str) -> None:
    settings.OUTBOX_ORDERING = ordering
    one, held, two = parcel(), parcel(), parcel()
    failed = {"predecessor": uuid4(), "predecessor_status": "failed"}
    rows = [
        waiting(held, 4, **failed),
        waiting(one, 1),
        waiting(two, 7, predecessor=uuid4(), predecessor_status="published"),
        waiting(held, 5, predecessor=uuid4(), predecessor_status="pending"),
        waiting(one, 2, predecessor=uuid4(), predecessor_status="pending"),
    ]
    batch = batch_of(*rows)
    lanes = [row for _, lane in batch.lanes() for row in lane]
    assert sorted(lanes) == sorted(row for row in rows if row.stream != held)
    assert [row.sequence for row in lanes if row.stream == one] == [1, 2]
    assert (batch.stopped, set(batch.bucket.holds)) == ({held}, {held})
    assert not batch.bucket.again


@pytest.mark.parametrize(("swept", "again"), [(False, True), (True, False)])
def test_a_run_behind_a_waiting_row_that_was_not_read_asks_for_a_sweep_at_once(
    swept: bool, again: bool
) -> None:
    batch = batch_of(waiting(parcel(), 2, predecessor=uuid4(), predecessor_status="pending"), swept=swept)
    batch.bucket.sweep_at = later = time.monotonic() + 60
    assert list(batch.lanes()) == []
    assert (batch.bucket.again, batch.bucket.sweep_at < later) == (again, again)
    assert batch.bucket.sweep_at <= time.monotonic() or not again


@pytest.mark.parametrize(
    ("status", "seconds", "due"),
    [("failed", None, None), ("processing", None, 0), ("processing", 0.0, 0), ("processing", 60.0, 60)],
)
def test_a_stream_is_held_until_the_event_that_blocks_it_is_tried_again(
    status: str, seconds: float | None, due: float | None
) -> None:
    stream, blocking = parcel(), uuid4()
    batch = batch_of(
        waiting(stream, 2, predecessor=blocking, predecessor_status=status, predecessor_wait=seconds)
    )
    began = time.monotonic()
    assert list(batch.lanes()) == []
    (hold,) = batch.bucket.holds.values()
    assert hold.row_id == blocking
    assert is_in(due, hold.due, since=began)


@pytest.mark.parametrize(
    ("unsettled", "held", "full", "limits"),
    [
        ([], [], False, (8, None)),
        ([], [], True, (8, 8)),
        ([5], [], False, (8, 4)),
        ([5, 8], [], True, (8, 4)),
        ([5], [5], False, (8, None)),
        ([], [3], False, (8, None)),
        ([5, 8], [5], True, (8, 7)),
    ],
)
def test_the_end_of_a_batch_tells_how_far_nothing_waits(
    monkeypatch: pytest.MonkeyPatch,
    unsettled: list[int],
    held: list[int],
    full: bool,
    limits: tuple[int, int | None],
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(Bucket, "settle", lambda bucket, *values: told.append(values))
    rows = {position: waiting(parcel(), position) for position in (3, 5, 8)}
    batch = batch_of(*rows.values(), full=full)
    batch.settled = {row.id for place, row in rows.items() if place not in unsettled and row.id}
    batch.bucket.holds = {rows[place].stream: Hold(uuid4(), None) for place in held}
    batch.close()
    assert told == [(100, 105, *limits)]
    assert not batch.bucket.busy
    batch_of().close()
    assert told[1:] == [(100, 105, None, None)]


def test_requests_take_as_many_rows_and_bytes_as_pubsub_does() -> None:
    def cut(*sizes: int) -> list[int]:
        return [len(request) for request in requests(waiting(parcel(), size=size) for size in sizes)]

    half = MAX_BYTES // 2 - 1_500
    assert cut() == []
    assert cut(*[2] * 2 * MAX_MESSAGES, 2) == [MAX_MESSAGES, MAX_MESSAGES, 1]
    assert cut(half, half, half, half) == [2, 2]
    assert cut(half, half + 1, half, half) == [1, 1, 2]
    assert cut(MAX_BYTES + 1, 2) == [1, 1]


def test_what_the_relay_notes_about_a_row_cannot_be_changed() -> None:
    row = waiting(parcel())
    for noted in (Published(row, "1"), Poisoned(row, "failed", "too long", 0.0)):
        with pytest.raises(FrozenInstanceError):
            noted.row = row  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fault", "environment", "kills"),
    [
        ("", "test", []),
        ("after_publish", "test", [1, 2, 3, 4, 5, 6, 7]),
        ("after_publish:2", "test", [2, 4, 6]),
        ("after_publish:3", "test", [3, 6]),
        ("after_publish:3", "production", []),
    ],
)
def test_a_crash_point_kills_at_every_nth_passing_but_never_in_production(
    monkeypatch: pytest.MonkeyPatch, settings: Any, fault: str, environment: str, kills: list[int]
) -> None:
    settings.ERP_ENV = environment
    killed: list[int] = []
    passed: list[int] = []
    system = SimpleNamespace(
        environ={"ERP_RELAY_FAULT": fault} if fault else {},
        getpid=lambda: 77,
        kill=lambda pid, number: (
            killed.append(len(passed)) if (pid, number) == (77, signal.SIGKILL) else None
        ),
    )
    monkeypatch.setattr(relay, "os", system)
    point = relay.CrashPoint()
    for number in range(7):
        passed.append(number)
        point("before_publish")
        point("after_publish")
    assert killed == kills


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The limits between which the relay draws; it always draws the most."""
    limits: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        limits.append((least, most))
        return most

    monkeypatch.setattr(relay, "random", SimpleNamespace(uniform=uniform))
    return limits


def relay_of(*buckets: Bucket) -> Relay:
    """A relay that owns the buckets, without servers."""
    made = Relay()
    made._buckets = {bucket.number: bucket for bucket in buckets}
    made._outcomes, made._ended, made._tasks = deque(), deque(), set()
    return made


@pytest.mark.parametrize(("attempts", "most"), [(0, 1), (1, 2), (2, 4), (4, 16), (5, 30)])
def test_poison_waits_twice_as_long_after_each_attempt(
    settings: Any, drawn: list[tuple[float, float]], attempts: int, most: float
) -> None:
    settings.OUTBOX_MAX_ATTEMPTS = attempts + 2
    row = waiting(parcel(), processing_attempts=attempts)
    batch, running = batch_of(row), relay_of()
    began = time.monotonic()
    asyncio.run(running._give_up(batch, row, "r" * 3_000))
    assert drawn == [(0.5, 1)]
    assert list(running._outcomes) == [Poisoned(row, "processing", "r" * 1_000, most)]
    (hold,) = batch.bucket.holds.values()
    assert hold.row_id == row.id
    assert is_in(most, hold.due, since=began)
    assert batch.stopped == {row.stream}


@pytest.mark.parametrize(("copied", "status", "delay"), [(True, "failed", 0.0), (False, "processing", 30.0)])
def test_poison_fails_after_its_last_attempt_once_its_copy_was_sent(
    settings: Any, monkeypatch: pytest.MonkeyPatch, copied: bool, status: str, delay: float
) -> None:
    async def copy(*_: Any) -> bool:
        return copied

    settings.OUTBOX_MAX_ATTEMPTS = 3
    monkeypatch.setattr(Relay, "_copy", copy)
    row = waiting(parcel(), processing_attempts=2)
    batch, running = batch_of(row), relay_of()
    began = time.monotonic()
    asyncio.run(running._give_up(batch, row, "refused"))
    assert list(running._outcomes) == [Poisoned(row, status, "refused", delay)]
    (hold,) = batch.bucket.holds.values()
    assert is_in(None if copied else delay, hold.due, since=began)


@pytest.mark.parametrize(
    ("answers", "sent", "copied"),
    [
        ([None], 1, True),
        ([Poison("too long"), None], 2, True),
        ([Poison("too long"), Poison("too long")], 2, True),
        ([NotPublished("UNAVAILABLE", "away")], 1, False),
    ],
)
def test_a_dead_letter_copy_goes_without_its_payload_if_it_is_refused_with_it(
    answers: list[Exception | None], sent: int, copied: bool
) -> None:
    running, messages = relay_of(), []

    class Publisher:
        async def publish(self, topic: str, copies: list[Any]) -> list[str]:
            messages.extend(copies)
            if (error := answers[len(messages) - 1]) is not None:
                raise error
            return ["1"]

    running._publisher = Publisher()  # type: ignore[assignment]
    assert asyncio.run(running._copy(waiting(parcel(), data='{"a": 1}'), "refused")) is copied
    assert len(messages) == sent
    assert [message.data for message in messages] == [b'{"a": 1}', b"{}"][:sent]


def test_idle_buckets_are_read_when_polling_or_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    idle, woken, again, busy, leaving = (Bucket(number) for number in range(5))
    again.again = busy.busy = leaving.leaving = True
    running = relay_of(idle, woken, again, busy, leaving)
    monkeypatch.setattr(running._listener, "take", lambda: {1, 3, 4})
    assert running._due(100.0, False) == [woken, again]
    assert running._due(100.0, True) == [idle, woken, again]
    assert busy.again, "it is read when its batch is done"
    assert not running._nudge.is_set()


def test_a_bucket_is_swept_when_the_wait_of_a_poison_event_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = [Bucket(number, sweep_at=900.0) for number in range(3)]
    for bucket, due in zip(buckets, (99.0, 101.0, None), strict=True):
        bucket.holds = {parcel(): Hold(uuid4(), due)}
    running = relay_of(*buckets)
    monkeypatch.setattr(running._listener, "take", set)
    running._due(100.0, True)
    assert [bucket.sweep_at for bucket in buckets] == [100.0, 900.0, 900.0]


def test_of_many_buckets_with_a_backlog_those_read_longest_ago_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buckets = [Bucket(number, behind=float(200 - number)) for number in range(16)]
    other = Bucket(90)
    running = relay_of(*buckets, other)
    monkeypatch.setattr(running._listener, "take", set)
    assert running._due(300.0, True) == [*buckets, other]
    assert not running._nudge.is_set()
    running._buckets |= {number: Bucket(number, behind=float(200 - number)) for number in (16, 17)}
    due = running._due(300.0, True)
    assert {bucket.number for bucket in due} == {*range(2, 18), 90}
    assert running._nudge.is_set(), "the next read follows at once"


class Cursor:
    """In place of the relay's database: what it is asked for, and the rows that it finds."""

    def __init__(self, *rows: Any) -> None:
        self.rows, self.asked = rows, []

    async def execute(self, statement: str, parameters: dict[str, Any]) -> "Cursor":
        self.asked.append(parameters)
        return self

    async def fetchall(self) -> Any:
        return self.rows


def read(buckets: list[Bucket], *rows: OutboxRow) -> tuple[Relay, dict[str, Any]]:
    """Let a relay read its buckets; what it asked for."""
    running, cursor = relay_of(*buckets), Cursor(*rows, waiting(parcel(), id=None))

    async def send(self: Any, batch: Batch) -> None:
        pass

    async def work() -> None:
        running._cursor = running._connection = cursor  # type: ignore[assignment]
        running._send_batch = send.__get__(running)  # type: ignore[method-assign]
        await running._read(buckets)
        await asyncio.gather(*running._tasks)

    asyncio.run(work())
    return running, cursor.asked[-1]


@pytest.mark.parametrize(
    ("buckets", "rows", "size"),
    [
        (1, 1_000, 9_000_000),
        (4, 1_000, 9_000_000),
        (8, 500, 8_000_000),
        (16, 250, 4_000_000),
        (1_000, 10, 64_000),
    ],
)
def test_a_read_is_bounded_over_all_its_buckets(buckets: int, rows: int, size: int) -> None:
    _, asked = read([Bucket(number) for number in range(buckets)])
    assert (len(asked["buckets"]), asked["rows"], asked["bytes"]) == (buckets, rows, size)


def test_a_read_begins_above_the_low_water_mark_except_for_a_sweep() -> None:
    later = time.monotonic() + 60
    buckets = [
        Bucket(1, mark=7, sweep_at=later),
        Bucket(2, mark=8),
        Bucket(3, mark=9, sweep_at=later, clean=True),
    ]
    stream = parcel()
    buckets[0].holds = {stream: Hold(uuid4(), None)}
    _, asked = read(buckets, waiting(parcel(), bucket=3))
    assert (asked["buckets"], asked["marks"], asked["held"]) == ([1, 2, 3], [7, 0, 9], [stream.key])
    assert [bucket.clean for bucket in buckets] == [False, True, False], "a sweep found nothing in 2"
    assert [bucket.busy for bucket in buckets] == [False, False, True]
    read(buckets[1:2])
    assert buckets[1].clean, "nothing came since"


@pytest.mark.parametrize(
    ("count", "last", "again"),
    [(0, 0, False), (249, 3_999_999, False), (250, 250, True), (1, 4_000_000, True), (251, 4_000_001, True)],
)
def test_a_bucket_is_read_on_at_once_after_a_batch_that_a_limit_cut_short(
    count: int, last: int, again: bool
) -> None:
    buckets = [Bucket(number, behind=5.0) for number in range(16)]
    rows = [waiting(parcel(), bucket=3, bytes=2) for _ in range(count)]
    if rows:
        rows[-1] = rows[-1]._replace(bytes=last)
    read(buckets, *rows)
    assert [bucket.number for bucket in buckets if bucket.again] == [3] * again
    assert [bucket.number for bucket in buckets if bucket.behind is not None] == [3] * again


def test_before_a_sweep_holds_that_were_resolved_or_are_due_are_forgotten(
    drawn: list[tuple[float, float]],
) -> None:
    failed, resolved, due, later = (parcel() for _ in range(4))
    bucket, still = Bucket(1), uuid4()
    bucket.holds = {
        failed: Hold(still, None),
        resolved: Hold(uuid4(), None),
        due: Hold(uuid4(), 100.0),
        later: Hold(uuid4(), 101.0),
    }
    running, cursor = relay_of(bucket), Cursor((still,))
    running._connection = cursor  # type: ignore[assignment]
    asyncio.run(running._review(100.0, [bucket]))
    assert set(bucket.holds) == {failed, later}
    assert (bucket.sweep_at, drawn) == (103.6, [(0.8, 1.2)])
    bucket.holds = {later: bucket.holds[later]}
    asyncio.run(running._review(100.5, [bucket]))
    assert set(bucket.holds) == {later}
    assert len(cursor.asked) == 1, "there was nothing to ask"


@pytest.mark.parametrize(
    ("surplus", "kept"), [(-1, {1, 2, 3}), (0, {1, 2, 3}), (1, {1, 3}), (2, {1}), (3, {1})]
)
def test_a_relay_gives_back_surplus_buckets_the_idle_ones_first(surplus: int, kept: set[int]) -> None:
    running, given = relay_of(Bucket(1, busy=True), Bucket(2)), set()

    class Owner:
        async def balance(self) -> tuple[set[int], int]:
            return {3}, surplus

        async def give_back(self, buckets: set[int]) -> None:
            given.update(buckets)

    running._owner = Owner()  # type: ignore[assignment]
    asyncio.run(running._balance())
    assert set(running._buckets) == kept
    assert given == {1, 2, 3} - kept
    assert running._buckets[1].leaving == (surplus == 3), "it is given back when its batch is done"
    assert running.summary.buckets == len(kept)


def test_a_request_is_repeated_after_growing_pauses_until_the_relay_stops(
    monkeypatch: pytest.MonkeyPatch, drawn: list[tuple[float, float]]
) -> None:
    running, refusals = relay_of(), 7

    class Publisher:
        async def publish(self, topic: str, messages: list[Any]) -> list[str]:
            if len(drawn) < refusals:
                raise NotPublished("UNAVAILABLE", "away")
            return ["1"]

    async def pause(seconds: float) -> None:
        pass

    async def fine() -> bool:
        return True

    monkeypatch.setattr(running, "_pause", pause)
    monkeypatch.setattr(running, "_check_topology", fine)
    running._publisher = Publisher()  # type: ignore[assignment]
    assert asyncio.run(running._publish("topic", [])) == ["1"]
    assert drawn == [(0, most) for most in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0)]
    refusals = 99
    running.stop()
    with pytest.raises(Abandoned):
        asyncio.run(running._publish("topic", []))
    assert len(drawn) == 8, "once more, because it had to be known"


def test_an_outage_is_reported_once_when_it_lasts_and_once_when_it_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    running, clock = relay_of(), SimpleNamespace(now=100.0)
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: clock.now))
    assert running._failing_for(100.0) == 0
    for moment in (100.0, 101.0, 101.5, 109.0):
        clock.now = moment
        running._failing(NotPublished("UNAVAILABLE", "away"))
    assert running._failing_for(109.0) == 9
    clock.now = 110.04
    running._recovered()
    running._recovered()
    assert running._failing_for(111.0) == 0
    logged = [record.msg for record in caplog.records if record.name == "erp.outbox.relay"]
    assert [(line["event"], line.get("seconds")) for line in logged] == [
        ("relay.pubsub_failing", None),
        ("relay.pubsub_back", 10.0),
    ]
    clock.now = 200.0
    running._failing(NotPublished("UNAVAILABLE", "away"))
    running._recovered()
    assert len(caplog.records) == 2, "a refusal is no outage"


def test_a_relay_that_drains_is_done_when_a_sweep_of_each_bucket_found_nothing() -> None:
    def drained(*buckets: Bucket) -> bool:
        return relay_of(*buckets)._drained()

    failed, backing_off = ({parcel(): Hold(uuid4(), due)} for due in (None, 9.0))
    assert drained(Bucket(1, clean=True), Bucket(2, clean=True, holds=failed))
    assert not drained()
    assert not drained(Bucket(1, clean=True), Bucket(2))
    assert not drained(Bucket(1, clean=True), Bucket(2, clean=True, holds=backing_off))


@pytest.mark.parametrize(
    ("options", "answers", "reached"),
    [
        ({}, [None], True),
        ({}, [topology.Unreachable("away"), topology.Unreachable("away"), None], True),
        ({}, [topology.Lossy("no subscription")], topology.Lossy),
        ({"allow_lossy": True}, [topology.Lossy("no subscription")], True),
        ({"drain": True}, [topology.Unreachable("away")], False),
        ({"drain": True, "patience": 2.0}, [*[topology.Unreachable("away")] * 2, None], True),
        ({"drain": True, "patience": 2.0}, [topology.Unreachable("away")] * 3, False),
        ({"patience": 0.5}, [*[topology.Unreachable("away")] * 4, None], True),
    ],
)
def test_a_relay_starts_when_it_sees_a_safe_topology(
    monkeypatch: pytest.MonkeyPatch,
    drawn: list[tuple[float, float]],
    options: dict[str, Any],
    answers: list[Exception | None],
    reached: Any,
) -> None:
    clock, left = SimpleNamespace(now=100.0), list(answers)

    def preflight() -> None:
        clock.now += 0.7
        if (error := left.pop(0)) is not None:
            raise error

    async def pause(seconds: float) -> None:
        pass

    monkeypatch.setattr(relay.topology, "preflight", preflight)
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: clock.now))
    running = Relay(**options)
    monkeypatch.setattr(running, "_pause", pause)
    if reached is topology.Lossy:
        with pytest.raises(topology.Lossy):
            asyncio.run(running._reach_pubsub())
    else:
        assert asyncio.run(running._reach_pubsub()) is reached
        assert running.summary.ended == ("stopped" if reached else "unreachable")
    assert left == []
    assert drawn == [(0.1, 1.0)] * (len(answers) - 1)


def test_a_relay_that_stops_before_it_saw_the_topology_ends_so() -> None:
    running = Relay()
    running.stop()
    assert asyncio.run(running._reach_pubsub()) is False
    assert running.summary.ended == "stopped"


def test_one_check_of_the_topology_is_good_until_a_silence_of_half_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, running = SimpleNamespace(now=100.0), relay_of()
    checks: list[bool] = []
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(relay.topology, "preflight", lambda *, fresh: checks.append(fresh))

    async def work() -> list[bool]:
        first = running._check_after_silence()
        clock.now += 0.5
        assert running._check_after_silence() is first
        running._recovered()
        clock.now += 0.5
        assert running._check_after_silence() is first, "an answer came meanwhile"
        clock.now += 0.1
        second = running._check_after_silence()
        assert second is not first
        assert running._check_after_silence() is second
        return [await first, await second]

    assert asyncio.run(work()) == [True, True]
    assert checks == [True, True], "each looks anew"


@pytest.mark.parametrize("error", [topology.Lossy, topology.Unreachable])
def test_a_topology_that_can_lose_events_stops_publishing_unless_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def preflight(*, fresh: bool) -> None:
        raise error("no subscription")

    monkeypatch.setattr(relay.topology, "preflight", preflight)
    for options, fine in (({}, False), ({"allow_lossy": True}, True)):
        running = Relay(**options)
        assert asyncio.run(running._check_topology()) is fine
        assert running._topology_ok is fine
        assert (running._failing_since is None) is fine


def test_a_relay_waits_three_seconds_for_the_lock_of_a_layout(
    monkeypatch: pytest.MonkeyPatch, drawn: list[tuple[float, float]]
) -> None:
    clock, running, tries = SimpleNamespace(now=100.0), relay_of(), []
    refusals = 6

    async def join(connection: Any) -> None:
        clock.now += 0.5
        tries.append(clock.now)
        if len(tries) <= refusals:
            raise ownership.LayoutHeld("held")

    async def pause(seconds: float) -> None:
        pass

    monkeypatch.setattr(relay.ownership, "join", join)
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(running, "_pause", pause)
    running._connection = None  # type: ignore[assignment]
    asyncio.run(running._join())
    assert drawn == [(0, 0.3)] * 6
    refusals = 99
    tries.clear()
    with pytest.raises(ownership.LayoutHeld):
        asyncio.run(running._join())
    assert len(tries) == 7
    running.stop()
    with pytest.raises(ownership.LayoutHeld):
        asyncio.run(running._join())
    assert len(tries) == 8, "one that is told to stop does not wait"


def test_an_error_that_nobody_expected_while_sending_ends_the_relay() -> None:
    async def fail() -> None:
        raise RuntimeError("unexpected")

    async def work() -> Relay:
        running = relay_of()
        running._tasks = {asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(60))}
        tasks = sorted(running._tasks, key=lambda task: task.get_coro().__name__)  # type: ignore[union-attr]
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            running._done(task)
        return running

    running = asyncio.run(work())
    assert str(running._crash) == "unexpected"
    assert running._tasks == set()
    assert running._nudge.is_set()


def test_the_time_from_commit_to_acknowledgement_is_measured_for_each_event() -> None:
    def measured() -> tuple[float, float]:
        (metric,) = metrics.COMMIT_TO_ACK_SECONDS.collect()
        values = {sample.name.rpartition("_")[2]: sample.value for sample in metric.samples}
        return values["count"], values["sum"]

    before = measured()
    insert(uuid4(), uuid4(), uuid4())
    assert drain().published == 3
    count, seconds = (after - first for after, first in zip(measured(), before, strict=True))
    assert count == 3
    assert 0 < seconds < 60


def test_a_stream_falls_into_the_same_bucket_in_every_release(settings: Any) -> None:
    streams = [UUID(int=number) for number in (1, 2)]
    settings.OUTBOX_BUCKETS = 64
    assert [bucket_of("parcel", stream) for stream in streams] == [49, 35]
    settings.OUTBOX_BUCKETS = 1_000
    assert [bucket_of("parcel", stream) for stream in streams] == [145, 91]


def test_one_more_statement_is_executed_with_the_events_or_alone() -> None:
    statement = "INSERT INTO event_subscriber (subscription, started_at) VALUES (%s, clock_timestamp())"
    for events in ([Buffered("parcel.sent", 1, {}, "parcel", uuid4())], []):
        with (
            transaction.atomic(),
            flush_with_statement() as execute,
            CaptureQueriesContext(connection) as made,
        ):
            flush(events)
            assert len(made) == 0
            execute(statement, [f"with {len(events)}"])
            assert len(made) == 1
    assert sorted(Subscriber.objects.values_list("subscription", flat=True)) == ["with 0", "with 1"]
    assert EventOutbox.objects.count() == 1
    (row,) = insert(uuid4())
    assert row.sequence == 1, "the next unit of work writes its own"


def test_what_has_no_events_to_write_asks_the_database_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        flush([])


def test_events_are_committed_although_the_relay_cannot_be_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(buckets: frozenset[int]) -> None:
        raise ConnectionError("no Redis")

    monkeypatch.setattr("erp.outbox.flush.wake", fail)
    insert(uuid4())
    assert statuses() == {"pending": 1}


#
# Low-water mark, ownership of buckets and the check of each row's predecessor guard the order together; here
# each has to do it alone.


def ignore_open_transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let low-water marks move past what may still commit below them; the positions they reach."""
    marks = [0]
    settle = Bucket.settle

    def settle_early(bucket: Bucket, xmin: int, xmax: int, last: int | None, done: int | None) -> None:
        settle(bucket, 2**62, xmax, last, done)
        marks.append(bucket.mark)

    monkeypatch.setattr(Bucket, "settle", settle_early)
    return marks


def ignore_locks(monkeypatch: pytest.MonkeyPatch) -> set[ownership.Ownership]:
    """Make every relay work on all buckets, whatever their owner; return those relays."""
    working: set[ownership.Ownership] = set()

    async def balance(owner: ownership.Ownership) -> tuple[set[int], int]:
        gained = set(range(settings.OUTBOX_BUCKETS)) - owner.buckets
        owner.buckets |= gained
        working.add(owner)
        return gained, 0

    monkeypatch.setattr(ownership.Ownership, "balance", balance)
    return working


def ignore_predecessors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow every run of rows to start, whatever precedes it."""
    monkeypatch.setattr(Batch, "_may_start", lambda batch, row: True)


class LateWriter:
    """A transaction on a connection of its own that has taken its numbers, and commits when it leaves."""

    def __init__(self, *streams: UUID) -> None:
        self._streams = streams
        self._flushed, self._commit = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        with transaction.atomic():
            flush([Buffered("parcel.sent", 1, {}, "parcel", stream) for stream in self._streams])
            self._flushed.set()
            self._commit.wait(20)
        connections.close_all()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._flushed.wait(10)

    def __exit__(self, *_: object) -> None:
        self._commit.set()
        self._thread.join()


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_no_event_passes_one_below_a_low_water_mark_that_moved_too_far(
    settings: Any, monkeypatch: pytest.MonkeyPatch, one_bucket: None, ordering: str
) -> None:
    settings.OUTBOX_ORDERING = ordering
    monkeypatch.setattr(relay, "SWEEP_SECONDS", 1e6)
    marks = ignore_open_transactions(monkeypatch)
    stream = uuid4()
    with relaying():
        with LateWriter(stream, stream):
            (other,) = insert(uuid4())
            until(lambda: marks[-1] >= other.position)
        time.sleep(0.5)
        assert statuses() == {"published": 1, "pending": 2}, "no read finds what lies below the mark"
        insert(stream)
        until(lambda: statuses() == {"published": 4})
    assert in_order(received(count(4)))["parcel", stream] == [1, 2, 3]


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_a_late_commit_goes_before_what_follows_it_by_the_low_water_mark_alone(
    settings: Any, monkeypatch: pytest.MonkeyPatch, one_bucket: None, ordering: str
) -> None:
    settings.OUTBOX_ORDERING = ordering
    monkeypatch.setattr(relay, "SWEEP_SECONDS", 1e6)
    ignore_predecessors(monkeypatch)
    stream = uuid4()
    with relaying():
        with LateWriter(stream, stream):
            for number in range(1, 4):
                insert(uuid4())
                until(lambda number=number: statuses() == {"published": number})
        insert(stream)
        until(lambda: statuses() == {"published": 6})
    assert in_order(received(count(6)))["parcel", stream] == [1, 2, 3]


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
@pytest.mark.parametrize("marks", ["right", "too far"])
def test_streams_stay_in_order_although_two_relays_work_on_the_same_buckets(
    faults: Faults, settings: Any, monkeypatch: pytest.MonkeyPatch, ordering: str, marks: str
) -> None:
    settings.OUTBOX_BUCKETS, settings.OUTBOX_ORDERING = 2, ordering
    working = ignore_locks(monkeypatch)
    if marks == "too far":
        ignore_open_transactions(monkeypatch)
        monkeypatch.setattr(relay, "SWEEP_SECONDS", 0.5)
    faults(
        {"kind": "delay", "probability": 0.3, "milliseconds": 40}, {"kind": "lose_answer", "probability": 0.1}
    )
    streams = [uuid4() for _ in range(6)]

    def write(number: int) -> None:
        for turn in range(25):
            with transaction.atomic():
                chosen = [streams[(number + turn) % 6], uuid4()]
                flush([Buffered("parcel.sent", 1, {"turn": turn}, "parcel", stream) for stream in chosen])
                if (number + turn) % 3 == 0:
                    time.sleep(0.05)
        connections.close_all()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    with relaying() as one, relaying() as other:
        until(lambda: len(working) == 2)
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        until(lambda: statuses() == {"published": 200}, 60)
        published = [running.stop().published for running in (one, other)]
    assert min(published) > 0, "both worked"
    sequences = in_order(received(count(200)))
    assert sum(len(sequences["parcel", stream]) for stream in streams) == 100


PREDECESSORS = {
    "published": ("UPDATE event_outbox SET status = 'published' WHERE id = %s", [2], {"published": 3}),
    "purged": ("DELETE FROM event_outbox WHERE id = %s", [2], {"published": 2}),
    "failed": (
        "UPDATE event_outbox SET status = 'failed' WHERE id = %s",
        [],
        {"published": 1, "failed": 1, "pending": 1},
    ),
    "processing": (
        "UPDATE event_outbox SET status = 'processing', not_before = clock_timestamp() + interval '1 s'"
        " WHERE id = %s",
        [1, 2],
        {"published": 3},
    ),
}


@pytest.mark.parametrize(("statement", "sent", "outcome"), PREDECESSORS.values(), ids=PREDECESSORS)
def test_a_run_starts_only_behind_a_predecessor_that_is_published_or_purged(
    statement: str, sent: list[int], outcome: dict[str, int]
) -> None:
    stream, other = uuid4(), uuid4()
    (first,) = insert(stream)
    insert(stream, other)
    with connection.cursor() as cursor:
        cursor.execute(statement, [first.pk])
    drain()
    assert statuses() == outcome
    events = received(count(len(sent) + 1))
    assert [event.sequence for event in events if event.stream.aggregate_id == stream] == sent


@pytest.mark.parametrize("point", ["before_publish", "after_publish", "before_mark", "after_mark"])
def test_a_relay_killed_at_any_point_loses_nothing(settings: Any, one_bucket: None, point: str) -> None:
    streams = [uuid4() for _ in range(4)]
    for _ in range(10):
        insert(*streams)
    codes = []
    for every in (2, 1):
        code, _, err = ended(command("relay_outbox", "--once", ERP_RELAY_FAULT=f"{point}:{every}"))
        assert code in (0, -signal.SIGKILL), err
        codes.append(code)
        insert(*streams)
    assert -signal.SIGKILL in codes
    drain()
    assert statuses() == {"published": 48}
    sequences = in_order(received(count(48)))
    assert [len(sequence) for sequence in sequences.values()] == [12] * 4


def test_the_loss_of_its_database_connection_costs_nothing() -> None:
    with relaying():
        insert(uuid4())
        until(lambda: statuses() == {"published": 1})
        (victim,) = owners()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [victim])
        for _ in range(5):
            insert(uuid4())
        until(lambda: statuses() == {"published": 6})
        assert victim not in owners()
    assert len({event.event_id for event in received(count(6))}) == 6


def test_relays_share_the_buckets_and_take_over_from_a_dead_one() -> None:
    first = command("relay_outbox")
    until(lambda: [len(b) for b in owners().values()] == [64])
    second = command("relay_outbox")
    until(lambda: sorted(len(b) for b in owners().values()) == [32, 32])
    one, other = owners().values()
    assert one | other == set(range(64)), "every bucket has one owner"
    first.kill()
    ended(first)
    rows = [insert(uuid4())[0] for _ in range(40)]
    until(lambda: [len(b) for b in owners().values()] == [64])
    until(lambda: statuses() == {"published": len(rows)})
    second.send_signal(signal.SIGTERM)
    assert ended(second)[0] == 0


def test_a_relay_that_can_own_nothing_ends_at_once(one_bucket: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Locks of its own: a relay of another test that is about to end would leave its bucket to the second.
    for place, name in enumerate(("RELAY_BUCKET", "RELAY_PRESENT", "RELAY_LAYOUT")):
        monkeypatch.setattr(locks, name, 0x7F01 + place)
    with relaying():
        until(owners)
        assert asyncio.run(Relay(patience=60).run()).ended == "idle"


def test_a_newcomer_gets_its_share_from_a_busy_relay() -> None:
    with relaying():
        until(owners)
        for _ in range(20):
            insert(*[uuid4() for _ in range(20)])
        with relaying(patience=10) as newcomer:
            until(lambda: sorted(len(b) for b in owners().values()) == [32, 32])
        assert newcomer.stop().buckets == 32
        until(lambda: statuses() == {"published": 400})


def test_sigterm_finishes_the_batch_and_exits_0(faults: Faults) -> None:
    faults({"kind": "delay", "milliseconds": 1500})
    insert(uuid4(), uuid4())
    process = command("relay_outbox", "--json")
    until(owners)
    time.sleep(0.5)  # the requests are on their way now, for a second more
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)
    assert code == 0, err
    assert '"published": 2' in out
    assert statuses() == {"published": 2}


def test_an_outage_of_pubsub_fails_no_event(settings: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = PubSub(tmp_path, "--port", str(port))
    settings.PUBSUB_EMULATOR_HOST = server.address
    align()
    streams = [uuid4() for _ in range(5)]
    with relaying() as running:
        insert(*streams)
        until(lambda: statuses() == {"published": 5})
        server.end(signal.SIGKILL)
        for _ in range(10):
            insert(*streams)
        until(lambda: running.last_error)
        assert statuses() == {"published": 5, "pending": 50}
        assert set(EventOutbox.objects.values_list("processing_attempts", flat=True)) == {0}
        with PubSub(tmp_path, "--port", str(port)):
            until(lambda: statuses() == {"published": 55})
            events = received(count(55))
    assert [len(sequence) for sequence in in_order(events).values()] == [11] * 5


def test_a_relay_started_during_an_outage_waits_for_its_end(settings: Any, tmp_path: Path) -> None:
    with PubSub(tmp_path) as server:
        settings.PUBSUB_EMULATOR_HOST = server.address
        align()
    insert(uuid4())
    with relaying() as running:
        until(lambda: running.last_error)
        with PubSub(tmp_path, "--port", server.address.rpartition(":")[2]):
            until(lambda: statuses() == {"published": 1})


@pytest.mark.parametrize(
    "code",
    ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED", "PERMISSION_DENIED", "UNAUTHENTICATED"],
)
def test_a_failure_of_the_infrastructure_costs_no_attempt(faults: Faults, code: str) -> None:
    faults({"kind": "refuse", "code": code, "limit": 8})
    insert(uuid4(), uuid4())
    assert drain().published == 2
    assert set(EventOutbox.objects.values_list("status", "processing_attempts")) == {("published", 0)}


def test_a_lost_answer_repeats_the_same_event(faults: Faults) -> None:
    faults({"kind": "lose_answer", "limit": 1})
    (row,) = insert(uuid4())
    drain()
    events = received(lambda events: len(events) == 2)
    assert [(event.event_id, event.sequence) for event in events] == [(row.pk, 1)] * 2


def test_a_connection_cut_again_and_again_loses_nothing(faults: Faults) -> None:
    faults({"kind": "drop", "probability": 0.2, "limit": 5}, {"kind": "lose_answer", "probability": 0.2})
    streams = [uuid4() for _ in range(10)]
    with relaying():
        for _ in range(10):
            insert(*streams)
        until(lambda: statuses() == {"published": 100})
    sequences = in_order(received(count(100)))
    assert [len(sequence) for sequence in sequences.values()] == [10] * 10


def test_a_recreated_topic_receives_nothing_until_it_has_a_subscription(settings: Any) -> None:
    topic, subscription = endpoint.topic_path(settings.PUBSUB_TOPIC), settings.PUBSUB_SUBSCRIPTION
    (stream,), (other,) = streams_of(1, 1), streams_of(2, 1)
    with relaying() as running:
        insert(stream)
        until(lambda: statuses() == {"published": 1})
        call("Subscriber", "DeleteSubscription", types.DeleteSubscriptionRequest(
            subscription=endpoint.subscription_path(subscription)))  # fmt: skip
        call("Publisher", "DeleteTopic", types.DeleteTopicRequest(topic=topic))
        insert(stream)
        until(lambda: running.last_error)
        call("Publisher", "CreateTopic", types.Topic(name=topic))
        insert(other)  # of another bucket: its own request was never told that the topic had gone
        time.sleep(1.5)  # longer than any retry waits
        assert statuses() == {"published": 1, "pending": 2}, "the topic is back, but nobody listens"
        align()
        until(lambda: statuses() == {"published": 3})
    assert len(received(count(2))) == 2


def replace_topic(settings: Any) -> None:
    """Delete the topic with its subscription, and recreate it without one."""
    topic, subscription = endpoint.topic_path(settings.PUBSUB_TOPIC), settings.PUBSUB_SUBSCRIPTION
    call("Subscriber", "DeleteSubscription", types.DeleteSubscriptionRequest(
        subscription=endpoint.subscription_path(subscription)))  # fmt: skip
    call("Publisher", "DeleteTopic", types.DeleteTopicRequest(topic=topic))
    call("Publisher", "CreateTopic", types.Topic(name=topic))


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_events_published_to_a_replaced_topic_after_a_silence_are_sent_again(
    settings: Any, ordering: str
) -> None:
    settings.OUTBOX_ORDERING = ordering
    stream = uuid4()
    with relaying():
        insert(stream)
        until(lambda: statuses() == {"published": 1})
        time.sleep(0.6)
        replace_topic(settings)
        rows = insert(*[stream] * 20)
        time.sleep(1.0)
        assert statuses() == {"published": 1, "pending": 20}, "the topic has no subscription"
        align()
        until(lambda: statuses() == {"published": 21})
    assert [event.event_id for event in received(count(20))] == [row.pk for row in rows]


def test_a_relay_that_published_nothing_meanwhile_checks_the_topology_after_taking_over(
    settings: Any,
) -> None:
    with relaying():
        with relaying():
            time.sleep(1.5)  # until the two have shared the buckets
            replace_topic(settings)
        time.sleep(1.5)  # until the first has taken the other's buckets over
        insert(*(uuid4() for _ in range(20)))
        time.sleep(1.0)
        assert statuses() == {"pending": 20}, "the topic has no subscription"
        align()
        until(lambda: statuses() == {"published": 20})
    assert len(received(count(20))) == 20


SLOW_CHECK = {"kind": "delay", "methods": ["GetTopic"], "milliseconds": 5000, "limit": 1}


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_an_event_after_a_silence_is_published_beside_the_topology_check_and_marked_after_it(
    faults: Faults, settings: Any, ordering: str
) -> None:
    settings.OUTBOX_ORDERING = ordering
    with relaying() as running:
        insert(uuid4())
        until(lambda: statuses() == {"published": 1})
        time.sleep(0.6)
        faults(SLOW_CHECK)
        (row,) = insert(uuid4())
        assert row.pk in {event.event_id for event in received(count(2), seconds=4)}
        assert statuses() == {"published": 1, "pending": 1}, "the check is still running"
        until(lambda: statuses() == {"published": 2})
    assert running.stop().published == 2
    with Puller(endpoint.subscription_path(settings.PUBSUB_SUBSCRIPTION)) as puller:
        assert puller.next(0.5) is None, "it was sent once"


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_no_event_overtakes_one_whose_topology_check_is_still_running(
    faults: Faults, settings: Any, one_bucket: None, ordering: str
) -> None:
    settings.OUTBOX_ORDERING = ordering
    stream = uuid4()
    with relaying():
        insert(stream)
        events = received(count(1))
        until(lambda: statuses() == {"published": 1})
        time.sleep(0.6)
        replace_topic(settings)
        faults(SLOW_CHECK)
        insert(stream)  # acknowledged by a topic without a subscription
        time.sleep(0.5)
        call("Subscriber", "CreateSubscription", topology.subscriptions()[0])
        insert(stream)  # would be received
        time.sleep(0.5)
        assert statuses() == {"published": 1, "pending": 2}
        align()
        events += received(count(2))
        until(lambda: statuses() == {"published": 3})
    assert list(in_order(events).values()) == [[1, 2, 3]]


def test_a_check_of_the_topology_that_gets_no_answer_leaves_the_events_pending(faults: Faults) -> None:
    refusal = {"kind": "refuse", "methods": ["ListTopicSubscriptions"], "code": "UNAVAILABLE"}
    with relaying() as running:
        until(owners)
        faults(refusal)
        (row,) = insert(uuid4())
        until(lambda: running.last_error.startswith("TOPOLOGY"))
        assert statuses() == {"pending": 1}
        faults()
        until(lambda: statuses() == {"published": 1})
    events = received(lambda events: len(events) == 2)
    assert {(event.event_id, event.sequence) for event in events} == {(row.pk, 1)}


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Events above 5 kB are what Pub/Sub never takes."""
    settings.OUTBOX_MAX_ATTEMPTS = 2
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 5_000)


@pytest.mark.usefixtures("small_messages")
@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_poison_blocks_its_own_stream_and_no_other(settings: Any, one_bucket: None, ordering: str) -> None:
    settings.OUTBOX_ORDERING = ordering
    ill, well = uuid4(), [uuid4() for _ in range(3)]
    insert(ill, *well)
    (poison,) = insert(ill, size=6_000)
    insert(ill, *well)
    summary = drain()
    assert summary.failed == 1
    assert statuses() == {"published": 7, "failed": 1, "pending": 1}
    poison.refresh_from_db()
    assert poison.status == "failed"
    assert poison.processing_attempts == 2
    assert "bytes" in str(poison.last_error)
    insert(ill, *well)
    drain()
    assert statuses() == {"published": 10, "failed": 1, "pending": 2}
    sequences = in_order(received(count(10)))
    assert sequences[wire.Stream("parcel", ill)] == [1]
    assert [sequences[wire.Stream("parcel", stream)] for stream in well] == [[1, 2, 3]] * 3

    (copy,) = deliveries(count(1), settings.PUBSUB_DLQ_SUBSCRIPTION)
    assert copy.attributes["ce-id"] == str(poison.pk)
    assert copy.attributes[wire.REASON] == poison.last_error


@pytest.mark.usefixtures("small_messages")
def test_a_skipped_event_leaves_a_gap_marker_in_its_place() -> None:
    stream = uuid4()
    insert(stream)
    (poison,) = insert(stream, size=6_000)
    insert(stream)
    drain()
    from erp.access import SYSTEM

    operations.skip(poison, actor=SYSTEM, by="ops", reason="never needed")
    drain()
    first, gap, third = (event for event in received(count(4)) if event.stream.aggregate_id == stream)
    assert [first.sequence, gap.sequence, third.sequence] == [1, 2, 3]
    assert gap.is_gap
    assert gap.event_id == uuid5(poison.pk, "gap")
    poison.refresh_from_db()
    assert (poison.status, poison.resolution, poison.resolved_by) == ("published", "skipped", "ops")
    assert poison.resolution_reason == "never needed"


@pytest.mark.usefixtures("small_messages")
def test_a_retried_event_goes_out_under_its_own_id_once_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = uuid4()
    (poison,) = insert(stream, size=6_000)
    insert(stream)
    with relaying():
        until(lambda: statuses() == {"failed": 1, "pending": 1})
        monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 10_000)
        from erp.access import SYSTEM

        operations.retry(poison, actor=SYSTEM, by="ops", reason="limit raised")
        until(lambda: statuses() == {"published": 3})
    assert in_order(received(count(3)))["parcel", stream] == [1, 2]
    poison.refresh_from_db()
    assert poison.resolution == "retried"


@pytest.mark.usefixtures("small_messages")
def test_poison_in_a_large_request_is_found_by_halving(settings: Any, one_bucket: None) -> None:
    settings.OUTBOX_ORDERING = "bucket"
    streams = [uuid4() for _ in range(300)]
    with transaction.atomic():
        insert(*streams[:100])
        insert(streams[100], size=6_000)
        insert(*streams[101:])
    assert drain().published == 299
    assert [row.aggregate_id for row in EventOutbox.objects.exclude(status="published")] == [streams[100]]


def test_a_request_refused_once_is_not_its_events_fault(
    faults: Faults, settings: Any, one_bucket: None
) -> None:
    settings.OUTBOX_ORDERING = "bucket"
    faults({"kind": "refuse", "code": "INVALID_ARGUMENT", "limit": 1})
    insert(*[uuid4() for _ in range(50)])
    summary = drain()
    assert (summary.published, summary.poisoned) == (50, 0)


@pytest.mark.parametrize("ordering", ["aggregate", "bucket"])
def test_what_pubsub_itself_refuses_is_found_and_put_aside(
    faults: Faults, settings: Any, one_bucket: None, ordering: str
) -> None:
    settings.OUTBOX_ORDERING, settings.OUTBOX_MAX_ATTEMPTS = ordering, 2
    faults({"kind": "refuse", "code": "INVALID_ARGUMENT", "containing": "x" * 64})
    streams = [uuid4() for _ in range(20)]
    insert(*streams)
    (poison,) = insert(streams[7], size=64)
    insert(*streams)
    assert drain().published == 39
    assert statuses() == {"published": 39, "failed": 1, "pending": 1}
    poison.refresh_from_db()
    assert "INVALID_ARGUMENT" in str(poison.last_error)
    (copy,) = deliveries(count(1), settings.PUBSUB_DLQ_SUBSCRIPTION)
    assert copy.attributes["ce-id"] == str(poison.pk)
    assert copy.data == b"{}", "the copy goes without what was refused"


@pytest.mark.usefixtures("small_messages")
def test_a_thousand_waiting_rows_of_a_blocked_stream_delay_no_other_stream(
    settings: Any, one_bucket: None
) -> None:
    ill = uuid4()
    insert(ill, size=6_000)
    drain()
    for _ in range(3):
        insert(*[ill] * 500)
    # A transaction that stays open pins the low-water mark, so the mark can't be what passes them.
    with psycopg.connect(settings.DATABASE_DIRECT_URL) as other:
        other.execute("SELECT pg_current_xact_id()")
        with relaying():
            insert(uuid4())
            until(lambda: statuses().get("published") == 1)
    assert statuses() == {"published": 1, "failed": 1, "pending": 1500}


def test_a_dead_letter_copy_that_cannot_be_sent_yet_holds_up_only_its_stream(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOX_MAX_ATTEMPTS = 1
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 5_000)
    monkeypatch.setattr(relay, "BACKOFF_SECONDS", 1.0)
    with relaying():
        insert(uuid4())
        until(lambda: statuses() == {"published": 1})
        call("Publisher", "DeleteTopic", types.DeleteTopicRequest(
            topic=endpoint.topic_path(settings.PUBSUB_DLQ_TOPIC)))  # fmt: skip
        insert(uuid4(), size=6_000)
        until(lambda: statuses().get("processing") == 1)
        insert(uuid4())
        until(lambda: statuses() == {"published": 2, "processing": 1})
        # Attached to the topic that is gone; the operator removes it before a new topic may come.
        call("Subscriber", "DeleteSubscription", types.DeleteSubscriptionRequest(
            subscription=endpoint.subscription_path(settings.PUBSUB_DLQ_SUBSCRIPTION)))  # fmt: skip
        align()
        until(lambda: statuses() == {"published": 2, "failed": 1})


def test_the_layout_changes_only_when_the_outbox_is_drained(settings: Any) -> None:
    insert(uuid4())
    drain()
    insert(uuid4())
    settings.OUTBOX_BUCKETS = 8
    with pytest.raises(ownership.LayoutRefused):
        drain()
    settings.OUTBOX_BUCKETS = 64
    drain()
    settings.OUTBOX_BUCKETS, settings.OUTBOX_ORDERING = 8, "bucket"
    insert(uuid4())
    with pytest.raises(ownership.LayoutRefused):
        drain()
    settings.OUTBOX_BUCKETS, settings.OUTBOX_ORDERING = 64, "aggregate"
    drain()
    settings.OUTBOX_BUCKETS, settings.OUTBOX_ORDERING = 8, "bucket"
    drain()
    insert(*streams_of(7, 3))
    assert drain().published == 3


def test_no_relay_starts_on_another_layout_beside_a_running_one(settings: Any) -> None:
    with relaying():
        until(owners)
        settings.OUTBOX_BUCKETS = 8
        with pytest.raises(ownership.LayoutHeld):
            drain()
        settings.OUTBOX_BUCKETS = 64


def test_a_row_in_a_bucket_without_owner_is_reported(settings: Any) -> None:
    insert(uuid4())
    assert operations.figures().unowned_buckets == 1
    with relaying():
        until(lambda: operations.figures().unowned_buckets == 0)


def test_a_relay_needs_a_database_that_answers(settings: Any) -> None:
    settings.DATABASE_DIRECT_URL = "postgresql://erp@127.0.0.1:1/erp"
    with pytest.raises(psycopg.OperationalError):
        drain()
