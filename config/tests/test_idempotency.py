"""One intention, one effect: what an Idempotency-Key promises."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from datetime import timedelta
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure

from apps.availability.models import Availability, Reservation
from apps.commodities.models.commodities import Commodity
from config.celery import app
from erp import clock
from erp.errors import AnswerExpired, KeyInvalid, KeyMissing, Unavailable
from erp.idempotency import tasks
from erp.idempotency.models import Record
from erp.idempotency.once import Request, StoredResponse, once, parse_key
from erp.idempotency.tasks import purge

pytestmark = pytest.mark.django_db
JUTE = {"code": "JUTE", "name": "Jute", "category": "FIBRE"}


@pytest.fixture
def staff(user, client_for):
    """The client of a user who maintains master data."""
    return client_for(user("INTERNAL_MASTERDATA"))


def key() -> str:
    return uuid4().hex


def test_a_repeat_gets_the_first_answer_byte_for_byte_and_has_no_second_effect(staff, emitted):
    k = key()
    first = staff.write("/api/v1/commodities", JUTE, key=k)
    again = staff.write(
        "/api/v1/commodities", {"name": "Jute", "category": "FIBRE", "code": "JUTE"}, key=f'"{k}"'
    )
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert [again[h] for h in ("ETag", "Location", "Content-Type")] == [
        first[h] for h in ("ETag", "Location", "Content-Type")
    ]
    assert Commodity.objects.count() == len(emitted("commodity.created")) == 1


def test_the_events_of_a_request_name_its_record_as_their_cause(staff, emitted):
    staff.write("/api/v1/commodities", JUTE)
    event = emitted("commodity.created")[0]
    record = Record.objects.get(route="api/v1/commodities")
    assert event.causation_id == str(record.pk)
    assert event.correlation_id != ""


def test_the_same_key_with_other_content_is_refused(staff):
    k = key()
    staff.write("/api/v1/commodities", JUTE, key=k)
    for body in ({**JUTE, "name": "Other"}, {**JUTE, "description": ""}):
        answer = staff.write("/api/v1/commodities", body, key=k)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency.key_reused")
    answer = staff.write("/api/v1/commodities?x=1", JUTE, key=k)
    assert answer.status_code == 422
    assert Commodity.objects.count() == 1


def test_a_raised_refusal_is_not_stored_so_a_corrected_body_works_under_the_same_key(staff):
    k = key()
    wrong = staff.write("/api/v1/commodities", {**JUTE, "category": "NONE"}, key=k)
    assert wrong.status_code == 400
    assert staff.write("/api/v1/commodities", JUTE, key=k).status_code == 201
    k = key()
    taken = staff.write("/api/v1/commodities", JUTE, key=k)
    assert taken.status_code == 409
    assert (
        staff.write("/api/v1/commodities", {**JUTE, "code": "JUTE2", "name": "J2"}, key=k).status_code == 201
    )


def test_a_committed_refusal_is_stored_with_its_event(offer, user, client_for, emitted):
    seller = user("TRADER")
    own = offer(seller=seller)
    trader = client_for(seller)
    k = key()
    answers = [
        trader.write(f"/api/v1/availabilities/{own.pk}/reserve", {"quantity": "1"}, key=k) for _ in range(2)
    ]
    assert [a.status_code for a in answers] == [422, 422]
    assert answers[0].content == answers[1].content
    assert answers[0].json()["code"] == "availability.related_party"
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert answers[1]["Content-Type"] == "application/problem+json"
    assert len(emitted("availability.reservation_refused")) == 1
    assert Reservation.objects.count() == 0


def test_two_people_with_one_key_have_two_effects(user, client_for):
    k = key()
    for number in (1, 2):
        client = client_for(user("INTERNAL_MASTERDATA"))
        body = {"code": f"JUTE{number}", "name": f"Jute {number}", "category": "FIBRE"}
        assert client.write("/api/v1/commodities", body, key=k).status_code == 201
    assert Commodity.objects.count() == 2


def test_who_lost_the_capability_gets_403_and_not_the_stored_answer(user, client_for):
    from erp.models import unguarded_writes

    person = user("INTERNAL_MASTERDATA")
    client, k = client_for(person), key()
    assert client.write("/api/v1/commodities", JUTE, key=k).status_code == 201
    with unguarded_writes():
        person.memberships.filter(role__name="INTERNAL_MASTERDATA").delete()
    answer = client.write("/api/v1/commodities", JUTE, key=k)
    assert (answer.status_code, answer.json()["capability"]) == (403, "commodity.create")


def test_a_late_retry_of_a_put_replays_with_its_old_if_match(staff):
    row = staff.write("/api/v1/commodities", JUTE)
    path, k = row["Location"], key()
    body = {"name": "Jute fibre", "category": "FIBRE"}
    first = staff.write(path, body, method="PUT", if_match=1, key=k)
    staff.write(path, {**body, "name": "Newest"}, method="PUT", if_match=2)
    late = staff.write(path, body, method="PUT", if_match=1, key=k)
    assert (late.status_code, late.content) == (200, first.content)
    assert staff.read(path).json()["version"] == 3


def test_a_record_past_its_time_gives_the_key_back(staff):
    k = key()
    staff.write("/api/v1/commodities", JUTE, key=k)
    Record.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = staff.write("/api/v1/commodities", {**JUTE, "code": "JUTE2", "name": "Jute 2"}, key=k)
    assert answer.status_code == 201
    assert Record.objects.filter(route="api/v1/commodities").count() == 1


def test_tokens_are_stored_encrypted_replayed_for_minutes_and_then_deleted(user, client_for):
    person = user("BUYER")
    client = client_for()
    login = client.write(
        "/api/v1/auth/login", {"email": person.email, "password": "a long enough passphrase"}
    ).json()
    k, body = key(), {"refresh_token": login["refresh_token"]}
    first = client.write("/api/v1/auth/refresh", body, key=k)
    again = client.write("/api/v1/auth/refresh", body, key=k)
    assert first.status_code == 200
    assert first.content == again.content
    assert again["Cache-Control"] == "no-store"
    record = Record.objects.get(route="api/v1/auth/refresh")
    assert first.json()["refresh_token"].encode() not in bytes(record.body)
    Record.objects.update(body_expires_at=timezone.now())
    purge()
    assert bytes(Record.objects.get(pk=record.pk).body) == b""
    gone = client.write("/api/v1/auth/refresh", body, key=k)
    assert (gone.status_code, gone.json()["code"]) == (409, "idempotency.answer_expired")
    Record.objects.update(expires_at=timezone.now())
    assert purge() == 1


@pytest.mark.django_db(transaction=True)
def test_a_create_costs_a_fixed_number_of_statements(staff):
    """One statement isn't captured: it takes the key's lock, looks up its record and sets the trail's context."""
    with CaptureQueriesContext(connection) as made:
        assert staff.write("/api/v1/commodities", JUTE).status_code == 201
    statements = [query["sql"].split()[0] for query in made.captured_queries]
    assert statements == [
        "SELECT",  # the session with its user and the user's rights
        "BEGIN",
        "SELECT",  # is the code taken?
        "INSERT",  # the row
        "INSERT",  # its names
        "WITH",  # streams, events and the key's record
        "COMMIT",
    ]


