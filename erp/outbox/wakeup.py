"""Wake-ups over Redis: a commit tells the relay which buckets have work. Losing one costs one poll."""

import asyncio
import time
from collections.abc import Iterable
from functools import cache

import redis
import redis.asyncio
import structlog
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from erp.outbox import metrics

log = structlog.get_logger(__name__)

# A commit must never wait for Redis longer than a person notices.
SOCKET_SECONDS = 0.2
# After an error nobody tries for so long: an outage costs one timeout a pause, not one a commit.
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
    """Tell the relays that ``buckets`` have rows. Never raises, never waits long; nothing without Redis."""
    global _paused_until
    if not settings.REDIS_URL or time.monotonic() < _paused_until:
        return
    try:
        _client(settings.REDIS_URL).publish(
            settings.OUTBOX_WAKE_CHANNEL, ",".join(map(str, sorted(set(buckets))))
        )
    except redis.RedisError as error:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        metrics.WAKE_UPS_LOST.inc()
        log.warning("outbox.wake_up_failed", error=type(error).__name__)


class Listener:
    """Collects the wake-ups of all emitters while ``run`` runs beside the relay's loop."""

    def __init__(self, heard: asyncio.Event) -> None:
        """``heard`` is set at each wake-up."""
        self._buckets: set[int] = set()
        self._heard = heard
        self.hearing = False  # whether a wake-up would reach us

    def take(self) -> set[int]:
        """The buckets named since the last call."""
        taken, self._buckets = self._buckets, set()
        return taken

    async def run(self) -> None:
        """Listen until cancelled; while Redis is down try again each second."""
        if not settings.REDIS_URL:
            return
        told = False
        while True:
            client = redis.asyncio.Redis.from_url(
                settings.REDIS_URL,
                socket_connect_timeout=1,
                socket_keepalive=True,
                health_check_interval=5,
                retry=AsyncRetry(NoBackoff(), 0),
            )
            try:
                async with client.pubsub() as channel:
                    await channel.subscribe(settings.OUTBOX_WAKE_CHANNEL)
                    self.hearing, told = True, False
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=5)
                        if message is not None:
                            self._buckets.update(int(part) for part in message["data"].split(b",") if part)
                            self._heard.set()
            except (redis.RedisError, OSError, ValueError) as error:
                self.hearing = False
                if not told:
                    log.warning("outbox.wake_ups_not_heard", error=type(error).__name__)
                    told = True
                await asyncio.sleep(1)
            finally:
                await client.aclose()
