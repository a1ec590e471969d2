"""The consumer: each event once, in order, together with what it causes (core §3)."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection, connections
from django.utils import timezone
from redis.exceptions import RedisError

from erp import tasks
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, Invalid
from erp.events import Event, event, registry, upcaster
from erp.outbox import deadletters, metrics, operations, subscriber, wire
from erp.outbox.models import Cursor, DeadLetter, EventOutbox, EventStream, Inbox, Parked
from erp.outbox.models import Subscriber as Start
from erp.outbox.publisher import BlockingPublisher
from erp.outbox.pull import Delivery
from erp.outbox.subscriber import QUICK_RETRIES, Consumer, DeliveryOutcome, Gap, Subscription
from erp.tests.outbox_support import PROJECT, command, drain, ended, insert, relaying, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("pubsub", "effects"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module", autouse=True)
def _parcels() -> Iterator[None]:
    """An event type of these tests, in two versions; the product doesn't know it before or after."""

    @event("parcel.sent", version=1, aggregate=("parcel", "parcel_id"))
    class ParcelSentV1(Event):
        parcel_id: UUID
        words: str

    @event("parcel.sent", version=2, aggregate=("parcel", "parcel_id"))
    class ParcelSent(Event):
        parcel_id: UUID
        text: str

    @upcaster("parcel.sent", from_version=1)
    def _rename(payload: dict[str, Any]) -> dict[str, Any]:
        return {"parcel_id": payload.get("parcel_id", str(UUID(int=0))), "text": payload.get("text", "")}

    yield
    del registry.types["parcel.sent"], registry.upcasters["parcel.sent", 1]


EFFECT = "INSERT INTO test_effect (event_id, sequence, note) VALUES (%s, %s, %s)"


@pytest.fixture
def effects(transactional_db: None) -> Iterator[None]:
    """A table that handlers write to."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS test_effect (n serial, event_id uuid, sequence int, note text)"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS test_effect")


@contextmanager
def handling(handler: Any) -> Iterator[None]:
    """The module's handler of parcel.sent, for the time of the block."""
    before = {name: list(entries) for name, entries in subscriber._handlers.items()}
    subscriber.handles(registry.latest("parcel.sent"))(handler)
    try:
        yield
    finally:
        subscriber._handlers.clear()
        subscriber._handlers.update(before)


def note(event: Any, *, meta: wire.Envelope) -> None:
    """Leave a trace of the event."""
    with connection.cursor() as cursor:
        cursor.execute(EFFECT, [meta.event_id, meta.sequence, event.text])