def _requests(
    address: str, token: str, path: str, body: Any, keys: list[str]
) -> list[tuple[int, bytes, bool]]:
    """Send one request per key over one connection of our own."""
    where = urlsplit(address)
    link = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    answers = []
    for k in keys:
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": k,
            "Authorization": f"Bearer {token}",
        }
        for left in reversed(range(5)):  # the test's server takes ten waiting connections and resets more
            try:
                link.request("POST", path, json.dumps(body), headers)
                answer = link.getresponse()
                content = answer.read()
            except ConnectionError:
                link.close()
                if not left:
                    raise
            else:
                break
        answers.append((answer.status, content, answer.headers["Idempotency-Replayed"] == "true"))
    link.close()
    return answers


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_requests_over_a_hundred_connections_with_one_key_have_one_effect(
    offer, user, client_for, live_server, emitted
):
    live = offer(quantity=1000)
    token, k = client_for(user("BUYER")).bearer, key()
    path = f"/api/v1/availabilities/{live.pk}/reserve"
    with ThreadPoolExecutor(100) as pool:
        sent = [
            pool.submit(_requests, live_server.url, token, path, {"quantity": "1"}, [k] * 3)
            for _ in range(100)
        ]
        answers = [answer for job in sent for answer in job.result()]
    assert len(answers) == 300
    assert {status for status, _, _ in answers} <= {201, 409}
    first = [body for status, body, replayed in answers if status == 201 and not replayed]
    assert len(first) == 1
    assert {body for status, body, _ in answers if status == 201} == {first[0]}
    assert all(b"idempotency.in_progress" in body for status, body, _ in answers if status == 409)
    assert Reservation.objects.count() == len(emitted("availability.reserved")) == 1
    assert Availability.objects.get(pk=live.pk).available_quantity == 999


