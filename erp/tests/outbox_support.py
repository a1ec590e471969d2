"""What the outbox's tests share: events, relays, and a look at what arrived. All on real servers."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from erp.embedded.pubsub.faults import control
from erp.embedded.testing import PubSub
from erp.outbox import deadletters, endpoint, topology, wire
from erp.outbox.flush import Buffered, bucket_of, flush
from erp.outbox.models import EventOutbox
from erp.outbox.pull import Delivery, Puller
from erp.outbox.relay import Relay, Summary

_started: "list[subprocess.Popen[str]]" = []
PROJECT = Path(__file__).resolve().parents[2]


def until(true: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until ``true()`` is; its value."""
    give_up = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.02)
    return value


def insert(*streams: UUID, size: int = 10, kind: str = "parcel") -> list[EventOutbox]:
    """Emit one event per stream named, in this order, in one transaction; the rows."""
    with transaction.atomic():
        flush([Buffered(f"{kind}.sent", 1, {"text": "x" * size}, kind, stream) for stream in streams])
        last = EventOutbox.objects.order_by("-position")[: len(streams)]
        return sorted(last, key=lambda row: row.position)


def streams_of(bucket: int, count: int) -> list[UUID]:
    """Fresh streams that all fall into one bucket."""
    found: list[UUID] = []
    while len(found) < count:
        stream = uuid4()
        if bucket_of("parcel", stream) == bucket:
            found.append(stream)
    return found


def statuses() -> dict[str, int]:
    """Rows by status."""
    counts: dict[str, int] = {}
    for status in EventOutbox.objects.values_list("status", flat=True):
        counts[status] = counts.get(status, 0) + 1
    return counts