def applied(stream: UUID | None = None) -> list[int]:
    """Sequences in the order in which they were handled."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sequence FROM test_effect ORDER BY n")
        return [sequence for (sequence,) in cursor.fetchall()]


def envelope(stream: UUID, sequence: int, **fields: Any) -> wire.Envelope:
    """An event of a stream."""
    return wire.Envelope(
        **{
            "event_id": uuid4(),
            "event_type": "parcel.sent",
            "event_version": 1,
            "stream": wire.Stream("parcel", stream),
            "sequence": sequence,
            "occurred_at": timezone.now(),
            "data": '{"text": "x"}',
            **fields,
        }
    )


def consume(idle: float = 1.0) -> dict[str, int]:
    """Consume what there is."""
    return Consumer("cotton-erp-events-sub", idle=idle).run().as_dict()


@pytest.fixture
def subscription() -> Subscription:
    """A subscription that started now."""
    progress = Subscription("sub")
    progress.start()
    return progress


def test_a_repeat_has_no_effect(subscription: Subscription) -> None:
    sent = envelope(uuid4(), 1)
    with handling(note):
        assert [subscription.receive(sent) for _ in range(3)] == [
            DeliveryOutcome.APPLIED,
            DeliveryOutcome.REPEAT,
            DeliveryOutcome.REPEAT,
        ]
    assert applied() == [1]
    assert Inbox.objects.count() == 1


def test_what_comes_early_is_parked_and_applied_when_the_gap_closes(subscription: Subscription) -> None:
    stream = uuid4()
    with handling(note):
        outcomes = [subscription.receive(envelope(stream, n)) for n in (1, 3, 4, 6, 2)]
        assert outcomes == [
            DeliveryOutcome.APPLIED,
            DeliveryOutcome.PARKED,
            DeliveryOutcome.PARKED,
            DeliveryOutcome.PARKED,
            DeliveryOutcome.APPLIED,
        ]
        assert applied() == [1, 2, 3, 4]
        assert list(Parked.objects.values_list("sequence", flat=True)) == [6]
        subscription.receive(envelope(stream, 5).gap())
    assert applied() == [1, 2, 3, 4, 6], "a gap marker takes the place of 5"
    assert not Parked.objects.exists()
    assert Cursor.objects.get().applied == 6


def test_older_versions_reach_the_handler_upcast(subscription: Subscription) -> None:
    kinds = []
    with handling(lambda event, *, meta: kinds.append(type(event))):
        subscription.receive(envelope(uuid4(), 1, data='{"words": "old"}'))
    assert kinds == [registry.latest("parcel.sent")]


def test_events_that_nobody_handles_still_move_the_cursor(subscription: Subscription) -> None:
    stream = uuid4()
    for number in (1, 2):
        assert (
            subscription.receive(envelope(stream, number, event_type="parcel.lost"))
            is DeliveryOutcome.APPLIED
        )
    assert Cursor.objects.get().applied == 2


@contextmanager
def listening(listener: Any) -> Iterator[None]:
    """What is done about every event, for the time of the block."""
    subscriber.handles_all(listener)
    try:
        yield
    finally:
        subscriber._listeners.remove(listener)


def test_a_listener_receives_each_event_once_after_its_handlers(
    subscription: Subscription,
) -> None:
    stream, heard = uuid4(), []

    def handler(event: Any, *, meta: wire.Envelope) -> None:
        heard.append(("handler", meta.sequence))

    def listener(event: wire.Envelope) -> None:
        heard.append((event.event_type, event.sequence))

    sent = [envelope(stream, 1), envelope(stream, 2, event_type="parcel.lost"), envelope(stream, 3).gap()]
    with handling(handler), listening(listener):
        for event in (sent[0], sent[2], sent[1], sent[1], sent[0]):
            subscription.receive(event)
    assert heard == [("handler", 1), ("parcel.sent", 1), ("parcel.lost", 2), ("erp.gap", 3)]


def test_what_a_listener_does_commits_with_the_event_or_not_at_all(subscription: Subscription) -> None:
    sent = envelope(uuid4(), 1)

    def listener(event: wire.Envelope) -> None:
        with connection.cursor() as cursor:
            cursor.execute(EFFECT, [event.event_id, event.sequence, "heard"])
        if not Parked.objects.exists():
            raise ValueError("not yet")

    with handling(note), listening(listener):
        with pytest.raises(ValueError, match="not yet"):
            subscription.receive(sent)
        assert applied() == []
        subscription.receive(envelope(uuid4(), 2))
        assert subscription.receive(sent) is DeliveryOutcome.APPLIED
    assert applied() == [1, 1]


def test_two_consumers_apply_one_event_once(subscription: Subscription) -> None:
    stream = uuid4()
    events = [envelope(stream, number) for number in range(1, 21)]

    def work() -> None:
        for sent in events:
            Subscription("sub").receive(sent)
        connections.close_all()

    with handling(note):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert applied() == list(range(1, 21))


def test_a_stream_begins_at_1(subscription: Subscription) -> None:
    stream = uuid4()
    EventStream.objects.create(aggregate_type="parcel", aggregate_id=stream, created_at=timezone.now())
    with handling(note):
        assert subscription.receive(envelope(stream, 2)) is DeliveryOutcome.PARKED
        assert subscription.receive(envelope(uuid4(), 2)) is DeliveryOutcome.PARKED, (
            "nor one that we know nothing of"
        )


def test_only_a_stream_older_than_the_subscription_may_begin_later(subscription: Subscription) -> None:
    stream = uuid4()
    EventStream.objects.create(
        aggregate_type="parcel", aggregate_id=stream, created_at=timezone.now() - timedelta(days=1)
    )
    with handling(note):
        assert subscription.receive(envelope(stream, 7)) is DeliveryOutcome.APPLIED
        assert subscription.receive(envelope(stream, 9)) is DeliveryOutcome.PARKED
    assert applied() == [7]


def test_a_failure_of_the_first_event_does_not_move_the_beginning(subscription: Subscription) -> None:
    stream = uuid4()
    EventStream.objects.create(
        aggregate_type="parcel", aggregate_id=stream, created_at=timezone.now() - timedelta(days=1)
    )
    first = envelope(stream, 7)

    def fail(event: Any, *, meta: wire.Envelope) -> None:
        raise ValueError("not today")

    with handling(fail), pytest.raises(ValueError, match="not today"):
        subscription.receive(first)
    with handling(note):
        assert subscription.receive(envelope(stream, 8)) is DeliveryOutcome.PARKED
        assert subscription.receive(first) is DeliveryOutcome.APPLIED
    assert applied() == [7, 8]


def test_the_first_start_is_stored() -> None:
    Subscription("sub").start()
    began = Start.objects.get().started_at
    Subscription("sub").start()
    assert Start.objects.get().started_at == began


def test_a_failing_handler_leaves_nothing_behind(subscription: Subscription) -> None:
    def half(event: Any, *, meta: wire.Envelope) -> None:
        note(event, meta=meta)
        raise ValueError("the second half")

    with handling(half), pytest.raises(ValueError, match="second half"):
        subscription.receive(envelope(uuid4(), 1))
    assert applied() == []
    assert not Inbox.objects.exists()


@contextmanager
def consuming() -> Iterator[Consumer]:
    """A consumer beside the block."""
    consumer = Consumer("cotton-erp-events-sub")

    def work() -> None:
        consumer.run()
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield consumer
    finally:
        consumer.stop()
        thread.join(20)
        assert not thread.is_alive()


def dlq(*arguments: str) -> Any:
    """Run the command; return its output."""
    out = io.StringIO()
    call_command("dlq", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_an_event_refused_five_times_is_redriven_and_applied_once_before_the_later_ones() -> None:
    ill, well = uuid4(), uuid4()
    refuse = True

    def handler(event: Any, *, meta: wire.Envelope) -> None:
        if refuse and meta.stream.aggregate_id == ill and meta.sequence == 2:
            raise ValueError("there is no room for it, says 98765 43210")
        note(event, meta=meta)

    with relaying(), handling(handler), consuming() as consumer:
        insert(ill, well)
        (dead,) = insert(ill)
        insert(ill, well)
        insert(ill)
        (letter,) = until(lambda: dlq("list")["dead_letters"])
        assert (letter["id"], letter["kind"], letter["attempts"]) == (str(dead.pk), "refused", 5)
        assert letter["source"] == "cotton-erp-events-sub"
        assert letter["reason"].startswith("ValueError: there is no room for it"), "the consumer's own words"
        assert "98765" not in letter["reason"]
        until(lambda: Parked.objects.count() == 2)
        assert sorted(applied()) == [1, 1, 2], "the other stream went on, this one waits"
        assert consumer.tally.failed == 5, "followers are parked, not refused"

        refuse = False
        (redriven,) = dlq("redrive", str(dead.pk), "--reason", "room made", "--by", "asha")["redriven"]
        assert redriven["id"] == str(dead.pk)
        until(lambda: applied()[3:] == [2, 3, 4])
        assert not Parked.objects.exists()
        assert dlq("list")["dead_letters"] == []
    assert consumer.tally.failed == 5
    assert Inbox.objects.filter(event_id=dead.pk).count() == 1
    row = DeadLetter.objects.get(key=str(dead.pk))
    assert (row.status, row.resolved_by, row.resolution_reason) == ("redriven", "asha", "room made")
    (redrive_event,) = EventOutbox.objects.filter(event_type="dead_letter.redriven")
    assert (redrive_event.aggregate_id, redrive_event.payload["key"], redrive_event.payload["by"]) == (
        row.pk,
        str(dead.pk),
        "asha",
    )


@pytest.fixture
def refused() -> Iterator[EventOutbox]:
    """An event that lies among the dead letters; from now on it would be applied."""
    (dead,) = insert(uuid4())
    drain()

    def never(event: Any, *, meta: wire.Envelope) -> None:
        raise ValueError("never")

    with handling(never):
        assert consume()["failed"] == 5
    with handling(note):
        yield dead


def decided() -> DeadLetter:
    """The dead letter's row after a process stored a redrive decision and died."""
    with deadletters.held() as letters:
        (letter,) = letters.letters
    return deadletters.redrive(letter.row, actor=SYSTEM, reason="mended")  # type: ignore[no-any-return]