@pytest.mark.django_db(transaction=True)
def test_the_look_up_sees_a_record_that_was_committed_before_the_lock_was_given(staff):
    staff.write("/api/v1/commodities", JUTE)
    record = Record.objects.get(route="api/v1/commodities")
    Record.objects.all().delete()

    def begin() -> Any:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                # The statement has its snapshot before the sleep, the function asks for the lock after it.
                cursor.execute(
                    "SELECT locked, (record).id"
                    " FROM idempotency_begin(1 + length(pg_sleep(1)::text), %s, '1s', '5s')",
                    [record.scope],
                )
                return cursor.fetchone()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(begin)
        time.sleep(0.5)
        record.save(force_insert=True)
        assert begun.result() == (True, record.pk)


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_parallel_reserves_never_oversell(offer, user, client_for, live_server, emitted):
    live = offer(quantity=100)
    token = client_for(user("BUYER")).bearer
    path = f"/api/v1/availabilities/{live.pk}/reserve"
    with ThreadPoolExecutor(50) as pool:
        sent = [
            pool.submit(_requests, live_server.url, token, path, {"quantity": "1"}, [key() for _ in range(4)])
            for _ in range(50)
        ]
        answers = [answer for job in sent for answer in job.result()]
    assert sorted(status for status, _, _ in answers) == [201] * 100 + [409] * 100
    assert all(b"availability.quantity_exceeded" in body for status, body, _ in answers if status == 409)
    row = Availability.objects.get(pk=live.pk)
    assert (row.available_quantity, row.reserved_quantity) == (0, 100)
    assert Reservation.objects.filter(status="HELD").count() == 100
    events = emitted(aggregate_id=live.pk)
    assert [e.sequence for e in sorted(events, key=lambda e: e.sequence)] == list(range(1, 104))


@pytest.mark.django_db(transaction=True)
def test_a_row_that_stays_locked_answers_503_and_leaves_nothing(offer, user, client_for, settings):

    settings.LOCK_TIMEOUT = "200ms"
    live, client = offer(), client_for(user("BUYER"))
    held, done = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            Availability.objects.locked().get(pk=live.pk)
            held.set()
            done.wait(20)
        connection.close()

    holder = Thread(target=hold)
    holder.start()
    held.wait(20)
    k = key()
    busy = client.write(f"/api/v1/availabilities/{live.pk}/reserve", {"quantity": "1"}, key=k)
    done.set()
    holder.join()
    assert (busy.status_code, busy.json()["code"]) == (503, "dependency.unavailable")
    assert int(busy["Retry-After"]) >= 1
    assert not Record.objects.filter(route__endswith="/reserve").exists()
    assert (
        client.write(f"/api/v1/availabilities/{live.pk}/reserve", {"quantity": "1"}, key=k).status_code == 201
    )


