"""The screens of operations: stuck events and dead letters, looked at and decided by people."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from erp import heartbeat, tasks
from erp.admin.testing import controls
from erp.outbox import deadletters, subscriber
from erp.outbox.models import DeadLetter, EventOutbox
from erp.outbox.subscriber import Consumer
from erp.tests.outbox_support import drain, insert, owners, pubsub, relaying, until

__all__ = ["pubsub"]

OUTBOX = "/admin/outbox/eventoutbox/"
LETTERS = "/admin/outbox/deadletter/"


@pytest.fixture
def blocked(db: None) -> EventOutbox:
    """A failed event with two behind it, beside a stream that flows."""
    stream = uuid4()
    rows = insert(stream, stream, stream, uuid4())
    EventOutbox.objects.filter(pk=rows[0].pk).update(
        status="failed", processing_attempts=5, last_error="too large"
    )
    return EventOutbox.objects.get(pk=rows[0].pk)


@contextmanager
def unknown(event_type: str) -> Iterator[None]:
    """The consumer has a handler of the type and no model of it: it refuses each event."""
    subscriber._handlers[event_type] = [(object, lambda event, *, meta: None)]  # type: ignore[list-item]
    try:
        yield
    finally:
        del subscriber._handlers[event_type]


def events_named(name: str) -> list[EventOutbox]:
    """The events of that type."""
    return list(EventOutbox.objects.filter(event_type=name))


def test_failed_and_blocked_events_are_found_by_status_stream_and_age(
    blocked: EventOutbox, user: Any, staff_client_for: Any
) -> None:
    staff = staff_client_for(user("INTERNAL_DIRECTOR"))

    def found(**query: str) -> list[int]:
        rows = staff.get(OUTBOX, {"aggregate_type": "parcel", **query}).context["cl"].result_list
        return sorted(row.sequence for row in rows)

    assert found() == [1, 1, 2, 3]
    assert found(status__exact="failed") == [1]
    assert found(stream="blocked") == [1, 2, 3]
    assert found(age="60") == []
    EventOutbox.objects.filter(pk=blocked.pk).update(created_at=timezone.now() - timedelta(hours=2))
    assert found(age="3600") == [1]
    page = staff.get(f"{OUTBOX}{blocked.pk}/change/").content.decode()
    assert "Waiting behind it" in page
    assert "too large" in page


@pytest.mark.parametrize(("verb", "resolution"), [("retry", "retried"), ("skip", "skipped")])
def test_a_failed_event_is_resolved_once_with_a_reason(
    blocked: EventOutbox, user: Any, staff_client_for: Any, verb: str, resolution: str
) -> None:
    director = user("INTERNAL_DIRECTOR")
    staff = staff_client_for(director)
    path = f"{OUTBOX}{blocked.pk}/run/{verb}/"
    assert f'href="{path}"' in staff.get(OUTBOX).content.decode()
    assert staff.fill(path, reason=" ").status_code == 400
    form = staff.form(path) | {"reason": ["the topic takes it now"]}
    for _ in range(2):
        assert staff.post(path, form).status_code == 302
    blocked.refresh_from_db()
    assert (blocked.status, blocked.resolution, blocked.processing_attempts) == ("pending", resolution, 0)
    assert (blocked.resolved_by, blocked.resolution_reason) == (str(director.pk), "the topic takes it now")
    (event,) = events_named(f"outbox_event.{resolution}")
    assert (event.aggregate_id, event.actor_id) == (blocked.pk, director.pk)
    assert event.payload["reason"] == "the topic takes it now"
    page = staff.get(f"{OUTBOX}{blocked.pk}/change/").content.decode()
    assert str(director) in page
    assert path not in page, "nothing more to decide"
    history = staff.get(f"{OUTBOX}{blocked.pk}/history/").context["lines"]
    assert [(line.event, line.actor) for line in history] == [
        (f"outbox_event.{resolution} v1", str(director))
    ]
    assert staff.fill(path, reason="once more").status_code == 409


def test_several_failed_events_are_retried_from_the_list(
    blocked: EventOutbox, user: Any, staff_client_for: Any
) -> None:
    staff = staff_client_for(user("INTERNAL_COMPLIANCE"))
    waiting = EventOutbox.objects.get(aggregate_id=blocked.aggregate_id, sequence=2)
    chosen = {"action": "retry", "_selected_action": [str(blocked.pk), str(waiting.pk)]}
    form = controls(staff.post(OUTBOX, chosen)) | {"reason": ["the topic takes them now"]}
    lines = staff.post(f"{OUTBOX}run/retry/", form).context["lines"]
    assert sorted(line.done for line in lines) == [False, True]
    assert len(events_named("outbox_event.retried")) == 1


def test_who_may_not_decide_gets_403(blocked: EventOutbox, user: Any, staff_client_for: Any) -> None:
    letter = DeadLetter.objects.create(subscription="sub", key=str(uuid4()), kind="refused")
    for role in ("AUDITOR", "INTERNAL_MANAGER", "INTERNAL_FINANCE"):
        staff = staff_client_for(user(role))
        for path in (f"{OUTBOX}{blocked.pk}/run/skip/", f"{LETTERS}{letter.pk}/run/discard/"):
            answer = staff.post(path, {"_key": uuid4().hex, "reason": "I want to"})
            assert answer.status_code == 403
    assert EventOutbox.objects.get(pk=blocked.pk).status == "failed"
    assert DeadLetter.objects.get(pk=letter.pk).status == "waiting"


@pytest.fixture
def refused(pubsub: None) -> EventOutbox:
    """An event that was refused for good, since the consumer didn't know its type."""
    (dead,) = insert(uuid4())
    drain()
    with unknown("parcel.sent"):
        Consumer("cotton-erp-events-sub", idle=2).run()
    return dead