@pytest.mark.parametrize("died_after", ["the decision", "the publication", "the note that it was done"])
def test_a_crash_while_redriving_loses_nothing(refused: EventOutbox, died_after: str) -> None:
    row = decided()
    if died_after != "the decision":
        with deadletters.held() as letters:
            letters._do(letters.letters[0])
    if died_after == "the note that it was done":
        DeadLetter.objects.update(carried_out_at=timezone.now())
    assert tasks.count_dead_letters() == 0, "the periodic look goes on where it was left"
    assert consume()["applied"] == 1
    row.refresh_from_db()
    assert (row.status, row.carried_out_at is not None) == ("redriven", True)
    assert applied() == [1]
    assert not deadletters.undone()
    with deadletters.held() as letters:
        assert letters.letters == []


def test_a_letter_that_died_again_waits_for_another_decision(refused: EventOutbox) -> None:
    decided()
    assert tasks.count_dead_letters() == 0

    def again(event: Any, *, meta: wire.Envelope) -> None:
        raise ValueError("for another reason")

    with handling(again):
        assert consume()["failed"] == 5
    with deadletters.held() as letters:
        (letter,) = letters.letters
        assert (letter.row.status, letter.row.carried_out_at) == ("waiting", None)
        assert letter.row.last_error == "ValueError: for another reason"
        letters.redrive(letter, actor=SYSTEM, reason="mended again")
    assert consume()["applied"] == 1
    assert EventOutbox.objects.filter(event_type="dead_letter.redriven").count() == 2