@pytest.fixture
def pubsub(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A complete topology in a project of its own, with quick redelivery, beside the test's database."""
    monkeypatch.setattr(deadletters, "FIRST_SECONDS", 1.5)
    monkeypatch.setattr(deadletters, "NEXT_SECONDS", 0.3)
    original = connection.settings_dict
    parts = {name: original[name.upper()] for name in ("host", "port", "user", "password")}
    parts["dbname"] = original["NAME"]
    settings.DATABASE_DIRECT_URL = f"postgresql:///?{urlencode({k: v for k, v in parts.items() if v})}"
    settings.PUBSUB_PROJECT_ID = f"test-{uuid4().hex[:16]}"
    settings.PUBSUB_RETRY_MIN_SECONDS = settings.PUBSUB_RETRY_MAX_SECONDS = 0.1
    align()
    yield
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
        process.communicate()


Faults = Callable[..., None]


@pytest.fixture
def faults(pubsub: None, settings: Any) -> Iterator[Faults]:
    """A Pub/Sub server of the test, and a function that sets its publishing faults: rules, or none."""
    with PubSub() as server:
        settings.PUBSUB_EMULATOR_HOST = server.address
        align()

        def plan(*rules: dict[str, Any]) -> None:
            control(server.address, {"rules": [{"methods": ["Publish"], **rule} for rule in rules]})

        yield plan


def align() -> None:
    """Create or repair the topology."""
    with topology.clients() as clients:
        for difference in topology.differences(clients):
            if difference.repair is not None:
                difference.repair()


@pytest.fixture
def one_bucket(settings: Any) -> None:
    """All streams in one bucket."""
    settings.OUTBOX_BUCKETS = 1


class Running:
    """A relay in a thread of this process."""

    def __init__(self, **options: Any) -> None:
        self.summary: Summary | None = None
        self.error: BaseException | None = None
        self._relay: Relay | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._options = options
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        until(lambda: self._relay is not None or self.error is not None)

    def _run(self) -> None:
        async def relay() -> Summary:
            self._loop = asyncio.get_running_loop()
            self._relay = Relay(**self._options)
            return await self._relay.run()

        try:
            self.summary = asyncio.run(relay())
        except BaseException as error:
            self.error = error

    @property
    def last_error(self) -> str:
        """What went wrong last."""
        return self._relay.summary.last_error if self._relay is not None else ""

    def stop(self) -> Summary:
        """Stop it; what it did."""
        assert self._loop is not None
        assert self._relay is not None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._relay.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        assert self.summary is not None
        return self.summary


@contextmanager
def relaying(**options: Any) -> Iterator[Running]:
    """A relay beside the block."""
    running = Running(**options)
    try:
        yield running
    finally:
        running.stop()


def drain() -> Summary:
    """Relay what waits."""
    return asyncio.run(Relay(drain=True, patience=10).run())


def command(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """A command of the product as a process of its own, on the test's database and project."""
    from django.conf import settings

    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": settings.DATABASE_DIRECT_URL,
            "DATABASE_DIRECT_URL": settings.DATABASE_DIRECT_URL,
            "PUBSUB_PROJECT_ID": settings.PUBSUB_PROJECT_ID,
            "PUBSUB_EMULATOR_HOST": settings.PUBSUB_EMULATOR_HOST,
            "OUTBOX_BUCKETS": str(settings.OUTBOX_BUCKETS),
            "OUTBOX_ORDERING": settings.OUTBOX_ORDERING,
        }
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(process)
    return process


def ended(process: "subprocess.Popen[str]", seconds: float = 30.0) -> tuple[int, str, str]:
    """Wait for a process; its exit code, standard output and standard error."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it didn't end: {out} {err}") from None
    return process.returncode, out, err


def received(
    enough: Callable[[list[wire.Envelope]], bool], subscription: str = "", seconds: float = 20.0
) -> list[wire.Envelope]:
    """Events from a subscription in the order of arrival, acknowledged, until there are enough."""
    return [wire.decode(d.attributes, d.data) for d in deliveries(enough, subscription, seconds)]


def deliveries(
    enough: Callable[[list[Any]], bool], subscription: str = "", seconds: float = 20.0
) -> list[Delivery]:
    """The messages themselves."""
    from django.conf import settings

    found: list[Delivery] = []
    give_up = time.monotonic() + seconds
    with Puller(endpoint.subscription_path(subscription or settings.PUBSUB_SUBSCRIPTION)) as puller:
        while not enough([wire.decode(d.attributes, d.data) for d in found]):
            assert time.monotonic() < give_up, f"only {len(found)} arrived"
            if (delivery := puller.next(0.1)) is not None:
                found.append(delivery)
                puller.acknowledge([delivery.ack_id])
    return found


def count(number: int) -> Callable[[list[wire.Envelope]], bool]:
    """Enough are so many different events."""
    return lambda events: len({event.event_id for event in events}) >= number


def in_order(events: list[wire.Envelope]) -> dict[wire.Stream, list[int]]:
    """Sequences per stream by first arrival; asserts that none is missing, out of order, or two things."""
    sequences: dict[wire.Stream, list[int]] = {}
    ids: dict[tuple[wire.Stream, int], UUID] = {}
    for event in events:
        assert ids.setdefault((event.stream, event.sequence), event.event_id) == event.event_id
        seen = sequences.setdefault(event.stream, [])
        if event.sequence not in seen:
            seen.append(event.sequence)
    for stream, seen in sequences.items():
        assert seen == list(range(1, len(seen) + 1)), f"{stream}: {seen}"
    return sequences


def call(service: str, method: str, request: Any) -> None:
    """One administrative call."""
    with endpoint.channel() as channel:
        channel.unary_unary(
            f"/google.pubsub.v1.{service}/{method}", request_serializer=type(request).serialize
        )(request, timeout=10)


def owners() -> dict[int, set[int]]:
    """Buckets by the process of the database that owns them."""
    from erp import locks

    owned: dict[int, set[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
            " AND classid = %s::oid"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [locks.RELAY_BUCKET],
        )
        for pid, bucket in cursor.fetchall():
            owned.setdefault(pid, set()).add(bucket)
    return owned
