"""The doctor reports what is ok, failed or down, and has a time limit for each check."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from config.celery import app
from erp import doctor, heartbeat, locks
from erp.access import registry
from erp.audit.sources import PROJECT
from erp.clients import Client, RemoteUnavailable
from erp.embedded.testing import PubSub
from erp.outbox import topology

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ALL = {
    "database", "migrations", "clock", "capabilities", "redis", "broker", "worker", "consumer", "beat", "relay",
    "pubsub",
    "topology", "dead letters", "iam", "clients", "file storage", "secrets",
    "events",
    "financial years",
    "registries",
    "risk providers",
}  # fmt: skip


@pytest.fixture(scope="module")
def pubsub() -> Iterator[str]:
    """A Pub/Sub with the topology that the product needs."""
    with PubSub() as server:
        with override_settings(PUBSUB_EMULATOR_HOST=server.address):
            call_command("setup_pubsub", stdout=StringIO())
        yield server.address


@pytest.fixture
def healthy(pubsub: str, settings: Any, tmp_path: Path) -> Any:
    """Everything is there and alive."""
    settings.PUBSUB_EMULATOR_HOST = pubsub
    settings.HEARTBEAT_DIR = tmp_path / "heartbeats"
    for name in ("worker", "consumer", "beat", "relay"):
        heartbeat.touch(name)
    return settings


def examined() -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code and checks by name."""
    out, code = StringIO(), 0
    try:
        call_command("doctor", "--json", stdout=out)
    except SystemExit as left:
        code = int(str(left.code))
    return code, {check["name"]: check for check in json.loads(out.getvalue())["checks"]}


def unwell() -> tuple[int, dict[str, str]]:
    """Return the exit code, and the state of each failed check."""
    code, checks = examined()
    for check in checks.values():
        assert bool(check["hint"]) == (check["state"] in ("failed", "down")), check
    return code, {name: check["state"] for name, check in checks.items() if check["state"] != "ok"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield int(server.getsockname()[1])


def test_a_healthy_product_passes_with_one_line_each(healthy: Any) -> None:
    code, checks = examined()
    assert {name: check["state"] for name, check in checks.items()} == dict.fromkeys(ALL, "ok"), checks
    assert code == 0
    out = StringIO()
    call_command("doctor", stdout=out)
    header, *lines = out.getvalue().splitlines()
    assert header.split() == ["STATE", "CHECK", "DETAIL"]
    assert len(lines) == len(ALL)


def test_unreachable_servers_end_the_command_with_4_without_delay(silent: int) -> None:
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        "REDIS_URL": f"redis://127.0.0.1:{silent}/0",
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{silent}/0",
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{silent}",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=PROJECT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4, done.stderr
    states = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert {name for name, state in states.items() if state == "down"} >= {
        "database",
        "redis",
        "broker",
        "pubsub",
    }
    assert {name for name, state in states.items() if state == "skipped"} == {
        "financial years",
        "registries",
        "risk providers",
        "migrations",
        "clock",
        "capabilities",
        "relay",
        "topology",
        "dead letters",
        "iam",
    }
    assert (states["secrets"], states["events"]) == ("ok", "ok")


def test_a_check_without_an_answer_is_abandoned(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(doctor, "SECONDS", 0.2)
    monkeypatch.setattr(
        doctor, "CHECKS", (doctor.HealthCheck("clock", lambda: str(never.wait()), "wind it up"),)
    )
    assert unwell() == (4, {"clock": "down"})
    never.set()


def test_an_old_database_fails(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MINIMUM_POSTGRESQL", 99)
    code, states = unwell()
    assert (code, states["database"]) == (1, "failed")


def test_unreachable_redis_and_broker_are_reported(healthy: Any) -> None:
    healthy.REDIS_URL = healthy.CELERY_BROKER_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert unwell() == (4, {"redis": "down", "broker": "down"})


def test_an_unreachable_pubsub_is_reported(healthy: Any) -> None:
    healthy.PUBSUB_EMULATOR_HOST = f"127.0.0.1:{free_port()}"
    assert unwell() == (
        4,
        {"pubsub": "down"} | dict.fromkeys(("topology", "dead letters", "iam"), "skipped"),
    )


def test_a_topology_that_drifted_fails(healthy: Any) -> None:
    with PubSub() as server:
        healthy.PUBSUB_EMULATOR_HOST = server.address
        assert unwell() == (1, {"topology": "failed", "dead letters": "failed", "iam": "failed"})
        call_command("setup_pubsub", stdout=StringIO())
        assert unwell() == (0, {})
        with topology.clients() as clients:
            request = {"subscription": topology.subscriptions()[1].name}
            clients.call(clients.subscriber.delete_subscription, request)
        assert unwell() == (1, {"dead letters": "failed"})


@pytest.mark.parametrize("name", ["worker", "consumer", "beat", "relay"])
def test_a_process_without_a_sign_of_life_is_down(healthy: Any, name: str) -> None:
    heartbeat.path(name).unlink()
    assert unwell() == (4, {name: "down"})
    heartbeat.touch(name)
    long_ago = time.time() - heartbeat.SILENT_SECONDS - 5
    os.utime(heartbeat.path(name), (long_ago, long_ago))
    assert unwell() == (4, {name: "down"})


def test_a_relay_is_seen_by_its_lock_whichever_machine_it_runs_on(healthy: Any) -> None:
    heartbeat.path("relay").unlink()
    relay = connections.create_connection("default")
    try:
        with relay.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock_shared(%s, 0)", [locks.RELAY_PRESENT])
        assert unwell() == (0, {})
    finally:
        relay.close()
    assert unwell() == (4, {"relay": "down"})


def test_a_remote_whose_breaker_is_open_is_down(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "_all", dict(Client._all))

    class Planted(Client):
        __module__ = "apps.partners.clients"
        name, timeout, retries, fail_max = f"planted_{time.monotonic_ns()}", 1.0, 0, 2

        def legal_name(self) -> Any:
            return self.request("GET", f"http://127.0.0.1:{free_port()}/")

    assert unwell() == (0, {})
    for _ in range(3):
        with pytest.raises(RemoteUnavailable):
            Planted().legal_name()
    assert unwell() == (4, {"clients": "down"})


def test_a_database_that_other_migrations_made_fails(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.schema, "fault", lambda: "The database was made by other migrations.")
    skipped = dict.fromkeys(("capabilities", "financial years", "registries", "risk providers"), "skipped")
    assert unwell() == (1, {"migrations": "failed", **skipped})


def test_a_clock_that_is_off_fails(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MOST_SKEW_SECONDS", -1.0)
    assert unwell() == (1, {"clock": "failed"})


def test_drifted_capabilities_fail(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "capabilities", dict(registry.capabilities))
    del registry.capabilities["commodity.update"]
    assert unwell() == (1, {"capabilities": "failed"})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"JWT_SIGNING_KEY": "short"}, "JWT_SIGNING_KEY is shorter than 32"),
        ({"JWT_SIGNING_KEY": "x" * 40, "SIGN_IN_COUNTER_KEY": "x" * 40}, "two of them are equal"),
        ({"ENCRYPTION_KEYS": {"2026": "short"}}, "ENCRYPTION_KEYS 2026 is shorter than 32"),
        (
            {"PRODUCTION": True, "SECRET_KEY": "development-" + "x" * 50},
            "SECRET_KEY is the development default",
        ),
    ],
)
def test_unfit_secrets_fail_without_being_shown(healthy: Any, change: dict[str, Any], problem: str) -> None:
    for name, value in change.items():
        setattr(healthy, name, value)
    code, checks = examined()
    assert code == 1
    assert checks["secrets"]["detail"] == problem