def test_a_decision_waits_while_nothing_can_be_published(refused: EventOutbox, settings: Any) -> None:
    row = decided()
    alive, settings.PUBSUB_EMULATOR_HOST = settings.PUBSUB_EMULATOR_HOST, "127.0.0.1:1"
    assert tasks.count_dead_letters() is None
    assert deadletters.undone()
    settings.PUBSUB_EMULATOR_HOST = alive
    assert tasks.count_dead_letters() == 0
    row.refresh_from_db()
    assert row.carried_out_at is not None
    with pytest.raises(deadletters.NotWaiting):
        deadletters.discard(row, actor=SYSTEM, reason="too late")


def test_only_who_holds_the_capability_decides(refused: EventOutbox, user: Any) -> None:
    with deadletters.held() as letters:
        row = letters.letters[0].row
    for service in (deadletters.redrive, deadletters.discard):
        with pytest.raises(CapabilityMissing, match=r"outbox\.manage_dead_letters"):
            service(row, actor=user("INTERNAL_MANAGER"), reason="mended")
        with pytest.raises(Invalid):
            service(row, actor=user("INTERNAL_DIRECTOR"), reason="  ")
    EventOutbox.objects.filter(pk=refused.pk).update(status="failed")
    for service in (operations.retry, operations.skip):
        with pytest.raises(CapabilityMissing, match=r"outbox\.manage"):
            service(refused, actor=user("INTERNAL_MANAGER"), reason="mended")
    assert EventOutbox.objects.get(pk=refused.pk).status == "failed"
    assert not DeadLetter.objects.exclude(status="waiting").exists()


def test_what_failed_and_was_applied_in_the_end_is_no_dead_letter() -> None:
    insert(uuid4())
    drain()
    tries = 0

    def handler(event: Any, *, meta: wire.Envelope) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ValueError("not yet")
        note(event, meta=meta)

    with handling(handler), consuming():
        until(lambda: tries == 3 and applied() == [1])
        until(lambda: not DeadLetter.objects.exists())


def test_a_discarded_dead_letter_counts_as_an_empty_place() -> None:
    stream = uuid4()
    (dead,) = insert(stream)
    insert(stream)
    drain()

    def handler(event: Any, *, meta: wire.Envelope) -> None:
        if meta.sequence == 1:
            raise ValueError("never")
        note(event, meta=meta)

    with handling(handler):
        consume(2.0)
        assert applied() == []
        with deadletters.held() as letters:
            (letter,) = letters.letters
            assert letter.key == str(dead.pk)
            letters.discard(letter, actor=SYSTEM, by="ops", reason="of no use")
    assert applied() == [2]


def test_a_copy_of_the_relays_poison_points_to_the_outbox(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOX_MAX_ATTEMPTS = 1
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 5_000)
    (poison,) = insert(uuid4(), size=6_000)
    drain()
    with deadletters.held() as letters:
        (letter,) = letters.letters
        assert letter.row.kind == "poison"
        with pytest.raises(deadletters.NotRedrivable, match=f"outbox retry {poison.pk}"):
            letters.redrive(letter, actor=SYSTEM, by="ops", reason="try")
    with deadletters.held() as letters:
        letters.discard(letters.letters[0], actor=SYSTEM, by="ops", reason="known")
    assert EventOutbox.objects.get(pk=poison.pk).status == "failed", (
        "the event itself waits for `outbox retry` or `skip`"
    )