@pytest.mark.django_db(transaction=True)
def test_a_dead_letter_is_seen_with_its_reason_and_redriven(
    refused: EventOutbox, user: Any, staff_client_for: Any
) -> None:
    director = user("INTERNAL_DIRECTOR")
    staff = staff_client_for(director)
    with CaptureQueriesContext(connection) as caught:
        page = staff.get(LETTERS)
    assert len(caught) <= 25
    (row,) = page.context["cl"].result_list
    assert (row.key, row.kind, row.attempts, row.status) == (str(refused.pk), "refused", 5, "waiting")
    assert "KeyError: &#x27;parcel.sent&#x27;" in page.content.decode()
    path = f"{LETTERS}{row.pk}/run/redrive/"
    form = staff.form(path) | {"reason": ["the type is known now"]}
    for _ in range(2):
        assert staff.post(path, form).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.resolved_by) == ("redriven", str(director.pk))
    assert row.carried_out_at is not None
    (event,) = events_named("dead_letter.redriven")
    assert event.actor_id == director.pk
    assert Consumer("cotton-erp-events-sub", idle=1).run().as_dict()["applied"] >= 1
    with deadletters.held() as letters:
        assert letters.letters == []


@pytest.mark.django_db(transaction=True)
def test_the_page_opens_and_decisions_wait_while_pubsub_is_down(
    refused: EventOutbox, user: Any, staff_client_for: Any, settings: Any
) -> None:
    staff = staff_client_for(user("INTERNAL_COMPLIANCE"))
    staff.get(LETTERS)
    alive, settings.PUBSUB_EMULATOR_HOST = settings.PUBSUB_EMULATOR_HOST, "127.0.0.1:1"
    page = staff.get(LETTERS)
    assert page.status_code == 200
    assert "Pub/Sub is not reachable now (UNAVAILABLE)" in page.content.decode()
    (row,) = page.context["cl"].result_list
    assert row.key == str(refused.pk)
    path = f"{LETTERS}{row.pk}/run/discard/"
    answer = staff.post(path, staff.form(path) | {"reason": ["of no use any more"]}, follow=True)
    assert "not executed yet" in answer.content.decode()
    settings.PUBSUB_EMULATOR_HOST = alive
    assert tasks.count_dead_letters() == 0
    row.refresh_from_db()
    assert row.status == "discarded"
    assert row.carried_out_at is not None


@pytest.mark.django_db(transaction=True)
def test_one_page_shows_relays_and_pubsub(
    pubsub: None, user: Any, staff_client_for: Any, settings: Any, tmp_path: Path
) -> None:
    settings.HEARTBEAT_DIR = str(tmp_path)
    heartbeat.touch("beat")
    stream = uuid4()
    rows = insert(stream, stream)
    EventOutbox.objects.filter(pk=rows[0].pk).update(status="failed", last_error="too large")
    tasks.check_topology()
    staff = staff_client_for(user("AUDITOR"))
    assert 'href="/admin/relays/"' in staff.get("/admin/").content.decode()
    with relaying():
        until(lambda: sum(map(len, owners().values())) == settings.OUTBOX_BUCKETS)
        with CaptureQueriesContext(connection) as caught:
            page = staff.get("/admin/relays/")
    assert page.status_code == 200
    assert len(caught) <= 25
    tables = {table.title: list(table.rows) for table in page.context["tables"]}
    ((_, _, buckets, which),) = tables["Relays"]
    assert (buckets, which) == (settings.OUTBOX_BUCKETS, f"0–{settings.OUTBOX_BUCKETS - 1}")
    assert [(line[0], line[4], line[5]) for line in tables["Blocked streams"]] == [
        (f"parcel:{stream}", "too large", 1)
    ]
    assert rows[1].bucket in {line[0] for line in tables["Buckets with waiting events"]}
    assert tables["Pub/Sub, last known state"][0][1] == "0"
    assert {(line[0], line[2]) for line in tables["Heartbeats on this machine"]} >= {("beat", "alive")}
    assert {line[0] for line in tables["Schedules"]} == set(settings.CELERY_BEAT_SCHEDULE)
    assert all(line[2] >= timezone.now() - timedelta(seconds=5) for line in tables["Schedules"])


def test_users_without_the_capability_see_no_outbox_page(user: Any, staff_client_for: Any) -> None:
    staff = staff_client_for(user("INTERNAL_FINANCE"))
    assert staff.get("/admin/relays/").status_code == 403
    assert "/admin/relays/" not in staff.get("/admin/").content.decode()


def test_beat_notes_when_it_sent_a_task(settings: Any) -> None:
    from config.celery import app

    name = f"test-{uuid4().hex}"
    assert heartbeat.last_run(name) is None
    scheduler = heartbeat.BeatScheduler(app=app, lazy=True)
    scheduler.apply_entry(
        scheduler.Entry(name=name, task="erp.idempotency.tasks.purge", schedule=60, app=app)
    )
    seen = heartbeat.last_run(name)
    assert seen is not None
    assert timezone.now() - seen < timedelta(seconds=30)