def test_events_that_differ_from_their_files_fail(healthy: Any, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "docs", tmp_path / "docs")
    (tmp_path / "docs" / "events" / "commodity.created.v1.sample.json").unlink()
    healthy.BASE_DIR = tmp_path
    assert unwell() == (1, {"events": "failed"})


def test_a_sign_of_life_never_stops_a_worker(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.HEARTBEAT_DIR = tmp_path / "file" / "below"
    heartbeat.touch("worker")
    assert heartbeat.age("worker") is None


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Start one of the Celery processes; returns the file that it is to touch."""
    running: list[subprocess.Popen[bytes]] = []
    broker = urlsplit(configured.CELERY_BROKER_URL)._replace(path="/15").geturl()
    env = os.environ | {"ERP_DATA_DIR": str(tmp_path), "CELERY_BROKER_URL": broker, "REDIS_URL": broker}
    env["DJANGO_SETTINGS_MODULE"] = "config.settings"

    def start(name: str) -> Path:
        running.append(
            subprocess.Popen(
                [sys.executable, "celery_worker.py", name],
                cwd=PROJECT,
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return tmp_path / "heartbeats" / name

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process in running:
        process.wait(20)


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_a_celery_process_gives_signs_of_life(started: Callable[[str], Path], name: str) -> None:
    file = started(name)
    seen: set[float] = set()
    end = time.monotonic() + 40
    while len(seen) < 2 and time.monotonic() < end:
        if file.exists():
            seen.add(file.stat().st_mtime)
        time.sleep(0.1)
    assert len(seen) >= 2


@pytest.mark.parametrize("name", ["expire-reservations", "expire_reservations", "purge-idempotency"])
def test_periodic_work_runs_by_hand(name: str) -> None:
    out = StringIO()
    call_command("run_task", name, "--json", stdout=out)
    problem = json.loads(out.getvalue())
    assert problem["task"] == app.conf.beat_schedule[name.replace("_", "-")]["task"]
    assert problem["result"] == 0


def test_periodic_work_does_what_beat_would_have_done(offer: Any, user: Any, emitted: Any) -> None:
    from datetime import timedelta
    from decimal import Decimal

    from apps.availability.models import Reservation
    from apps.availability.services import stock as services
    from erp.models import unguarded_writes

    hold = services.reserve(offer(), actor=user("BUYER"), quantity=Decimal(10))
    with unguarded_writes():
        Reservation.objects.filter(pk=hold.pk).update(expires_at=hold.created_at - timedelta(hours=1))
    call_command("run_task", "expire-reservations", stdout=StringIO())
    assert emitted("availability.released")[-1].payload["reason"] == "expired"


@pytest.mark.parametrize(
    ("name", "offered"), [("nonsense", "expire-reservations"), ("purge", "purge-outbox")]
)
def test_an_unknown_or_ambiguous_name_offers_those_there_are(name: str, offered: str) -> None:
    with pytest.raises(CommandError, match=offered) as raised:
        call_command("run_task", name)
    assert raised.value.returncode == 2


def test_without_a_name_the_schedule_is_listed() -> None:
    out = StringIO()
    call_command("run_task", "--json", stdout=out)
    assert json.loads(out.getvalue())["tasks"].keys() == app.conf.beat_schedule.keys()