def test_a_parked_event_that_fails_waits_for_an_operator_after_its_attempts(
    subscription: Subscription, settings: Any
) -> None:
    settings.PUBSUB_SUBSCRIPTION = "sub"
    settings.PUBSUB_RETRY_MIN_SECONDS = settings.PUBSUB_RETRY_MAX_SECONDS = 0
    stream = uuid4()
    refuse = True

    def handler(event: Any, *, meta: wire.Envelope) -> None:
        if refuse and meta.sequence == 2:
            raise ValueError("no, says 98765 43210")
        note(event, meta=meta)

    with handling(handler):
        second = envelope(stream, 2)
        subscription.receive(second)
        subscription.receive(envelope(stream, 3))
        assert subscription.receive(envelope(stream, 1)) is DeliveryOutcome.APPLIED
        for _ in range(8):
            subscription.sweep()
        parked = Parked.objects.get(sequence=2)
        assert parked.attempts == 5, "then it is left alone"
        assert "98765" not in parked.last_error
        with deadletters.held() as letters:
            (letter,) = letters.letters
            assert (letter.key, letter.row.kind) == (str(second.event_id), "parked")
            refuse = False
            deadletters.redrive(letter.row, actor=SYSTEM, by="ops", reason="mended")
        with deadletters.held() as letters:
            assert letters.carry_out_decisions() == 1, "a later look carries out what was decided"
        subscription.sweep()
    assert applied() == [1, 2, 3]


def test_what_is_no_event_of_ours_ends_as_a_dead_letter(settings: Any) -> None:
    from erp.outbox import endpoint

    with BlockingPublisher() as publisher:
        publisher.publish(endpoint.topic_path(settings.PUBSUB_TOPIC), [wire.Message(data=b"hello")])
    assert consume()["failed"] == 5
    with deadletters.held() as letters:
        (letter,) = letters.letters
        assert letter.row.kind == "malformed"
        with pytest.raises(deadletters.NotRedrivable):
            letters.redrive(letter, actor=SYSTEM, by="ops", reason="try")
        letters.discard(letter, actor=SYSTEM, by="ops", reason="not ours")


def test_while_redis_is_down_no_event_uses_up_an_attempt(settings: Any) -> None:
    insert(uuid4())
    drain()
    alive, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    attempts = []

    def handler(event: Any, *, meta: wire.Envelope) -> None:
        attempts.append(meta.event_id)
        if len(attempts) < 4:
            raise ConnectionError("something that needed Redis")
        settings.REDIS_URL = alive
        note(event, meta=meta)

    with handling(handler):
        tally = consume()
    assert tally == {"applied": 1, "repeat": 0, "parked": 0, "failed": 0}
    assert applied() == [1]


def test_the_loss_of_the_database_connection_uses_up_no_attempt() -> None:
    insert(uuid4())
    drain()
    lost = []

    def handler(event: Any, *, meta: wire.Envelope) -> None:
        if not lost:
            lost.append(True)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        note(event, meta=meta)

    with handling(handler):
        assert consume() == {"applied": 1, "repeat": 0, "parked": 0, "failed": 0}
    assert applied() == [1]


def test_a_gap_older_than_a_minute_is_an_alarm_once() -> None:
    stream = uuid4()
    progress = Subscription("cotton-erp-events-sub")
    progress.start()
    progress.receive(envelope(stream, 2))
    consumer = Consumer("cotton-erp-events-sub")
    before = metrics.GAPS._value.get()
    consumer._sweep()
    assert metrics.GAPS._value.get() == before
    Parked.objects.update(parked_at=timezone.now() - timedelta(seconds=60))
    for _ in range(3):
        consumer._sweep()
        assert metrics.GAPS._value.get() == before + 1
    (gap,) = progress.gaps()
    assert (gap.stream.aggregate_id, gap.missing, gap.parked) == (stream, 1, 1)


def test_the_sweeper_applies_a_parked_event_whose_turn_has_come(subscription: Subscription) -> None:
    stream = uuid4()
    with handling(note):
        subscription.receive(envelope(stream, 2))
        # As after a crash between the commit of 1 and the look at what was parked behind it.
        subscription._take(envelope(stream, 1))
        assert applied() == [1]
        subscription.sweep()
    assert applied() == [1, 2]


def test_an_event_in_the_inbox_is_not_handled_again_although_its_cursor_is_behind(
    subscription: Subscription,
) -> None:
    sent, heard = envelope(uuid4(), 1), []
    Inbox.objects.create(subscription="sub", event_id=sent.event_id)
    with handling(note), listening(heard.append):
        assert subscription.receive(sent) is DeliveryOutcome.APPLIED
    assert (applied(), heard) == ([], [])
    assert Cursor.objects.get().applied == 1


