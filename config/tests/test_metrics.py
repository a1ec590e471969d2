"""Metrics are correct, cheap to read, free of personal data, and not reachable from outside."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.approvals.tests.examples import make_request
from config.tests.test_environment import PRODUCTION
from erp import access, heartbeat, tasks
from erp.audit.sources import PROJECT
from erp.models import unguarded_writes
from erp.outbox import deadletters, endpoint, wire
from erp.outbox.models import EventOutbox, Parked
from erp.outbox.publisher import BlockingPublisher
from erp.tests.outbox_support import insert, pubsub, until

pytestmark = pytest.mark.slow

__all__ = ["pubsub"]

LABELS = {
    "method", "route", "status", "capability", "type", "code", "outcome", "kind", "client", "operation", "le",
    "implementation", "major", "minor", "patchlevel", "version", "generation",
}  # fmt: skip
Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Figures:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape() -> Figures:
    answer = Client().get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return parsed(answer.content.decode())


def value(figures: Figures, name: str, **labels: str) -> float | None:
    return figures.get((name, tuple(sorted(labels.items()))))


@contextmanager
def counting(name: str, **labels: str) -> Iterator[Callable[[], float]]:
    """By how much a counter has risen since."""
    before = value(scrape(), name, **labels) or 0
    yield lambda: (value(scrape(), name, **labels) or 0) - before


@pytest.mark.django_db
def test_outbox_metrics_match_the_outbox() -> None:
    calm = scrape()
    for name in ("pending", "oldest_seconds", "failed", "blocked_streams", "unowned_buckets"):
        assert value(calm, f"erp_outbox_{name}") == 0, name
    assert value(calm, "erp_database_up") == 1

    blocked = uuid4()
    rows = insert(uuid4(), uuid4(), blocked, blocked)
    EventOutbox.objects.filter(pk=rows[2].pk).update(status="failed")
    EventOutbox.objects.filter(pk=rows[0].pk).update(created_at="2026-01-01T00:00:00Z")
    now = scrape()
    assert value(now, "erp_outbox_pending") == 3
    assert value(now, "erp_outbox_failed") == 1
    assert value(now, "erp_outbox_blocked_streams") == 1
    assert value(now, "erp_outbox_unowned_buckets") == len({row.bucket for row in rows if row is not rows[2]})
    oldest = value(now, "erp_outbox_oldest_seconds")
    assert oldest is not None
    assert oldest > 3600


@pytest.mark.django_db
def test_pending_approvals_are_reported_by_kind_with_the_age_of_the_oldest(world: Any) -> None:
    rule = make_request(world).kind
    with unguarded_writes():
        ApprovalRequest.objects.update(created_at=timezone.now() - timedelta(hours=5))
    decided = make_request(world)
    make_request(world)
    approvals.withdraw(decided, actor=decided.maker)
    now = scrape()
    assert value(now, "erp_approval_queue", kind=rule) == 2
    age = value(now, "erp_approval_age_seconds", kind=rule)
    assert age is not None
    assert 5 * 3600 <= age < 5 * 3600 + 60


@pytest.mark.django_db
def test_a_scrape_reads_no_published_event_however_many_there_are() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO event_outbox (id, event_type, event_version, payload, aggregate_id, aggregate_type,"
            " created_at, processing_attempts, status, sequence, bucket, correlation_id, causation_id, traceparent,"
            " published_message_id, resolved_by, resolution_reason)"
            " SELECT gen_random_uuid(), 'parcel.sent', 1, '{}', gen_random_uuid(), 'parcel', now(), 0, 'published',"
            " 1, n %% 64, '', '', '', '', '', '' FROM generate_series(1, 20000) n",
            [],
        )
        cursor.execute("ANALYZE event_outbox")
    insert(uuid4())

    def rows_read() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
                " WHERE relname = 'event_outbox'"
            )
            return int(cursor.fetchone()[0])

    before = rows_read()
    assert value(scrape(), "erp_outbox_pending") == 1
    assert rows_read() - before < 20


@pytest.mark.django_db
def test_a_stream_that_waits_for_a_missing_event_is_reported(settings: Any) -> None:
    stream = uuid4()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO event_cursor (subscription, aggregate_type, aggregate_id, applied)"
            " VALUES (%s, 'parcel', %s, 1)",
            [settings.PUBSUB_SUBSCRIPTION, stream],
        )
    Parked.objects.create(
        subscription=settings.PUBSUB_SUBSCRIPTION,
        aggregate_type="parcel",
        aggregate_id=stream,
        sequence=3,
        event_id=uuid4(),
        attributes={},
        data={},
        parked_at="2026-01-01T00:00:00Z",
    )
    assert value(scrape(), "erp_consumer_open_gaps") == 1


def test_dead_letters_are_counted_and_stay_where_they_are(pubsub: None) -> None:
    assert value(scrape(), "erp_dlq_depth") is None  # not counted yet, which is not 0
    assert tasks.count_dead_letters() == 0
    assert value(scrape(), "erp_dlq_depth") == 0

    with BlockingPublisher() as publisher:
        publisher.publish(
            endpoint.topic_path("cotton-erp-events-dlq"),
            [wire.Message(data=b"{}", attributes={"n": str(n)}) for n in range(3)],
        )
    assert tasks.count_dead_letters() == 3
    assert value(scrape(), "erp_dlq_depth") == 3
    with deadletters.held() as held:
        assert len(held.letters) == 3


def test_a_broken_topology_is_reported_until_it_is_repaired(pubsub: None, settings: Any) -> None:
    settings.PUBSUB_RETRY_MAX_SECONDS = 20
    assert tasks.check_topology() == 1
    assert value(scrape(), "erp_topology_differences") == 1
    call_command("setup_pubsub", stdout=StringIO())
    assert tasks.check_topology() == 0
    assert value(scrape(), "erp_topology_differences") == 0


@pytest.mark.django_db
def test_a_figure_that_could_not_be_read_is_missing_and_not_zero(settings: Any) -> None:
    with socket.socket() as probe:  # a port without a listener
        probe.bind(("127.0.0.1", 0))
        settings.PUBSUB_EMULATOR_HOST = f"127.0.0.1:{probe.getsockname()[1]}"
        assert tasks.check_topology() is None
        assert tasks.count_dead_letters() is None
    now = scrape()
    assert value(now, "erp_topology_differences") is None
    assert value(now, "erp_dlq_depth") is None


@pytest.mark.django_db
def test_the_heartbeat_of_beat_is_reported_with_its_file(settings: Any, tmp_path: Path) -> None:
    settings.HEARTBEAT_DIR = str(tmp_path)
    assert value(scrape(), "erp_beat_heartbeat_seconds") is None
    heartbeat.touch("beat")
    reported = value(scrape(), "erp_beat_heartbeat_seconds")
    assert reported == pytest.approx((tmp_path / "beat").stat().st_mtime, abs=1)


@pytest.mark.django_db(transaction=True)
def test_an_open_transaction_shows_its_age() -> None:
    opened, reported = threading.Event(), threading.Event()

    def dawdle() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.3)")
            opened.set()
            reported.wait(10)
        connection.close()

    thread = threading.Thread(target=dawdle)
    thread.start()
    try:
        assert opened.wait(10)
        age = value(scrape(), "erp_database_oldest_transaction_seconds")
    finally:
        reported.set()
        thread.join()
    assert age is not None
    assert 0.3 <= age < 60


@pytest.mark.django_db
def test_requests_count_by_route_template(offer: Any, user: Any, client_for: Any) -> None:
    row = offer()
    labels = {"method": "GET", "route": "api/v1/availabilities/<uuid:pk>"}
    buyer = client_for(user("BUYER"))
    with counting("erp_http_requests_total", **labels, status="200") as found:
        assert buyer.read(f"/api/v1/availabilities/{row.pk}").status_code == 200
        assert found() == 1
    with counting("erp_http_requests_total", **labels, status="404") as missing:
        assert buyer.read(f"/api/v1/availabilities/{uuid4()}").status_code == 404
        assert missing() == 1
    assert (value(scrape(), "erp_http_request_seconds_count", **labels) or 0) >= 2


@pytest.mark.django_db
def test_paths_and_methods_that_strangers_make_up_do_not_become_labels() -> None:
    labels = {"method": "other", "route": "unmatched", "status": "404"}
    with counting("erp_http_requests_total", **labels) as strange:
        for n in range(3):
            assert Client().generic(f"BREW{n}", f"/pot/{n}").status_code == 404
        assert strange() == 3
    assert not [key for key in scrape() if "BREW" in str(key) or "pot/" in str(key)]


@pytest.mark.django_db
def test_no_label_holds_an_id_or_a_name(offer: Any, user: Any, client_for: Any) -> None:
    row, person = offer(), user("BUYER")
    client = client_for(person)
    client.write(f"/api/v1/availabilities/{row.pk}/reserve", {"quantity": "1"})
    client.write(f"/api/v1/availabilities/{row.pk}/approve")
    figures = scrape()
    assert {label for _, labels in figures for label, _ in labels} <= LABELS
    reported = str(list(figures))
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", reported)
    assert "@example.com" not in reported


@pytest.mark.django_db
def test_replays_and_reused_keys_are_counted(offer: Any, user: Any, client_for: Any) -> None:
    path = f"/api/v1/availabilities/{offer().pk}/reserve"
    buyer, key = client_for(user("BUYER")), uuid4().hex
    assert buyer.write(path, {"quantity": "1"}, key=key).status_code == 201
    with counting("erp_idempotency_replays_total") as replays:
        assert buyer.write(path, {"quantity": "1"}, key=key).status_code == 201
        assert replays() == 1
    with counting("erp_idempotency_mismatch_total") as mismatches:
        assert buyer.write(path, {"quantity": "2"}, key=key).status_code == 422
        assert mismatches() == 1
    assert value(scrape(), "erp_idempotency_conflicts_total") is not None


@pytest.mark.django_db(transaction=True)
def test_a_duplicate_of_a_running_request_counts_as_a_conflict(
    offer: Any, user: Any, client_for: Any
) -> None:
    row = offer()
    buyers = [client_for(person := user("BUYER")), client_for(person)]
    path, key = f"/api/v1/availabilities/{row.pk}/reserve", uuid4().hex
    answers: list[int] = []

    def reserve(client: Any) -> None:
        answers.append(client.write(path, {"quantity": "1"}, key=key).status_code)
        connection.close()

    with counting("erp_idempotency_conflicts_total") as conflicts:
        with transaction.atomic():
            type(row).objects.select_for_update().get(pk=row.pk)  # the first one waits here
            thread = threading.Thread(target=reserve, args=(buyers[0],))
            thread.start()
            with connection.cursor() as cursor:

                def held() -> bool:
                    cursor.execute(
                        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
                        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                    return cursor.fetchone() is not None

                until(held)
            twin = threading.Thread(target=reserve, args=(buyers[1],))
            twin.start()
            twin.join(10)
        thread.join(10)
        assert sorted(answers) == [201, 409]
        assert conflicts() == 1


@pytest.mark.django_db
def test_refusals_count_by_capability(offer: Any, user: Any, client_for: Any) -> None:
    row, buyer = offer(live=False), client_for(user("BUYER"))
    with counting("erp_capability_denied_total", capability="availability.approve") as denied:
        assert buyer.write(f"/api/v1/availabilities/{row.pk}/approve").status_code == 403
        assert denied() == 1
        assert not access.holds_everywhere(None, "availability.approve")  # to ask is not to be refused
        assert denied() == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    client = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    finally:
        client.close()


@contextmanager
def running(folder: Path, port: int, *argv: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the product, as the image starts it."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *argv],
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            "ERP_DATA_DIR": str(folder / "none"),
            "METRICS_PORT": str(port),
            "PROMETHEUS_MULTIPROC_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **env,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_in_production_the_inner_port_serves_all_workers_metrics_and_the_public_one_none(
    tmp_path: Path,
) -> None:
    public, inner = free_port(), free_port()
    command = (
        "-m", "gunicorn", "config.wsgi", "--workers=2", "--threads=2",
        f"--bind=127.0.0.1:{public}", f"--bind=127.0.0.1:{inner}",
    )  # fmt: skip
    with running(tmp_path, inner, *command, **PRODUCTION):
        until(lambda: answers(inner) and answers(public), 60)
        visitor = {"Host": "erp.example", "X_Forwarded_Proto": "https"}
        for _ in range(20):
            assert get(public, "/livez", **visitor)[0] == 200
        for tricks in ({}, {"X_Forwarded_Port": str(inner)}, {"Server_Port": str(inner)}):
            assert get(public, "/metrics", **visitor, **tricks)[0] == 404
        assert get(public, "/metrics", **visitor | {"Host": f"erp.example:{inner}"})[0] == 404

        status, text = get(inner, "/metrics", Host="10.0.0.7:9100")
        assert status == 200
        now = parsed(text)
        assert value(now, "erp_http_requests_total", method="GET", route="livez", status="200") == 20
        assert value(now, "erp_database_up") == 0  # and the scrape is answered all the same
        assert value(now, "erp_outbox_pending") is None
        assert {label for _, labels in now for label, _ in labels} <= LABELS
        for path in ("/livez", "/api/v1/availabilities", "/admin/"):
            assert get(inner, path, **visitor)[0] == 404


def test_a_process_without_a_web_server_opens_the_inner_port_itself(tmp_path: Path) -> None:
    inner = free_port()
    program = (
        "import django, time; django.setup()\n"
        "from erp import metrics\n"
        "from erp.outbox.metrics import PUBLISHED\n"
        "PUBLISHED.labels(type='parcel.sent').inc(3)\n"
        "metrics.serve()\n"
        "time.sleep(120)"
    )
    with running(tmp_path, inner, "-c", program, **PRODUCTION):
        until(lambda: answers(inner), 60)
        _, text = get(inner, "/metrics")
    now = parsed(text)
    assert value(now, "erp_outbox_published_total", type="parcel.sent") == 3
    assert value(now, "erp_database_up") is None  # the web tells what the database knows, once for all


def test_a_port_without_a_folder_for_the_counters_stops_the_start() -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "manage.py", "check"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "METRICS_PORT": "9100"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "METRICS_PORT needs PROMETHEUS_MULTIPROC_DIR" in done.stderr
    assert "Traceback" not in done.stderr
