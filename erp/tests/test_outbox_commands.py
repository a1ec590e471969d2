"""``outbox`` and ``dlq``: what operators see and do, with exit codes and reasons."""

import io
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from erp import clock
from erp.outbox import relay, tasks, wakeup, wire
from erp.outbox.models import DeadLetter, EventOutbox, Inbox
from erp.outbox.subscriber import Consumer
from erp.tests.outbox_support import count, deliveries, drain, insert, relaying, statuses, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pubsub")]


def run(*arguments: str) -> tuple[int, Any]:
    """Run a command with ``--json``; return its exit code and output."""
    out = io.StringIO()
    code = 0
    try:
        call_command(*arguments, "--json", stdout=out)
    except SystemExit as ending:
        code = int(str(ending.code))
    except CommandError as error:
        code = error.returncode
    return code, json.loads(out.getvalue() or "{}")


@pytest.fixture
def failed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> EventOutbox:
    """An event that Pub/Sub refused for good, with one behind it."""
    settings.OUTBOX_MAX_ATTEMPTS = 1
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 5_000)
    stream = uuid4()
    (row,) = insert(stream, size=6_000)
    insert(stream)
    drain()
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 10_000_000)
    return row


def test_status_is_0_when_all_is_out() -> None:
    insert(uuid4())
    drain()
    code, output = run("outbox", "status")
    assert code == 0
    assert (output["pending"], output["failed"], output["faults"]) == (0, 0, [])


def test_status_is_1_when_something_waits_too_long() -> None:
    insert(uuid4())
    assert run("outbox", "status")[0] == 0
    EventOutbox.objects.update(created_at=timezone.now() - timedelta(seconds=30))
    code, output = run("outbox", "status")
    assert code == 1
    assert output["pending"] == 1
    assert 29 < output["oldest_seconds"] < 60
    assert output["unowned_buckets"] == 1
    assert run("outbox", "status", "--max-age", "60")[0] == 0


def test_status_is_1_when_something_failed(failed: EventOutbox) -> None:
    EventOutbox.objects.update(created_at=timezone.now() - timedelta(hours=1))
    code, output = run("outbox", "status")
    assert code == 1
    assert (output["failed"], output["blocked_streams"]) == (1, 1)
    assert output["oldest_seconds"] == 0, "what waits behind a failed event is told by that event"
    assert run("outbox", "status", "--max-failed", "1")[0] == 0


def test_list_filters_by_type_aggregate_status_and_time(failed: EventOutbox) -> None:
    insert(uuid4(), kind="crate")
    drain()

    def listed(*arguments: str) -> list[tuple[str, str]]:
        code, output = run("outbox", "list", *arguments)
        assert code == 0
        return [(event["type"], event["status"]) for event in output["events"]]

    assert listed() == [("parcel.sent", "failed"), ("parcel.sent", "pending"), ("crate.sent", "published")]
    assert listed("--type", "crate.sent") == [("crate.sent", "published")]
    assert listed("--aggregate", f"parcel:{failed.aggregate_id}", "--status", "pending") == [
        ("parcel.sent", "pending")
    ]
    assert listed("--until", "2020-01-01T00:00:00Z") == []
    assert len(listed("--since", "2020-01-01T00:00:00Z", "--limit", "2")) == 2
    assert listed(str(failed.pk)) == [("parcel.sent", "failed")]


def test_list_for_people_begins_with_what_an_operator_looks_for(failed: EventOutbox) -> None:
    first, second = insert(uuid4(), kind="crate"), insert(uuid4(), kind="crate")
    drain()

    def listed(*arguments: str) -> list[str]:
        out = io.StringIO()
        call_command("outbox", "list", *arguments, stdout=out)
        return out.getvalue().splitlines()

    header, *lines = listed()
    assert header.split() == ["STATUS", "CREATED", "EVENT", "STREAM", "SEQ", "ATTEMPTS", "ID", "ERROR"]
    assert [line.split()[0] for line in lines] == ["failed", "pending", "published", "published"]
    assert str(failed.pk) in lines[0]
    assert clock.local(failed.created_at) in lines[0]
    assert str(second[0].pk) in lines[2]
    assert str(first[0].pk) in lines[3]
    _, *short, note = listed("--limit", "2")
    assert [line.split()[0] for line in short] == ["failed", "pending"]
    assert note == "Only the first 2 are shown; --limit N shows more."
    assert len(listed("--status", "published", "--limit", "3")) == 3


