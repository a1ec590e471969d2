"""Metrics for Prometheus at ``/metrics`` (core §9, operations §2).

Each process counts for itself; processes that share ``PROMETHEUS_MULTIPROC_DIR`` are reported as one, so that
gunicorn's workers and Celery's children add up. Figures of the database are read at each scrape; figures of Pub/Sub
are read by periodic tasks and cached, because a scrape must not wait for other systems. An unavailable figure is
left out, never reported as 0.

In production the metrics are on their own port (``METRICS_PORT``): gunicorn listens on it beside its public
one, other processes by ``serve``. Labels hold route templates, event types and codes: no ids, no names.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.cache import cache as shared
from django.db import DatabaseError, InterfaceError, close_old_connections, connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

HTTP_REQUESTS = Counter(
    "erp_http_requests_total", "Requests answered, by route.", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "erp_http_request_seconds",
    "Duration of requests, by route.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10),
)
IDEMPOTENCY_REPLAYS = Counter(
    "erp_idempotency_replays_total", "Requests answered from the idempotency record."
)
IDEMPOTENCY_CONFLICTS = Counter(
    "erp_idempotency_conflicts_total", "Requests refused while the same request was running."
)
IDEMPOTENCY_MISMATCHES = Counter(
    "erp_idempotency_mismatch_total", "Requests refused because their key belongs to another request."
)
CAPABILITY_DENIED = Counter("erp_capability_denied_total", "Refusals, by capability.", ["capability"])
MASKED_REFUSALS = Counter(
    "erp_masked_refusals_total",
    "Refusals that depend on figures hidden from the caller, by problem.",
    ["code"],
)

_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class MetricsMiddleware:
    """Counts and times requests. Outermost, so that every response is counted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self._get_response(request)
        # What a stranger can choose freely, paths and methods, must not become a label.
        route = request.resolver_match.route if request.resolver_match else "unmatched"
        method = request.method if request.method in _METHODS else "other"
        HTTP_REQUESTS.labels(method, route, response.status_code).inc()
        HTTP_SECONDS.labels(method, route).observe(time.perf_counter() - started)
        return response


STATEMENT_TIMEOUT: Final = "3s"  # a scrape gives up rather than add to the load of a database in trouble

# Others' sessions show no times to a role without pg_read_all_stats; the product's own all do.
_SESSIONS: Final = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::float
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""

# Figures that tasks look up: name, help, and how many seconds what was seen counts.
DEAD_LETTERS: Final = "erp_dlq_depth"
TOPOLOGY: Final = "erp_topology_differences"
TRAIL: Final = "erp_trail_findings"
_REMEMBERED: Final = {
    DEAD_LETTERS: ("Waiting dead letters, counted up to 100.", 15 * 60),
    TOPOLOGY: ("Differences between Pub/Sub's topology and grants and the configuration.", 130 * 60),
    TRAIL: (
        "Entries of the audit trail that were changed, removed or added, and missing triggers.",
        26 * 3600,
    ),
}


def remember(name: str, value: float) -> None:
    """Cache a figure of a task for scrapes, until it is too old."""
    shared.set(_key(name), (value, time.time()), _REMEMBERED[name][1])


def seen(name: str) -> tuple[float, datetime] | None:
    """What a task saw last, and when; None where that is too old to be true."""
    stored = shared.get(_key(name))
    return None if stored is None else (stored[0], datetime.fromtimestamp(stored[1], UTC))


def _key(name: str) -> str:
    return f"erp:figure:{name}"


class _Lazy(Collector):
    """A collector that reads nothing before the first scrape."""

    def describe(self) -> Iterable[Metric]:
        """Nothing."""
        return ()


class Processes(_Lazy):
    """What this process counts, or, where they share a folder, all of its siblings; and beat's sign of life."""

    def collect(self) -> Iterator[Metric]:
        """Read the counters."""
        from erp import heartbeat

        age = heartbeat.age("beat")
        if age is not None:  # its file is on this machine
            yield _gauge("erp_beat_heartbeat_seconds", "Unix time of beat's last cycle.", time.time() - age)
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
        if folder:
            _bury(folder)
            yield from MultiProcessCollector(None, folder).collect()  # type: ignore[no-untyped-call]
        else:
            yield from REGISTRY.collect()


def _bury(folder: str) -> None:
    """Forget the live gauges of processes that are gone; their counters stay in the sums, which never fall."""
    for file in Path(folder).glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
        except PermissionError:
            continue


# Figures of the outbox and the modules, each in few queries; read in the database's collection below.
of_modules: list[Callable[[], Iterator[Metric]]] = []


class Database(_Lazy):
    """Outbox, consumer and sessions, read from the database without counting a table."""

    def collect(self) -> Iterator[Metric]:
        """One short transaction. While the database does not answer, only this is reported."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])
                cursor.execute(_SESSIONS)
                sessions, oldest = cursor.fetchone()
                found = [metric for read in of_modules for metric in read()]
        except (DatabaseError, InterfaceError) as error:
            log.warning("metrics.database_silent", error=type(error).__name__)
            yield _gauge("erp_database_up", "Whether the database answered.", 0)
            return
        yield _gauge("erp_database_up", "Whether the database answered.", 1)
        yield _gauge("erp_database_connections", "Sessions of the database.", sessions)
        yield _gauge("erp_database_oldest_transaction_seconds", "Age of the oldest open transaction.", oldest)
        yield from found


class Remembered(_Lazy):
    """What periodic tasks saw."""

    def collect(self) -> Iterator[Metric]:
        """Read the cache."""
        try:
            seen = shared.get_many([_key(name) for name in _REMEMBERED])
        except RedisError as error:
            log.warning("metrics.cache_silent", error=type(error).__name__)
            return
        for name, (text, _) in _REMEMBERED.items():
            if (stored := seen.get(_key(name))) is not None:
                yield _gauge(name, text, stored[0])


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


@cache
def _registry(*, whole: bool) -> CollectorRegistry:
    """The processes' own figures, or, for the web, ``whole``: also those of database and cache."""
    registry = CollectorRegistry()
    for collector in (Processes(), Database(), Remembered()) if whole else (Processes(),):
        registry.register(collector)
    return registry


@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """All figures, in Prometheus' text format. Routed outside production only."""
    return HttpResponse(generate_latest(_registry(whole=True)), content_type=CONTENT_TYPE_LATEST)


Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def inner_port(application: Application) -> Application:
    """Wrap the web application: what arrives at ``METRICS_PORT`` gets the figures or 404, and nothing else.

    The port is that of the listening socket, which no header can change. The scraper needs no allowed host, no
    TLS and no session, and nothing of the product can be reached past the proxy by this port.
    """
    port = str(settings.METRICS_PORT or "")

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not port or environ.get("SERVER_PORT") != port:
            return application(environ, start_response)
        if environ.get("PATH_INFO") != "/metrics" or environ.get("REQUEST_METHOD") != "GET":
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return []
        close_old_connections()
        try:
            body = generate_latest(_registry(whole=True))
        finally:
            close_old_connections()
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST), ("Content-Length", str(len(body)))])
        return [body]

    return answer


@cache
def serve() -> None:
    """Open the inner port in a process without a web server; nothing where ``METRICS_PORT`` isn't set.

    A port that is taken is logged and no more: figures must not keep a relay from its work.
    """
    port = settings.METRICS_PORT
    if port:
        try:
            start_http_server(port, registry=_registry(whole=False))
        except OSError as error:
            log.warning("metrics.port_taken", port=port, error=str(error))
