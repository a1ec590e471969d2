"""What a request costs: a create and a list against bare DRF views of the same rows, and requests per second.

    python -m benchmarks.api [--rounds 300] [--seconds 20] [--statements]

The ratios come from one run in one process on one PostgreSQL, with the same sign-in, in turns. The bare create writes
the same columns into a table without triggers; the bare list serializes the same columns of the same rows. Then two
workers of gunicorn answer 8 clients on the loopback.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

CLIENTS = 8
WORKERS = 2
ROWS = 50
BLOCK = 5  # calls of one kind before the next kind has its turn
PORT = 8745


class Cost(NamedTuple):
    """Figures of one kind of request: seconds and CPU seconds of each call, and the statements of one."""

    seconds: list[float]
    cpu: list[float]
    statements: list[str]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300, help="calls of each kind")
    parser.add_argument("--seconds", type=int, default=20, help="duration of each load; 0 for none")
    parser.add_argument("--statements", action="store_true", help="also print the statements of a create")
    options = parser.parse_args()

    from erp.embedded.testing import servers

    with servers():
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        limits = ("THROTTLE_READ", "THROTTLE_WRITE", "THROTTLE_ANONYMOUS")
        os.environ |= dict.fromkeys(limits, "1000000") | {"LOG_LEVEL": "ERROR"}
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        costs = measure(options.rounds)
        print(comparison(costs))
        if options.statements:
            for statement in costs["create"].statements:
                print(f"  {' '.join(statement.split())[:150]}")
        if options.seconds:
            print(load(options.seconds))


def measure(rounds: int) -> dict[str, Cost]:
    """Call every kind in turns; kind → its figures."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext, override_settings
    from django.urls import include, path

    from apps.commodities.models.terms import BargainType
    from config.testing import signed_in_client

    bare_create, bare_list = bare_views()

    class Urls:
        urlpatterns = [
            path("bare", bare_create.as_view()),
            path("bare-list", bare_list.as_view()),
            path("", include("config.urls")),
        ]

    bearer = signed_in_client(person()).bearer
    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"]):
        client = Client(headers={"Authorization": f"Bearer {bearer}"})

        def post(address: str) -> Any:
            body = json.dumps(new_row())
            headers = {"Idempotency-Key": uuid4().hex}
            return client.post(address, body, content_type="application/json", headers=headers)

        calls: dict[str, Callable[[], Any]] = {
            "bare create": lambda: post("/bare"),
            "create without trail": lambda: post("/api/v1/bargain-types"),
            "create": lambda: post("/api/v1/bargain-types"),
            "bare list": lambda: client.get("/bare-list"),
            "list": lambda: client.get(f"/api/v1/bargain-types?limit={ROWS}"),
        }
        while BargainType.objects.count() < ROWS:
            post("/api/v1/bargain-types")
        costs = {name: Cost([], [], []) for name in calls}
        for name, call in calls.items():
            with trail_disabled(name), CaptureQueriesContext(connection) as captured:
                expect(call())
            costs[name].statements.extend(query["sql"] for query in captured)
        for turn in range(-1, max(1, rounds // BLOCK)):  # the first turn warms up
            for name, call in calls.items():
                with trail_disabled(name):
                    for _ in range(BLOCK):
                        cpu, started = time.process_time(), time.perf_counter()
                        answer = call()
                        seconds, used = time.perf_counter() - started, time.process_time() - cpu
                        expect(answer)
                        if turn >= 0:
                            costs[name].seconds.append(seconds)
                            costs[name].cpu.append(used)
    return costs


def expect(answer: Any) -> None:
    """Raise AssertionError for an answer other than 200 or 201."""
    assert answer.status_code in (200, 201), answer.content


@contextmanager
def trail_disabled(name: str) -> Iterator[None]:
    """Disable the triggers of the audit trail on the table for kinds that are measured without it."""
    from django.db import connection

    tables = ("commodity_bargaintype",) if "without trail" in name else ()
    for action in ("DISABLE", "ENABLE"):
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} {action} TRIGGER USER")
        if action == "DISABLE":
            yield


def person() -> Any:
    """A member of staff who may add bargain types."""
    from config.testing import active_user
    from erp.ids import uuid7

    return active_user("INTERNAL", "INTERNAL_MASTERDATA", user_type="INTERNAL", organization_id=uuid7())


def new_row() -> dict[str, str]:
    """The body of a create."""
    code = f"F{uuid4().hex[:20].upper()}"
    return {"code": code, "name": code, "price_method": "FLAT", "firmness": "FIRM"}


def bare_views() -> tuple[Any, Any]:
    """A create and a list as DRF makes them of a model, with the product's sign-in and nothing else."""
    from django.db import connection, models
    from rest_framework import serializers
    from rest_framework.generics import CreateAPIView, ListAPIView
    from rest_framework.pagination import CursorPagination

    from apps.accounts.authentication import BearerAuthentication
    from apps.commodities.models.terms import BargainType

    columns: dict[str, Any] = {field.name: field.clone() for field in BargainType._meta.local_concrete_fields}
    for column in columns.values():
        if column.remote_field is not None:
            column.remote_field.related_name = "+"
    columns["name_key"].default = lambda: uuid4().hex  # which the product makes from the name
    unique = [rule for rule in BargainType._meta.constraints if isinstance(rule, models.UniqueConstraint)]
    table = {"app_label": "benchmark", "db_table": 'benchmark"."bargaintype', "managed": False}
    options = type("Meta", (), {**table, "constraints": unique})
    bare: Any = type("Bare", (models.Model,), {"__module__": __name__, "Meta": options, **columns})
    with connection.cursor() as cursor:
        # Beside the product's schema, whose tables are compared with docs/schema.txt.
        cursor.execute("DROP SCHEMA IF EXISTS benchmark CASCADE; CREATE SCHEMA benchmark")
        cursor.execute("CREATE TABLE benchmark.bargaintype (LIKE commodity_bargaintype INCLUDING ALL)")
    shown = (
        "id",
        "version",
        "code",
        "name",
        "description",
        "price_method",
        "firmness",
        "requires_approval",
        "status",
        "created_at",
        "updated_at",
    )

    class BareSerializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = bare
            fields = shown

    class RowSerializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = BargainType
            fields = shown

    class Pages(CursorPagination):
        page_size = ROWS
        ordering = "-created_at"

    class Create(CreateAPIView[Any]):
        queryset = bare._default_manager.all()
        serializer_class = BareSerializer
        authentication_classes = (BearerAuthentication,)

    class List(ListAPIView[Any]):
        queryset = BargainType.objects.all()
        serializer_class = RowSerializer
        authentication_classes = (BearerAuthentication,)
        pagination_class = Pages
        filter_backends = ()

    return Create, List


def comparison(costs: dict[str, Cost]) -> str:
    """The table of ratios."""
    lines = ["| request | SQL statements | median ms | CPU ms | ratio |", "|---|---:|---:|---:|---:|"]
    for name, cost in costs.items():
        bare = costs["bare list" if "list" in name else "bare create"]
        seconds, cpu = statistics.median(cost.seconds), statistics.mean(cost.cpu)
        ratio = "" if cost is bare else f"{seconds / statistics.median(bare.seconds):.2f}"
        lines.append(
            f"| {name} | {len(cost.statements)} | {seconds * 1000:.2f} | {cpu * 1000:.2f} | {ratio} |"
        )
    return "\n".join(lines)


def load(seconds: int) -> str:
    """Start gunicorn and measure requests per second of a read, a write and a replay."""
    from config.testing import signed_in_client

    bearer = signed_in_client(person()).bearer
    command = ["gunicorn", "config.wsgi", "--config=python:config.web_server", f"--bind=127.0.0.1:{PORT}"]
    web = subprocess.Popen(
        [sys.executable, "-m", *command, f"--workers={WORKERS}", "--log-level=error"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
    )
    replayed = json.dumps(new_row()), uuid4().hex
    kinds: dict[str, Callable[[], tuple[str, str | None, str]]] = {
        "read": lambda: ("GET", None, ""),
        "write": lambda: ("POST", json.dumps(new_row()), uuid4().hex),
        "replay": lambda: ("POST", *replayed),
    }
    lines = ["", "| load | requests a second | median ms | p95 ms |", "|---|---:|---:|---:|"]
    try:
        wait_for_web()
        for name, make in kinds.items():
            taken = run_clients(make, bearer, seconds)
            ordered = sorted(taken)
            middle, late = statistics.median(ordered), ordered[int(len(ordered) * 0.95)]
            lines.append(f"| {name} | {len(taken) / seconds:.0f} | {middle * 1000:.1f} | {late * 1000:.1f} |")
    finally:
        web.terminate()
        web.wait()
    return "\n".join(lines)


def wait_for_web() -> None:
    """Wait until gunicorn answers. Raises TimeoutError after 60 seconds."""
    for _ in range(600):
        try:
            link = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            link.request("GET", "/livez")
            link.getresponse().read()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("gunicorn doesn't answer")


def run_clients(make: Callable[[], tuple[str, str | None, str]], bearer: str, seconds: int) -> list[float]:
    """Let the clients send one request after the other; the seconds that each answer took."""
    taken: list[float] = []
    failed: list[Any] = []
    end = time.monotonic() + seconds

    def client() -> None:
        link = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        while time.monotonic() < end and not failed:
            method, body, key = make()
            headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
            if key:
                headers["Idempotency-Key"] = key
            started = time.perf_counter()
            link.request(method, "/api/v1/bargain-types", body, headers)
            answer = link.getresponse()
            content = answer.read()
            if answer.status == 409 and key:  # the same replay is being executed
                continue
            if answer.status not in (200, 201):
                failed.append((answer.status, content))
            taken.append(time.perf_counter() - started)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"refused: {failed[0]}")
    return taken


if __name__ == "__main__":
    main()