def test_a_parked_event_that_fails_is_put_off_for_longer_each_time(
    subscription: Subscription, settings: Any, caplog: Any
) -> None:
    settings.PUBSUB_RETRY_MIN_SECONDS, settings.PUBSUB_RETRY_MAX_SECONDS = 100, 500
    stream, waits = uuid4(), []

    def fail(event: Any, *, meta: wire.Envelope) -> None:
        if meta.sequence == 2:
            raise ValueError("no")

    with handling(fail):
        subscription.receive(envelope(stream, 2))
        subscription.receive(envelope(stream, 1))
        for _ in range(4):
            waits.append((Parked.objects.get().next_attempt_at - timezone.now()).total_seconds())
            Parked.objects.update(next_attempt_at=timezone.now())
            subscription.sweep()
    assert waits == pytest.approx([100, 200, 400, 500], abs=30)
    logged = [record.msg for record in caplog.records if record.name == "erp.outbox.subscriber"]
    assert [line["attempt"] for line in logged] == [1, 2, 3, 4, 5]


def test_during_an_outage_a_parked_event_loses_no_attempt(
    subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = uuid4()

    def fail(event: Any, *, meta: wire.Envelope) -> None:
        if meta.sequence == 2:
            raise ConnectionError("what is down")

    monkeypatch.setattr(subscriber, "dependency_down", lambda: "Redis: it is down")
    with handling(fail):
        subscription.receive(envelope(stream, 2))
        with pytest.raises(ConnectionError):
            subscription.receive(envelope(stream, 1))
    assert Parked.objects.get().attempts == 0
    assert Cursor.objects.get().applied == 1


def test_of_a_failure_the_first_thousand_characters_are_stored(subscription: Subscription) -> None:
    event = envelope(uuid4(), 1, event_type="t" * 150)
    subscription.note_failure(event, ValueError("w" * 3_000), 2)
    row = DeadLetter.objects.get()
    assert (row.event_type, row.last_error) == ("t" * 100, f"ValueError: {'w' * 988}")


def test_what_is_reported_of_a_gap_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Gap(wire.Stream("parcel", uuid4()), 1, 1).missing = 2  # type: ignore[misc]


class Clock:
    """The monotonic clock that the consumer reads."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Messages:
    """In place of a puller: messages that wait, and what became of them. Each takes ``seconds``."""

    def __init__(self, clock: Clock, seconds: float, *events: wire.Envelope | None, attempt: int = 1) -> None:
        self.clock, self.seconds, self.attempt = clock, seconds, attempt
        self.waiting = list(events)
        self.acknowledged: list[int] = []  # messages per call
        self.refused = 0
        self.open = 0  # taken and not settled
        self.longest = 0.0  # wait for a message

    def __call__(self, path: str) -> "Messages":
        return self

    def __enter__(self) -> "Messages":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stop(self) -> None:
        pass

    def next(self, timeout: float) -> Delivery | None:
        self.longest = max(self.longest, timeout)
        if not self.waiting:
            assert timeout <= 0 or not self.open, "it settles what it has before it waits"
            self.clock.now += timeout or 0.001
            assert self.clock.now < 1_100, "it does not end"
            return None
        event = self.waiting.pop(0)
        self.clock.now += self.seconds
        self.open += 1
        values = ({}, b"hello") if event is None else (wire.attributes(event), event.data.encode())
        return Delivery(uuid4().hex, uuid4().hex, *values, ordering_key="", attempt=self.attempt)

    def acknowledge(self, ack_ids: Any) -> None:
        if ack_ids:
            self.acknowledged.append(len(ack_ids))
            self.open -= len(ack_ids)

    def give_back(self, ack_ids: Any) -> None:
        self.refused += len(ack_ids)
        self.open -= len(ack_ids)


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Messages]:
    """Make the messages that a consumer finds, each taking it so many seconds."""

    def make(seconds: float, *events: wire.Envelope | None, **more: Any) -> Messages:
        clock = Clock()
        found = Messages(clock, seconds, *events, **more)
        monkeypatch.setattr(subscriber, "time", clock)
        monkeypatch.setattr(subscriber, "Puller", found)
        return found

    return make


def events_of(count: int) -> list[wire.Envelope]:
    """The first events of one stream."""
    stream = uuid4()
    return [envelope(stream, sequence) for sequence in range(1, count + 1)]


@pytest.mark.parametrize(
    ("seconds", "acknowledged"), [(0.0, [100, 5]), (0.02, [4] * 26 + [1]), (0.5, [2] * 52 + [1])]
)
def test_messages_are_acknowledged_by_the_hundred_or_after_a_twentieth_of_a_second(
    messages: Any, seconds: float, acknowledged: list[int]
) -> None:
    found = messages(seconds, *events_of(105))
    tally = Consumer("sub", idle=1).run()
    assert tally.as_dict() == {"applied": 105, "repeat": 0, "parked": 0, "failed": 0}
    assert found.acknowledged == acknowledged
    assert found.longest <= 0.5, "it looks that often whether it is to stop"


def test_a_consumer_sweeps_every_five_seconds_and_ends_when_nothing_came_for_long_enough(
    messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, sweeps = messages(0.1, *events_of(1)), []
    monkeypatch.setattr(Consumer, "_sweep", lambda consumer: sweeps.append(found.clock.now - 1_000))
    Consumer("sub", idle=12).run()
    assert sweeps == pytest.approx([0, 5.1, 10.3], abs=0.35)
    assert found.clock.now - 1_000 == pytest.approx(12.3, abs=0.35)


@pytest.mark.parametrize(("seconds", "handled"), [(0.1, 6), (6.5, 5), (10.0, 3)])
def test_a_consumer_told_to_stop_settles_what_it_has_for_twenty_seconds(
    messages: Any, seconds: float, handled: int
) -> None:
    found = messages(seconds, *events_of(6))
    consumer = Consumer("sub")

    def stop(event: wire.Envelope) -> None:
        consumer.stop()

    with listening(stop):
        assert consumer.run().applied == handled
    assert (sum(found.acknowledged), found.open) == (handled, 0)


def test_a_consumer_told_to_stop_settles_messages_behind_those_that_it_refuses(messages: Any) -> None:
    first, ill, well = envelope(uuid4(), 1), envelope(uuid4(), 1), envelope(uuid4(), 1)
    found = messages(0.1, first, None, ill, well)
    consumer = Consumer("sub")

    def stop(event: wire.Envelope) -> None:
        consumer.stop()
        if event.event_id == ill.event_id:
            raise ValueError("never")

    with listening(stop):
        assert consumer.run().as_dict() == {"applied": 2, "repeat": 0, "parked": 0, "failed": 2}
    assert (sum(found.acknowledged), found.refused) == (2, 2)


@pytest.mark.parametrize("is_noted", [False, True])
def test_a_consumer_told_to_stop_in_an_outage_leaves_the_rest_to_the_next(
    messages: Any, monkeypatch: pytest.MonkeyPatch, is_noted: bool
) -> None:
    found, tries = messages(0.1, *events_of(3)), []
    consumer = Consumer("sub")

    def receive(*_: Any) -> None:
        tries.append("receive")
        if is_noted:
            raise ValueError("never")
        consumer.stop()
        raise ConnectionError("what is down")

    def write(*_: Any) -> None:
        tries.append("note")
        consumer.stop()
        raise ConnectionError("what is down")

    def down() -> str:
        return "" if is_noted and tries[-1] == "receive" else "database: it is down"

    monkeypatch.setattr(subscriber, "dependency_down", down)
    monkeypatch.setattr(Subscription, "receive", receive)
    monkeypatch.setattr(Subscription, "note_failure", write)
    assert sum(consumer.run().as_dict().values()) == 0
    assert tries == (["receive", "note"] if is_noted else ["receive"]) * 2
    assert (found.acknowledged, found.refused, len(found.waiting)) == ([], 0, 1)


def test_what_came_again_and_was_applied_is_no_failure_any_more(
    messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[tuple[int, int]] = []
    attempt = 0

    def forget(subscription: Subscription, event: wire.Envelope) -> None:
        forgotten.append((attempt, event.sequence))

    monkeypatch.setattr(Subscription, "forget_failure", forget)
    for attempt in (0, 1, 2, 3):
        first, _, early = events_of(3)
        messages(0.1, early, first, attempt=attempt)
        Consumer("sub", idle=1).run()
    assert forgotten == [(2, 1), (3, 1)], "not the first time, nor what is parked"


def test_each_outcome_is_counted(messages: Any) -> None:
    first, _, early = events_of(3)
    before = metrics.DUPLICATES._value.get()
    messages(0.1, first, early, first, first)
    assert Consumer("sub", idle=1).run().as_dict() == {"applied": 1, "repeat": 2, "parked": 1, "failed": 0}
    assert metrics.DUPLICATES._value.get() == before + 2


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Least and most of the random pauses between tries; none takes any time."""
    made: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        made.append((least, most))
        return 0.0

    monkeypatch.setattr(subscriber, "random", SimpleNamespace(uniform=uniform))
    return made


class Failing:
    """Work that fails with the errors, one after the other, and then is done."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.runs = list(failures), 0

    def __call__(self) -> None:
        self.runs += 1
        if self.failures:
            raise self.failures.pop(0)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, RedisError])
def test_what_may_be_an_outage_is_tried_three_times_more(
    pauses: list[tuple[float, float]], caplog: Any, error: type[Exception]
) -> None:
    work = Failing(*[error() for _ in range(3)])
    assert Consumer("sub")._patiently(work)
    assert (work.runs, pauses) == (4, [(0.05, 0.2)] * 3)
    assert caplog.records == [], "a try more is no outage"
    work = Failing(*[error() for _ in range(9)])
    with pytest.raises(error):
        Consumer("sub")._patiently(work)
    assert work.runs == 4


def test_what_is_no_outage_is_tried_once(pauses: list[tuple[float, float]]) -> None:
    work = Failing(ValueError())
    with pytest.raises(ValueError):  # noqa: PT011 - it is the one above
        Consumer("sub")._patiently(work)
    assert (work.runs, pauses) == (1, [])


def test_an_outage_is_waited_for_and_reported_once(
    pauses: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    down = iter([*["Redis: it is down"] * 9, *[""] * QUICK_RETRIES])
    monkeypatch.setattr(subscriber, "dependency_down", lambda: next(down))
    work = Failing(*[ValueError() for _ in range(9)], *[OperationalError() for _ in range(QUICK_RETRIES)])
    assert Consumer("sub")._patiently(work), "as many quick retries after an outage as without one"
    assert (work.runs, pauses) == (13, [(0.05, 1.0)] * 9 + [(0.05, 0.2)] * 3)
    logged = [record.msg["event"] for record in caplog.records if record.name == "erp.outbox.subscriber"]
    assert logged == ["consumer.waiting", "consumer.resumed"]


def test_a_replay_changes_nothing_for_who_has_it_all(settings: Any) -> None:
    stream = uuid4()
    insert(stream, stream)
    drain()
    metas = []

    def handler(event: Any, *, meta: wire.Envelope) -> None:
        metas.append(meta)
        note(event, meta=meta)

    with handling(handler):
        consume()
        operations.replay(
            operations.Selection(aggregate_type="parcel", aggregate_id=stream),
            topic=settings.PUBSUB_TOPIC,
            actor=SYSTEM,
            by="ops",
            reason="a new consumer",
        )
        assert consume() == {"applied": 0, "repeat": 2, "parked": 0, "failed": 0}
    assert applied() == [1, 2]
    assert [meta.replay for meta in metas] == [False, False]


def test_sigterm_ends_the_consumer_with_exit_code_0() -> None:
    insert(uuid4())
    drain()
    process = command("consume_events", "--json")
    until(lambda: Cursor.objects.filter(applied=1).exists())
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)
    assert code == 0, err
    assert out.strip() == '{"applied": 1, "repeat": 0, "parked": 0, "failed": 0}'


CONSUMER = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from erp.outbox import pull, subscriber

pull.LEASE_SECONDS = 10
seen = 0
def handler(event, *, meta):
    global seen
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO test_effect (event_id, sequence, note) VALUES (%s, %s, '')",
                       [meta.event_id, meta.sequence])
    seen += 1
    if seen == 4:
        os.kill(os.getpid(), signal.SIGKILL)

subscriber.handlers = lambda event_type: [handler]
subscriber.registry.load = lambda *arguments: None
subscriber.Consumer._flush = lambda *arguments: None  # it dies before it can acknowledge
subscriber.Consumer("cotton-erp-events-sub", idle=2).run()
"""


def test_a_killed_consumer_repeats_no_effect(settings: Any) -> None:
    stream = uuid4()
    insert(*[stream] * 6)
    drain()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": settings.DATABASE_DIRECT_URL,
        "PUBSUB_PROJECT_ID": settings.PUBSUB_PROJECT_ID,
    }
    died = subprocess.run([sys.executable, "-c", CONSUMER], cwd=PROJECT, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    assert applied() == [1, 2, 3], "the fourth was not committed"
    with handling(note):
        repeats = 0

        def consumed() -> bool:
            nonlocal repeats
            repeats += consume()["repeat"]
            return len(applied()) == 6

        until(consumed, seconds=60)  # once the dead one's lease is over
    assert applied() == [1, 2, 3, 4, 5, 6]
    assert repeats == 3, "it had not acknowledged what it had applied"


def test_a_handler_of_an_outdated_version_is_refused_at_start() -> None:
    with handling(note):
        subscriber.seal()
    old = registry.get("parcel.sent", 1)
    before = {name: list(entries) for name, entries in subscriber._handlers.items()}
    try:
        subscriber.handles(old)(note)
        with pytest.raises(ImproperlyConfigured, match=r"version 1 of parcel\.sent, the newest is 2"):
            subscriber.seal()
    finally:
        subscriber._handlers.clear()
        subscriber._handlers.update(before)