def attempt(**fields: Any) -> Request:
    """A request under a key of its own."""
    return Request(**{"principal": "user:1", "method": "POST", "route": "shelf/tidy", "key": key(), **fields})


def never() -> StoredResponse:
    raise AssertionError("it must not run")


TIDY = StoredResponse(201, {"Content-Type": "text/plain"}, b"tidy")


def test_a_request_without_options_is_carried_out_and_its_answer_stored_in_the_clear(settings):
    settings.IDEMPOTENCY_TTL_HOURS = 5
    sent = attempt()
    assert once(sent, lambda: TIDY) == TIDY
    record = Record.objects.get(scope=sent.scope)
    assert (bytes(record.body), record.secret) == (b"tidy", False)
    assert record.body_expires_at == record.expires_at == record.created_at + timedelta(hours=5)
    assert once(sent, never) == StoredResponse(201, TIDY.headers, b"tidy", replayed=True)


def test_request_and_answer_cannot_be_changed():
    for value, name in ((attempt(), "content"), (TIDY, "body")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, b"other")


def test_only_the_scope_of_an_anonymous_request_depends_on_the_secret(settings):
    k = key()
    known, anonymous = (attempt(key=k, **options).scope for options in ({}, {"anonymous": True}))
    settings.IDEMPOTENCY_FINGERPRINT_KEY = "another secret"
    assert attempt(key=k).scope == known
    assert attempt(key=k, anonymous=True).scope != anonymous


@pytest.fixture
def one_moment(monkeypatch):
    """Let time stand still: the database's ``now()`` is that of the test's own transaction."""
    monkeypatch.setattr(clock, "TRANSACTION_TIME", "transaction_timestamp()")


def test_a_key_is_taken_until_its_very_end(one_moment):
    sent = attempt()
    once(sent, lambda: TIDY)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE idempotency_record SET expires_at = now() + interval '1 microsecond' WHERE scope = %s",
            [sent.scope],
        )
        assert once(sent, never).replayed
        cursor.execute("UPDATE idempotency_record SET expires_at = now() WHERE scope = %s", [sent.scope])
    assert not once(sent, lambda: TIDY).replayed


def test_a_secret_answer_is_not_replayed_past_its_time_even_before_it_is_wiped(settings, one_moment):
    settings.IDEMPOTENCY_SECRET_MINUTES = 7
    sent = attempt(secret=True)
    once(sent, lambda: TIDY)
    record = Record.objects.get(scope=sent.scope)
    assert record.body_expires_at == record.created_at + timedelta(minutes=7)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE idempotency_record SET body_expires_at = now() + interval '1 microsecond' WHERE scope = %s",
            [sent.scope],
        )
        assert once(sent, never).body == b"tidy"
        cursor.execute("UPDATE idempotency_record SET body_expires_at = now() WHERE scope = %s", [sent.scope])
    with pytest.raises(AnswerExpired):
        once(sent, never)


def test_of_a_body_above_the_limit_a_link_is_stored(settings):
    settings.IDEMPOTENCY_BODY_LIMIT = len(TIDY.body)
    kept, long, placed = attempt(), attempt(), attempt()
    once(kept, lambda: TIDY)
    once(long, lambda: StoredResponse(200, {}, b"tidy!"))
    once(placed, lambda: StoredResponse(201, {"Location": "/shelf/1"}, b"tidy!"))
    assert once(kept, never).body == b"tidy"
    assert once(long, never).body == b'{"links":{"self":"shelf/tidy"}}'
    assert once(placed, never).body == b'{"links":{"self":"/shelf/1"}}'