def test_show_prints_the_payload_and_the_reason(failed: EventOutbox) -> None:
    code, output = run("outbox", "show", str(failed.pk))
    assert code == 0
    assert output["payload"] == failed.payload
    assert "bytes" in output["last_error"]
    out = io.StringIO()
    call_command("outbox", "show", str(failed.pk), stdout=out)
    shown = dict(line.split(maxsplit=1) for line in out.getvalue().splitlines())
    assert shown["created_at"] == clock.local(failed.created_at)
    assert shown["processed_at"] == "–"
    assert json.loads(shown["aggregate"]) == {"type": "parcel", "id": str(failed.aggregate_id)}
    assert run("outbox", "show", str(uuid4()))[0] == 1
    assert run("outbox", "show", "nonsense")[0] == 2


@pytest.mark.parametrize(("verb", "resolution"), [("retry", "retried"), ("skip", "skipped")])
def test_a_failed_event_is_resolved_with_a_name_and_a_reason(
    failed: EventOutbox, verb: str, resolution: str
) -> None:
    code, output = run("outbox", verb, str(failed.pk), "--reason", "why not", "--by", "asha", "--dry-run")
    assert code == 0
    assert [event["id"] for event in output[resolution]] == [str(failed.pk)]
    assert statuses() == {"failed": 1, "pending": 1}, "a dry run changes nothing"
    assert run("outbox", verb, str(failed.pk), "--reason", "why not", "--by", "asha")[0] == 0
    failed.refresh_from_db()
    assert (failed.status, failed.resolution, failed.resolved_by) == ("pending", resolution, "asha")
    assert failed.resolution_reason == "why not"
    assert failed.resolved_at is not None
    (output,) = EventOutbox.objects.filter(aggregate_type="outbox_event", aggregate_id=failed.pk)
    assert (output.event_type, output.actor_id) == (f"outbox_event.{resolution}", None)
    assert (output.payload["reason"], output.payload["by"]) == ("why not", "asha")
    drain()
    assert statuses() == {"published": 3}


def test_resolving_needs_a_reason_and_something_to_resolve(failed: EventOutbox) -> None:
    assert run("outbox", "skip", str(failed.pk), "--reason", "  ")[0] == 2
    assert run("outbox", "skip", "--reason", "all of them")[0] == 2, "which? Everything only by --all"
    code, output = run("outbox", "skip", str(failed.pk), str(uuid4()), "--reason", "two")
    assert code == 3
    assert len(output["skipped"]) == len(output["not_failed"]) == 1
    assert run("outbox", "skip", str(failed.pk), "--reason", "again")[0] == 1, "it isn't failed any more"
    with pytest.raises(CommandError):
        call_command("outbox", "skip", str(failed.pk))


def test_replay_sends_the_same_events_and_asks_before_it_floods_the_live_topic(settings: Any) -> None:
    stream = uuid4()
    rows = insert(stream, stream, stream)
    drain()
    deliveries(count(3))
    arguments = ("outbox", "replay", "--aggregate", f"parcel:{stream}", "--reason", "new consumer")
    assert run(*arguments)[0] == 2
    assert run(*arguments, "--dry-run") == (
        0,
        {"replayed": 3, "topic": "cotton-erp-events", "dry_run": True},
    )
    assert run(*arguments, "--yes")[0] == 0
    again = [wire.decode(d.attributes, d.data) for d in deliveries(count(3))]
    assert [(event.event_id, event.sequence, event.replay) for event in again] == [
        (row.pk, row.sequence, True) for row in rows
    ]
    settings.PUBSUB_EMULATOR_HOST = "127.0.0.1:1"
    assert run(*arguments, "--yes")[0] == 4


