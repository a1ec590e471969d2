"""Periodic work of the outbox: relay shifts, and retention."""

import asyncio
import contextlib
import time
from typing import Final

import redis.asyncio
import structlog
from celery import shared_task
from celery.worker import state as worker
from django.conf import settings
from django.db import connection, transaction
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from erp import locks
from erp.outbox.relay import Relay, Summary

log = structlog.get_logger(__name__)

SHIFT_SECONDS: Final = 45.0
# A newcomer is counted at once and given its share after a batch: without a bucket by then, it isn't needed.
PATIENCE_SECONDS: Final = 2.0
PURGE_ROWS: Final = 500
PURGE_SECONDS: Final = 30.0


@shared_task(acks_late=False)
def relay_shift() -> dict[str, object]:
    """Run the relay for a limited time; beat starts one task each second, most of which find no free bucket."""
    summary = asyncio.run(_shift())
    return {"ended": summary.ended, "published": summary.published}


async def _shift() -> Summary:
    relay = Relay(patience=PATIENCE_SECONDS)
    watchers = [asyncio.create_task(_end_of_shift(relay)), asyncio.create_task(_end_of_worker(relay))]
    try:
        return await relay.run()
    finally:
        for watcher in watchers:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher


async def _end_of_shift(relay: Relay) -> None:
    """End the shift once a successor can be started: while the broker is down no other relay would start."""
    await asyncio.sleep(SHIFT_SECONDS)
    while not await _broker_answers():
        await asyncio.sleep(1)
    relay.stop()


async def _end_of_worker(relay: Relay) -> None:
    """End promptly on SIGTERM, which in the solo pool only sets a flag (whose value may be 0)."""
    while worker.should_stop is None and worker.should_terminate is None:
        await asyncio.sleep(0.05)
    relay.stop()


async def _broker_answers() -> bool:
    url = settings.CELERY_BROKER_URL
    if not url.startswith(("redis://", "rediss://")):
        return True
    client = redis.asyncio.Redis.from_url(
        url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )
    try:
        await client.ping()
    except (redis.RedisError, OSError):
        return False
    finally:
        await client.aclose()
    return True


_PUBLISHED: Final = """
DELETE FROM event_outbox WHERE id IN (
    SELECT id FROM event_outbox
    WHERE status = 'published' AND created_at < now() - make_interval(days => %(days)s)
      AND processed_at < now() - make_interval(days => %(days)s)
    LIMIT %(rows)s FOR UPDATE SKIP LOCKED
)
"""
_INBOX: Final = """
DELETE FROM event_inbox WHERE (subscription, event_id) IN (
    SELECT subscription, event_id FROM event_inbox
    WHERE applied_at < now() - make_interval(days => %(days)s)
    LIMIT %(rows)s FOR UPDATE SKIP LOCKED
)
"""
# Waiting ones are counted every few minutes; the decision on the others is recorded by its event.
_DEAD_LETTERS: Final = """
DELETE FROM event_dead_letter WHERE id IN (
    SELECT id FROM event_dead_letter
    WHERE greatest(failed_at, seen_at) < now() - make_interval(days => %(days)s)
    LIMIT %(rows)s FOR UPDATE SKIP LOCKED
)
"""


@shared_task
def purge() -> dict[str, int]:
    """Delete published, received and dead events past their retention, in batches, for at most half a minute.

    Waiting, delayed and failed events are never deleted; the next run continues where this one ends.
    """
    give_up = time.monotonic() + PURGE_SECONDS
    return {
        "published": _purge(_PUBLISHED, settings.OUTBOX_RETENTION_DAYS, give_up),
        "inbox": _purge(_INBOX, settings.INBOX_RETENTION_DAYS, give_up),
        "dead_letters": _purge(_DEAD_LETTERS, settings.INBOX_RETENTION_DAYS, give_up),
    }


def _purge(statement: str, days: int, give_up: float) -> int:
    deleted = 0
    while time.monotonic() < give_up:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock(%s, %s)", [locks.TASK, locks.name_key("outbox.purge")]
            )
            if not cursor.fetchone()[0]:
                break
            cursor.execute(statement, {"days": days, "rows": PURGE_ROWS})
            deleted += cursor.rowcount
            if cursor.rowcount < PURGE_ROWS:
                break
    return deleted
