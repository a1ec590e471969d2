"""A pytest plugin: the fixtures that every module's tests share. ``erp.embedded.testing`` starts the servers."""

import fcntl
import gc
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from threading import Barrier
from typing import Any

import pytest

os.environ.setdefault("ERP_ENV", "test")


# Errors that left a service or a lookup undeclared (core §5), also where something caught them afterwards.
undeclared: list[str] = []
SLOW_SECONDS = 600  # pytest.ini's limit is for the others


def pytest_configure() -> None:
    """Watch for undeclared errors, and empty the database faster than Django does."""
    from django.test import TransactionTestCase

    from erp import services

    gc.disable()
    services.on_undeclared = lambda name, error: undeclared.append(f"{name} raised {type(error).__name__}")
    case: Any = TransactionTestCase
    flush = case._fixture_teardown

    def flush_without_triggers(self: Any) -> None:
        from django.db import connection

        with connection.cursor() as cursor:  # those of the audit trail refuse TRUNCATE
            cursor.execute("SET session_replication_role = replica")
            flush(self)
            cursor.execute("RESET session_replication_role")

    def empty(self: Any) -> None:
        if permissions_and_roles() == _digest():
            delete_rows()
        else:
            flush_without_triggers(self)
            permissions_and_roles.cache_clear()  # they have new ids

    case._fixture_setup, case._fixture_teardown = classmethod(lambda cls: permissions_and_roles()), empty


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give tests that take a minute by themselves the time that they need on a busy machine."""
    if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
        item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare garbage collection the thousands of tests: it went through all of them in each of its full turns."""
    gc.freeze()
    gc.enable()


# What each migration, and so each flush, makes of the declared capabilities.
_DECLARED = ("django_content_type", "auth_permission", "auth_group", "auth_group_permissions")


@cache
def permissions_and_roles() -> str:
    """A digest of them, with their ids, as they were before a test that commits."""
    return _digest()


def _digest() -> str:
    from django.db import connection

    with connection.cursor() as cursor:
        rows = " UNION ALL ".join(f"SELECT '{table}' || t::text AS row FROM {table} t" for table in _DECLARED)
        cursor.execute(f"SELECT md5(string_agg(row, chr(10) ORDER BY row)) FROM ({rows}) AS rows")
        return str(cursor.fetchone()[0])


def delete_rows() -> None:
    """Delete what a test committed; permissions and roles stay.

    A flush truncates every table and makes permissions and roles again, which takes a second.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        tables = {*connection.introspection.table_names(cursor)} - {*_DECLARED, "django_migrations"}
        deletions = ";".join(f'DELETE FROM "{table}"' for table in sorted(tables))
        # Without triggers: they keep rows that are never deleted, and in an order.
        cursor.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {deletions}; COMMIT")


def fail_on_undeclared() -> None:
    """Raise RuntimeError if an undeclared error was raised since the last call."""
    found = sorted(set(undeclared))
    undeclared.clear()
    if found:
        raise RuntimeError(f"Declare it in raises=[…]: {'; '.join(found)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail the test in which, or in whose set-up, an undeclared error left a service."""
    try:
        return (yield)
    finally:
        fail_on_undeclared()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """Parallel workers copy one database, which the first of them migrates: that takes half a minute."""
    result = yield
    if fixturedef.argname == "django_db_modify_db_settings" and "PYTEST_XDIST_WORKER" in os.environ:
        with request.getfixturevalue("django_db_blocker").unblock():
            _use_template()
    return result


def _use_template() -> None:
    from django.db import connection

    settings = connection.settings_dict
    name, own, template = settings["NAME"], settings["TEST"]["NAME"], f"test_{settings['NAME']}_template"
    folder = Path(os.environ.get("ERP_DATA_DIR") or gettempdir())
    with (folder / f"{template}-{os.environ['PYTEST_XDIST_TESTRUNUID']}").open("a") as migrated:
        fcntl.flock(migrated, fcntl.LOCK_EX)
        if migrated.seek(0, os.SEEK_END) == 0:
            settings["TEST"]["NAME"] = template
            try:
                connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
            finally:
                connection.close()
                settings["NAME"], settings["TEST"]["NAME"] = name, own
            migrated.write("yes")
    settings["TEST"]["TEMPLATE"] = template


@pytest.fixture(autouse=True)
def _fresh_cache() -> Iterator[None]:
    """Limits and leases of one test don't reach the next."""
    from django.core.cache import cache

    yield
    cache.clear()


@pytest.fixture(autouse=True)
def _clock_of_test_transactions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass between units of work also where one transaction spans the whole test."""
    from erp import clock

    marker = request.node.get_closest_marker("django_db")
    if "transactional_db" not in request.fixturenames and not (marker and marker.kwargs.get("transaction")):
        monkeypatch.setattr(clock, "TRANSACTION_TIME", "statement_timestamp()")


@pytest.fixture
def request_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Log the lines of each request, which other tests do without."""
    caplog.set_level("INFO", "django_structlog.middlewares")


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Make a moment the present one, from which time goes on."""
    from django.utils import timezone

    from erp import clock

    def set_to(moment: datetime) -> None:
        monkeypatch.setattr(clock, "_offset", moment - timezone.now())

    return set_to


def environment(**more: str) -> dict[str, str]:
    """Environment of a process that works on the test's database and Redis as in production."""
    from django.conf import settings
    from django.db import connection

    made = connection.settings_dict
    return {
        **os.environ,
        "DATABASE_URL": "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**made),
        "REDIS_URL": settings.REDIS_URL,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        **more,
    }


Emitted = Callable[..., Any]


@pytest.fixture
def emitted() -> Callable[..., list[Any]]:
    """Outbox rows of a type (all without one), oldest first."""
    from erp.outbox.models import EventOutbox

    def read(event_type: str = "", **filters: Any) -> list[Any]:
        rows = EventOutbox.objects.filter(**({"event_type": event_type} if event_type else {}), **filters)
        return list(rows.order_by("position"))

    return read


@pytest.fixture
def assert_emitted(emitted: Callable[..., list[Any]]) -> Emitted:
    """Assert that the newest event of a type carries these members; returns its row."""

    def check(event: Any, **members: Any) -> Any:
        rows = emitted(event.__event__.name)
        assert rows, f"{event.__event__.name} was not emitted"
        payload = rows[-1].payload
        for name, value in members.items():
            assert payload[name] == value, f"{name}: {payload[name]!r} is not {value!r}"
        return rows[-1]

    return check


@pytest.fixture
def deliver(emitted: Callable[..., list[Any]]) -> Callable[[], int]:
    """Hand every event that wasn't yet to the handlers, as the consumer does; those that they emit, too.

    Returns how many were handed over. Where a handler raises, its event and all behind it stay undelivered.
    """
    from erp.outbox import wire
    from erp.outbox.subscriber import DeliveryOutcome, Subscription

    subscription = Subscription("tests")

    def run() -> int:
        from erp.outbox.models import EventOutbox

        subscription.start()
        seen = 0
        delivered = -1
        while True:
            rows = EventOutbox.objects.filter(position__gt=delivered).order_by("position")
            if not rows:
                return seen
            for row in rows:
                event = wire.envelope(row, row.id, json.dumps(row.payload))
                seen += subscription.receive(event) is DeliveryOutcome.APPLIED
                delivered = row.position

    return run


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run the acts at the same time on connections of their own; what each returned, or the exception it raised."""
    from django.db import connection

    start = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait(20)
        try:
            return act()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts, timeout=60))
