"""Wake-ups over Redis: a commit names buckets with new rows. A lost one delays the relay until its next poll."""

import time
from collections.abc import Iterable
from functools import cache

import redis
import structlog
from django.conf import settings
from prometheus_client import Counter
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

WAKE_UPS_LOST = Counter("erp_outbox_wake_ups_lost_total", "Wake-ups that could not be sent to Redis.")

# A commit must never wait for Redis longer than a person notices.
SOCKET_SECONDS = 0.2
# After an error no wake-up is sent for this long: an outage costs one timeout a pause, not one a commit.
PAUSE_SECONDS = 5.0

_paused_until = 0.0


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def wake(buckets: Iterable[int]) -> None:
    """Notify the relays that ``buckets`` have rows. Never raises or waits long; does nothing without Redis."""
    global _paused_until
    if not settings.REDIS_URL or time.monotonic() < _paused_until:
        return
    try:
        _client(settings.REDIS_URL).publish(
            settings.OUTBOX_WAKE_CHANNEL, ",".join(map(str, sorted(set(buckets))))
        )
    except redis.RedisError as error:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        WAKE_UPS_LOST.inc()
        log.warning("outbox.wake_up_failed", error=type(error).__name__)
