"""A read-only page on event delivery: relays, waiting events, Pub/Sub's last known state, heartbeats, schedules."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from celery import schedules
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from redis.exceptions import RedisError

from erp import access, capabilities, clock, heartbeat, locks, metrics
from erp.admin.display import Table
from erp.clients import breakers
from erp.outbox import operations
from erp.outbox.subscriber import Subscription

MOST: Final = 20  # blocked streams and gaps

_RELAYS: Final = """
SELECT l.pid, a.backend_start, count(*), array_agg(l.objid::bigint ORDER BY l.objid::bigint)
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = %(bucket)s::oid
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY l.pid, a.backend_start ORDER BY l.pid
"""
_WAITING: Final = """
SELECT bucket, count(*), min(created_at)
FROM (SELECT bucket, created_at FROM event_outbox
      WHERE status IN ('pending', 'processing') LIMIT %(limit)s) waiting
GROUP BY bucket ORDER BY min(created_at)
"""
_BLOCKED: Final = """
SELECT f.aggregate_type || ':' || f.aggregate_id, f.sequence, f.event_type, f.created_at, f.last_error,
       (SELECT count(*) FROM (
            SELECT 1 FROM event_outbox o
            WHERE o.aggregate_type = f.aggregate_type AND o.aggregate_id = f.aggregate_id
              AND o.sequence > f.sequence LIMIT 1000) behind)
FROM event_outbox f WHERE f.status = 'failed' ORDER BY f.created_at LIMIT %(most)s
"""


def view(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show the page to users who may view technical rows."""
    if not access.holds_everywhere(access.actor_of(request), capabilities.VIEW_TRAIL):
        raise PermissionDenied
    page = {**context, "title": "Relays, Pub/Sub, heartbeats", "tables": list(tables())}
    return TemplateResponse(request, "admin/service/tables.html", page)


def tables() -> Iterator[Table]:
    """Return the tables of the page; six queries for any amount of data."""
    figures = [
        (name.replace("_", " "), f"{value:.0f}") for name, value in asdict(operations.figures()).items()
    ]
    yield Table("Outbox", ["Figure", "Now"], figures)
    relays = _rows(_RELAYS, {"bucket": locks.RELAY_BUCKET})
    yield Table(
        "Relays",
        ["Session", "Since", "Buckets", "Which"],
        [(pid, since or "–", count, _ranges(buckets)) for pid, since, count, buckets in relays],
    )
    owners = {bucket: pid for pid, _, _, buckets in relays for bucket in buckets}
    yield Table(
        "Buckets with waiting events",
        ["Bucket", "Owner", "Waiting", "Oldest"],
        [
            (bucket, owners.get(bucket, "nobody"), count, oldest)
            for bucket, count, oldest in _rows(_WAITING, {"limit": operations.COUNT_LIMIT})
        ],
    )
    yield Table(
        "Blocked streams",
        ["Stream", "No.", "Failed event", "Since", "Reason", "Behind it"],
        _rows(_BLOCKED, {"most": MOST}),
    )
    yield Table(
        "Gaps at the consumer",
        ["Stream", "Missing no.", "Parked behind it"],
        [
            (gap.stream.key, gap.missing, gap.parked)
            for gap in Subscription(settings.PUBSUB_SUBSCRIPTION).gaps()[:MOST]
        ],
    )
    yield Table(
        "Pub/Sub, last known state",
        ["What", "Found", "Looked at"],
        [
            _seen("Differences in topology and grants", metrics.TOPOLOGY),
            _seen("Dead letters (counted up to 100)", metrics.DEAD_LETTERS),
        ],
    )
    yield Table(
        "Heartbeats on this machine",
        ["Process", "Last", "State"],
        [
            (name, f"{age:.0f} s ago", "alive" if age <= heartbeat.SILENT_SECONDS else "silent")
            for name, age in heartbeat.known()
        ],
    )
    yield Table(
        "Circuit breakers that are not closed",
        ["Remote operation", "State", "Since"],
        [tuple(each) for each in breakers.not_closed() or ()],
    )
    yield Table("Schedules", ["Name", "Last run", "Next run"], list(_schedules()))


def _rows(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _ranges(numbers: Sequence[int]) -> str:
    """Rising numbers in words: 0–3, 7."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("–".join(map(str, part)) for part in found)


def _seen(what: str, name: str) -> tuple[str, str, Any]:
    seen = read_cached(metrics.seen, name)
    return (what, "not known", "–") if seen is None else (what, f"{seen[0]:g}", seen[1])


def _schedules() -> Iterator[tuple[str, Any, Any]]:
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        last: datetime | None = read_cached(heartbeat.last_run, name)
        now = clock.now()
        left: timedelta = schedules.maybe_schedule(entry["schedule"]).remaining_estimate(last or now)
        due = now + max(left, timedelta()) + timedelta(seconds=0.5)  # to the nearest second
        yield name, last or "not known", due.replace(microsecond=0)


def read_cached(read: Callable[[str], Any], name: str) -> Any:
    """Return the cached value; None while the cache does not answer."""
    try:
        return read(name)
    except RedisError:
        return None