def test_once_is_5_when_another_relay_owns_all(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OUTBOX_BUCKETS = 1
    with relaying() as running:
        until(lambda: running._relay is not None and running._relay.summary.buckets == 1)
        assert run("relay_outbox", "--once")[0] == 5
        settings.OUTBOX_ORDERING = "bucket"
        monkeypatch.setattr(relay, "JOIN_SECONDS", 0.1)
        assert run("relay_outbox", "--once")[0] == 5, "the layout is in use"
        settings.OUTBOX_ORDERING = "aggregate"


def test_once_is_4_when_pubsub_or_the_database_is_down(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from erp.outbox.management.commands import relay_outbox

    monkeypatch.setattr(relay_outbox, "PATIENCE_SECONDS", 0.5)
    insert(uuid4())
    alive, settings.PUBSUB_EMULATOR_HOST = settings.PUBSUB_EMULATOR_HOST, "127.0.0.1:1"
    code, output = run("relay_outbox", "--once")
    assert (code, output["ended"]) == (4, "unreachable")
    settings.PUBSUB_EMULATOR_HOST = alive
    settings.DATABASE_DIRECT_URL = "postgresql://erp@127.0.0.1:1/erp"
    assert run("relay_outbox", "--once")[0] == 4
    assert statuses() == {"pending": 1}


def test_once_is_1_on_a_layout_that_the_rows_were_not_written_for(settings: Any) -> None:
    drain()
    insert(uuid4())
    settings.OUTBOX_BUCKETS = 8
    code, output = run("relay_outbox", "--once")
    assert code == 1
    assert "not drained" in output["error"]


def test_dead_letters_are_listed_shown_redriven_and_discarded() -> None:
    first, second = insert(uuid4(), uuid4(), kind="nonsense")
    drain()
    from erp.outbox import subscriber

    def refuse(event: Any, *, meta: wire.Envelope) -> None:
        raise ValueError("no")

    subscriber._handlers["nonsense.sent"] = [(object, refuse)]  # type: ignore[list-item]
    try:
        Consumer("cotton-erp-events-sub", idle=2).run()
    finally:
        del subscriber._handlers["nonsense.sent"]

    def ids() -> set[UUID]:
        return {UUID(letter["id"]) for letter in run("dlq", "list")[1]["dead_letters"]}

    assert ids() == {first.pk, second.pk}
    assert run("dlq", "list", "--aggregate", f"nonsense:{first.aggregate_id}")[1]["dead_letters"][0][
        "id"
    ] == str(first.pk)
    code, output = run("dlq", "show", str(first.pk))
    assert code == 0
    assert output["attributes"]["ce-id"] == str(first.pk)
    assert (output["kind"], output["attempts"], output["source"]) == ("refused", 5, "cotton-erp-events-sub")
    assert output["reason"] == "KeyError: 'nonsense.sent'", (
        "its type is unknown: told before any handler is asked"
    )
    assert run("dlq", "show", str(uuid4()))[0] == 1

    code, output = run("dlq", "redrive", str(first.pk), "--reason", "mended", "--dry-run")
    assert (code, [letter["id"] for letter in output["redriven"]]) == (0, [str(first.pk)])
    assert ids() == {first.pk, second.pk}
    assert run("dlq", "redrive", str(first.pk), "--reason", "mended")[0] == 0
    assert ids() == {second.pk}
    assert Consumer("cotton-erp-events-sub", idle=1).run().applied == 1
    assert Inbox.objects.filter(event_id=first.pk).count() == 1

    assert run("dlq", "discard", "--reason", "all?")[0] == 2
    code, output = run("dlq", "discard", str(second.pk), str(uuid4()), "--reason", "no use")
    assert (code, len(output["discarded"]), len(output["missing"])) == (3, 1, 1)
    assert ids() == set()


def test_redriving_the_relays_copy_is_refused_with_a_hint(failed: EventOutbox) -> None:
    for extra in ((), ("--dry-run",)):
        code, output = run("dlq", "redrive", "--all", "--reason", "try", *extra)
        assert code == 1
        assert f"outbox retry {failed.pk}" in output["refused"][0]["error"]


def test_dlq_without_a_server_is_4(settings: Any) -> None:
    settings.PUBSUB_EMULATOR_HOST = "127.0.0.1:1"
    assert run("dlq", "list")[0] == 4


def test_a_commit_names_its_buckets_and_a_rollback_none(settings: Any) -> None:
    import redis

    client = redis.Redis.from_url(settings.REDIS_URL)
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(settings.OUTBOX_WAKE_CHANNEL)
        channel.get_message(timeout=5)
        rows = insert(uuid4(), uuid4(), uuid4())
        message = until(lambda: channel.get_message(timeout=0.1))
        assert {int(part) for part in message["data"].split(b",")} == {row.bucket for row in rows}
    client.close()


def test_a_dead_redis_costs_a_commit_one_attempt_and_then_a_pause(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "_paused_until", 0.0)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    before = wakeup.WAKE_UPS_LOST._value.get()
    for _ in range(5):
        insert(uuid4())
    assert wakeup.WAKE_UPS_LOST._value.get() == before + 1
    assert drain().published == 5, "the relay polls"


def test_a_relay_task_ends_when_stopped_and_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "SHIFT_SECONDS", 1.0)
    insert(uuid4())
    assert tasks.relay_shift() == {"ended": "stopped", "published": 1}
    insert(uuid4())
    assert tasks.relay_shift() == {"ended": "stopped", "published": 1}


def test_a_shift_does_not_end_while_no_successor_can_be_started(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    monkeypatch.setattr(tasks, "SHIFT_SECONDS", 0.1)
    alive, settings.CELERY_BROKER_URL = settings.CELERY_BROKER_URL, "redis://127.0.0.1:1/0"
    output: list[object] = []
    shift = threading.Thread(target=lambda: output.append(tasks.relay_shift()))
    shift.start()
    for number in range(1, 4):
        insert(uuid4())
        until(lambda number=number: statuses() == {"published": number})
    assert not output
    settings.CELERY_BROKER_URL = alive
    shift.join(10)
    assert output == [{"ended": "stopped", "published": 3}]


def test_a_shift_ends_promptly_with_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from celery.worker import state

    monkeypatch.setattr(state, "should_stop", 0)
    assert tasks.relay_shift() == {"ended": "stopped", "published": 0}


def test_purge_deletes_only_what_is_published_and_old(failed: EventOutbox, settings: Any) -> None:
    old, young = insert(uuid4(), uuid4())
    drain()
    past = timezone.now() - timedelta(days=31)
    EventOutbox.objects.exclude(pk=young.pk).update(created_at=past)
    EventOutbox.objects.filter(pk=old.pk).update(processed_at=past)
    Inbox.objects.create(subscription="sub", event_id=uuid4(), applied_at=timezone.now() - timedelta(days=46))
    Inbox.objects.create(subscription="sub", event_id=uuid4(), applied_at=past)
    DeadLetter.objects.create(subscription="sub", key="1", failed_at=past - timedelta(days=20))
    DeadLetter.objects.create(subscription="sub", key="2", failed_at=past - timedelta(days=20), seen_at=past)
    assert tasks.purge() == {"published": 1, "inbox": 1, "dead_letters": 1}
    assert statuses() == {"published": 1, "failed": 1, "pending": 1}
    assert Inbox.objects.count() == 1


def test_a_stream_goes_on_after_its_past_was_purged() -> None:
    stream = uuid4()
    insert(stream, stream)
    drain()
    EventOutbox.objects.all().delete()
    (third,) = insert(stream)
    assert third.sequence == 3
    assert drain().published == 1
