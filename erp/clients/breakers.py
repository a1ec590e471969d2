"""Circuit breakers: per client and operation, their state shared through Redis where it is configured.

pybreaker decides; it is called before and after a remote call, so that its lock is never held during one.
"""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pybreaker
import structlog
from django.conf import settings
from prometheus_client import Gauge
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

logger = structlog.get_logger(__name__)

STATE = Gauge(
    "erp_breaker_state",
    "Circuit breaker of a remote operation: 0 closed, 1 half-open, 2 open.",
    ["client", "operation"],
    multiprocess_mode="livemax",
)
_LEVELS = {pybreaker.STATE_CLOSED: 0, pybreaker.STATE_HALF_OPEN: 1, pybreaker.STATE_OPEN: 2}
# Redis is a help, not a need: it gets this long to answer, and is left alone this long when it doesn't.
_REDIS_TIMEOUT, _REDIS_REST = 0.2, 5.0
# A breaker that is unused for this long is reset.
_FORGET_AFTER = 24 * 3600
_PREFIX = "erp:breaker:"
_NOT_CLOSED = "erp:breakers"  # their names


class Open(Exception):
    """The breaker is open; ``retry_after`` in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"open for another {retry_after:.1f} s")
        self.retry_after = retry_after


class _Failed(Exception):
    """Reports a failed call to pybreaker."""


class SharedRedis:
    """One connection pool per process, and a rest after each failure."""

    def __init__(self) -> None:
        self._url, self._rest_until = "", 0.0
        self._client: Redis | None = None

    def client(self) -> Redis | None:
        """The client; None where Redis isn't configured or has just failed."""
        url = str(getattr(settings, "REDIS_URL", "") or "")
        if not url or (url == self._url and time.monotonic() < self._rest_until):
            return None
        if url != self._url or self._client is None:
            self._client = Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=_REDIS_TIMEOUT,
                socket_connect_timeout=_REDIS_TIMEOUT,
                retry=Retry(NoBackoff(), 0),
            )
            self._url, self._rest_until = url, 0.0
        return self._client

    def failed(self) -> None:
        """Leave it alone for a while."""
        self._rest_until = time.monotonic() + _REDIS_REST


shared_redis = SharedRedis()


class SharedStorage(pybreaker.CircuitBreakerStorage):
    """A breaker's state: in memory, and in Redis for the other processes where Redis answers."""

    def __init__(self, key: str) -> None:
        super().__init__("shared")
        self._name, self._key = key, f"{_PREFIX}{key}"
        self._state = pybreaker.STATE_CLOSED
        self._failures = self._successes = 0
        self._opened_at = self.paused_until = 0.0  # seconds since the epoch
        self._probe_until = 0.0
        self._probe_lock = threading.Lock()
        self._last: list[bool] = []

    def refresh(self) -> None:
        """Read the state shared by other processes. If Redis is empty or down, the local state is used."""
        if (client := shared_redis.client()) is None:
            return
        try:
            found = {str(key): str(value) for key, value in client.hgetall(self._key).items()}
        except RedisError:
            shared_redis.failed()
            return
        if "state" in found:
            self._state = found["state"]
        if found:
            self._failures = int(found.get("failures", 0))
            self._successes = int(found.get("successes", 0))
            self._opened_at = float(found.get("opened_at", 0))
            self.paused_until = float(found.get("paused_until", 0))

    def pause(self, seconds: float) -> None:
        """Refuse calls for this long, as requested by the remote."""
        self.paused_until = time.time() + seconds
        self._write(paused_until=self.paused_until)

    def take_probe(self, seconds: float) -> bool:
        """Whether the caller may make the one trial call of a breaker that isn't closed."""
        if (client := shared_redis.client()) is not None:
            try:
                return bool(client.set(f"{self._key}:probe", 1, nx=True, px=int(seconds * 1000)))
            except RedisError:
                shared_redis.failed()
        with self._probe_lock:
            if time.monotonic() < self._probe_until:
                return False
            self._probe_until = time.monotonic() + seconds
            return True

    def release_probe(self) -> None:
        """The trial call is over."""
        self._probe_until = 0.0
        if (client := shared_redis.client()) is not None:
            try:
                client.delete(f"{self._key}:probe")
            except RedisError:
                shared_redis.failed()

    # What pybreaker asks of a storage.

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        self._state = state
        self._write(state=state)

    @property
    def counter(self) -> int:
        """Failures in a row."""
        return self._failures

    def increment_counter(self) -> None:
        """One failure more, counted over all processes."""
        self._failures = self._count("failures", self._failures)

    def reset_counter(self) -> None:
        """A success ends the row."""
        if self._failures:
            self._failures = 0
            self._write(failures=0)

    @property
    def success_counter(self) -> int:
        """Successful trial calls."""
        return self._successes

    def increment_success_counter(self) -> None:
        """One successful trial call more."""
        self._successes = self._count("successes", self._successes)

    def reset_success_counter(self) -> None:
        """Reset the count of trial calls."""
        if self._successes:
            self._successes = 0
            self._write(successes=0)

    @property
    def opened_at(self) -> datetime | None:
        """When it opened last."""
        return datetime.fromtimestamp(self._opened_at, UTC) if self._opened_at else None

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        self._opened_at = moment.timestamp()
        self._write(opened_at=self._opened_at)

    def failures_of_last(self, number: int, *, ok: bool) -> int:
        """Note an outcome, and return how many of the last ``number`` failed; 0 until there are so many."""
        if (client := shared_redis.client()) is not None:
            try:
                with client.pipeline(transaction=True) as pipe:
                    pipe.lpush(f"{self._key}:last", int(ok))
                    pipe.ltrim(f"{self._key}:last", 0, number - 1)
                    pipe.expire(f"{self._key}:last", _FORGET_AFTER)
                    pipe.lrange(f"{self._key}:last", 0, -1)
                    self._last = [outcome == "1" for outcome in pipe.execute()[-1]]
            except RedisError:
                shared_redis.failed()
                self._last = [ok, *self._last][:number]
        else:
            self._last = [ok, *self._last][:number]
        return self._last.count(False) if len(self._last) == number else 0

    def forget_last(self) -> None:
        """Begin the window anew."""
        self._last = []
        if (client := shared_redis.client()) is not None:
            try:
                client.delete(f"{self._key}:last")
            except RedisError:
                shared_redis.failed()

    def _write(self, **fields: str | float) -> None:
        if (client := shared_redis.client()) is None:
            return
        try:
            with client.pipeline(transaction=True) as pipe:
                pipe.hset(self._key, items=[item for pair in fields.items() for item in pair])
                pipe.expire(self._key, _FORGET_AFTER)
                if "state" in fields:
                    closed = fields["state"] == pybreaker.STATE_CLOSED
                    (pipe.srem if closed else pipe.sadd)(_NOT_CLOSED, self._name)
                pipe.execute()
        except RedisError:
            shared_redis.failed()

    def _count(self, field: str, own: int) -> int:
        if (client := shared_redis.client()) is not None:
            try:
                with client.pipeline(transaction=True) as pipe:
                    pipe.hincrby(self._key, field, 1)
                    pipe.expire(self._key, _FORGET_AFTER)
                    return int(pipe.execute()[0])
            except RedisError:
                shared_redis.failed()
        return own + 1


