"""The relay: order per stream, nothing lost, nothing stuck (core §2)."""

import asyncio
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from google.pubsub_v1 import types

from erp import locks
from erp.embedded.testing import PubSub
from erp.outbox import endpoint, operations, ownership, relay, topology, wire
from erp.outbox.batches import Batch, Bucket
from erp.outbox.flush import Buffered, flush
from erp.outbox.models import EventOutbox
from erp.outbox.pull import Puller
from erp.outbox.relay import Relay
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

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pubsub")]


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
