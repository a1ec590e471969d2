"""Receives the relay's wake-ups over Redis; while Redis is down the relay polls."""

import asyncio

import redis
import redis.asyncio
import structlog
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

log = structlog.get_logger(__name__)


class NotifyListener:
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
        is_reported = False
        while True:
            client = redis.asyncio.Redis.from_url(
                settings.REDIS_URL,
                socket_connect_timeout=1,
                socket_keepalive=True,
                health_check_interval=5,
                retry=Retry(NoBackoff(), 0),
            )
            try:
                async with client.pubsub() as channel:
                    await channel.subscribe(settings.OUTBOX_WAKE_CHANNEL)
                    self.hearing, is_reported = True, False
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=5)
                        if message is not None:
                            self._buckets.update(int(part) for part in message["data"].split(b",") if part)
                            self._heard.set()
            except (redis.RedisError, OSError, ValueError) as error:
                self.hearing = False
                if not is_reported:
                    log.warning("outbox.wake_ups_not_heard", error=type(error).__name__)
                    is_reported = True
                await asyncio.sleep(1)
            finally:
                await client.aclose()