class Breaker(pybreaker.CircuitBreakerListener):
    """The breaker of one operation of a client."""

    def __init__(
        self, client: str, operation: str, scope: str, *, fail_max: int, reset_timeout: float, window: int = 0
    ) -> None:
        """``scope`` parts breakers further (one per webhook endpoint); it is in no metric.

        Opens after ``fail_max`` failures in a row, or when half of the last ``window`` calls failed, and tries again
        after ``reset_timeout`` seconds.
        """
        self._window = window
        self._labels = (client, operation)
        self._storage = SharedStorage(":".join(filter(None, (client, operation, scope))))
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=fail_max,
            reset_timeout=reset_timeout,
            state_storage=self._storage,
            listeners=[self],
            name=f"{client}.{operation}",
        )
        STATE.labels(*self._labels).set(0)

    @property
    def state(self) -> str:
        """closed, open or half-open, as known to this process."""
        self._storage.refresh()
        return self._storage.state

    def admit(self, lease: float) -> bool:
        """Admit a call. Return True if it is the trial call, which has ``lease`` seconds.

        Raises Open.
        """
        self._storage.refresh()
        state, now = self._storage.state, time.time()
        STATE.labels(*self._labels).set(_LEVELS[state])
        if self._storage.paused_until > now:
            raise Open(self._storage.paused_until - now)
        if state == pybreaker.STATE_CLOSED:
            return False
        opened_at = self._storage.opened_at
        wait = (opened_at.timestamp() if opened_at else 0) + self._breaker.reset_timeout - now
        if state == pybreaker.STATE_OPEN and wait > 0:
            raise Open(wait)
        if not self._storage.take_probe(lease):
            raise Open(1)
        return True

    def report(self, *, ok: bool, probe: bool) -> None:
        """Record the outcome of the admitted call."""
        if probe or self._storage.state == pybreaker.STATE_CLOSED:  # else: late, the breaker knows better
            with suppress(pybreaker.CircuitBreakerError, _Failed):
                self._breaker.call(_succeed if ok else _fail)
            self._judge_window(ok=ok)
        if probe:
            self._storage.release_probe()

    def _judge_window(self, *, ok: bool) -> None:
        if self._window and 2 * self._storage.failures_of_last(self._window, ok=ok) >= self._window:
            self._storage.forget_last()
            self._breaker.open()

    def abandon(self, *, probe: bool) -> None:
        """The admitted call ended without telling anything about the remote."""
        if probe:
            self._storage.release_probe()

    def pause(self, seconds: float) -> None:
        """Delay calls as requested by the remote (429, Retry-After). This is not counted as a failure."""
        self._storage.pause(seconds)

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        """Show the new state in the metrics and in the log."""
        STATE.labels(*self._labels).set(_LEVELS[new_state.name])
        logger.warning(
            "breaker_changed", client=self._labels[0], operation=self._labels[1], state=new_state.name
        )


class OpenBreaker(NamedTuple):
    """A breaker that isn't closed: client and operation, its state, and since when."""

    name: str
    state: str
    since: datetime


def not_closed() -> list[OpenBreaker] | None:
    """Breakers of all processes that aren't closed; None where Redis, which they share, doesn't answer."""
    if (client := shared_redis.client()) is None:
        return None
    try:
        names = sorted(str(name) for name in client.smembers(_NOT_CLOSED))
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(f"{_PREFIX}{name}", "state", "opened_at")
            found = pipe.execute()
    except RedisError:
        shared_redis.failed()
        return None
    return [
        OpenBreaker(name, state, datetime.fromtimestamp(float(opened_at or 0), UTC))
        for name, (state, opened_at) in zip(names, found, strict=True)
        if state is not None  # else it was forgotten
    ]


def _succeed() -> None:
    pass


def _fail() -> None:
    raise _Failed