@pytest.mark.parametrize("header", [None, ""])
def test_a_key_must_be_sent(header):
    with pytest.raises(KeyMissing):
        parse_key(header)


@pytest.mark.parametrize(
    "header",
    [
        "x" * 15,
        "x" * 256,
        '"',
        '""',
        f'"{"x" * 16}',
        f'{"x" * 16}"',
        "x" * 16 + ",",
        f"{'x' * 16} ",
        "ü" * 16,
    ],
)
def test_a_key_is_16_to_255_visible_characters_bare_or_in_quotes(header):
    for k in ("0123456789abcdef", "x" * 255):
        assert parse_key(k) == parse_key(f'"{k}"') == k
    with pytest.raises(KeyInvalid):
        parse_key(header)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Least and most of the random pauses between tries, of which none is made."""
    made: list[tuple[float, float]] = []
    monkeypatch.setattr(
        "erp.idempotency.once.random", SimpleNamespace(uniform=lambda least, most: (least, most))
    )
    monkeypatch.setattr("erp.idempotency.once.time", SimpleNamespace(sleep=made.append))
    return made


class Losing:
    """What loses to another transaction so many times before it succeeds."""

    def __init__(self, times: int, error: type[psycopg.Error]) -> None:
        self.times, self.error, self.runs = times, error, 0

    def __call__(self) -> StoredResponse:
        self.runs += 1
        if self.runs > self.times:
            return TIDY
        raise OperationalError from self.error()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lost", [DeadlockDetected, SerializationFailure])
def test_what_loses_a_race_is_tried_three_times_more_after_growing_pauses(pauses, lost):
    run = Losing(3, lost)
    assert once(attempt(), run) == TIDY
    assert (run.runs, pauses) == (4, [(0, 0.05), (0, 0.1), (0, 0.2)])
    run = Losing(9, lost)
    sent = attempt()
    with pytest.raises(Unavailable):
        once(sent, run)
    assert (run.runs, len(pauses)) == (4, 6)
    assert not Record.objects.filter(scope=sent.scope).exists()


@pytest.mark.django_db(transaction=True)
def test_other_errors_of_the_database_are_not_retried(pauses):
    run = Losing(1, LockNotAvailable)
    with pytest.raises(OperationalError):
        once(attempt(), run)
    assert (run.runs, pauses) == (1, [])


def test_nothing_is_retried_inside_a_transaction_that_the_error_has_ended(pauses):
    run = Losing(1, DeadlockDetected)
    with pytest.raises(OperationalError):
        once(attempt(), run)
    assert (run.runs, pauses) == (1, [])


def test_the_purge_deletes_batch_after_batch_what_has_expired(monkeypatch):
    monkeypatch.setattr(tasks, "BATCH", 2)
    sent = [attempt() for _ in range(6)]
    for each in sent:
        once(each, lambda: TIDY)
    Record.objects.exclude(scope=sent[0].scope).update(expires_at=timezone.now())
    assert purge() == 5
    assert Record.objects.get().scope == sent[0].scope
    assert purge() == 0


def test_the_purge_wipes_secret_answers_past_their_time_only():
    due, early, public = attempt(secret=True), attempt(secret=True), attempt()
    for each in (due, early, public):
        once(each, lambda: TIDY)
    Record.objects.exclude(scope=early.scope).update(body_expires_at=timezone.now())
    assert purge() == 0
    wiped = {bytes(record.scope): record.body_wiped for record in Record.objects.all()}
    assert wiped == {due.scope: True, early.scope: False, public.scope: False}
    assert bytes(Record.objects.get(scope=due.scope).body) == b""
    assert once(early, never).body == once(public, never).body == TIDY.body
    with pytest.raises(AnswerExpired):
        once(due, never)


def test_the_purge_is_a_task_that_runs_every_now_and_then():
    assert purge.name in app.tasks
    assert purge.name in {entry["task"] for entry in app.conf.beat_schedule.values()}
