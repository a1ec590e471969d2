"""The one way to another system: a client with a deadline, bounded retries and a circuit breaker (core §7).

Nothing else imports an HTTP library. A module subclasses ``Client`` in its ``clients.py``::

    class GstRegistry(Client):
        name, timeout = "gst", 4.0

        def legal_name(self, gstin: str) -> str:
            return str(self.request("GET", f"/taxpayers/{gstin}").json()["legal_name"])
"""

import email.utils
import hashlib
import json
import logging
import math
import os
import random
import re
import sys
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, ClassVar, Literal

import httpx
import structlog
from django.core.cache import cache
from django.db import connections
from prometheus_client import Histogram
from redis.exceptions import RedisError

from erp.clients import network
from erp.clients.breakers import Breaker, Open
from erp.clients.network import AddressRefused
from erp.errors import Unavailable

logger = structlog.get_logger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log each URL

SECONDS = Histogram(
    "erp_client_seconds",
    "Calls to other systems, retries and waits included.",
    ["client", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
# Answers that say "not now" rather than "no".
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_BACKOFF, _MAX_BACKOFF = 0.1, 2.0  # seconds; full jitter below these
# The longest a remote can hold our calls back by one Retry-After.
_MAX_PAUSE = 300.0

Outcome = Literal["ok", "stale", "refused", "throttled", "error", "timeout", "open"]


class RemoteUnavailable(Unavailable):
    """Another system doesn't answer; try again.

    ``outcome`` says how the last attempt ended: its time was over, the breaker is open, or another error.
    """

    code = Unavailable.code

    def __init__(self, detail: str = "", *, outcome: Outcome = "error", **members: Any) -> None:
        super().__init__(detail, **members)
        self.outcome = outcome


class RemoteRefused(Exception):
    """The remote refused the request (a status other than 2xx): the caller's error, not an outage."""

    def __init__(self, client: str, operation: str, answer: "RemoteResponse") -> None:
        super().__init__(f"{client}.{operation} was answered with status {answer.status}")
        self.answer = answer


class InsideTransaction(RuntimeError):
    """A remote was called while a database transaction was open, which holds its locks for a stranger."""


@dataclass(frozen=True, slots=True)
class RemoteResponse:
    """A remote's response. ``age``: its age in seconds; 0 unless it comes from the stale cache."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    age: float = 0.0

    def json(self) -> Any:
        """The body as JSON. Raises RemoteUnavailable when it isn't any."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise RemoteUnavailable("Another system returned a response that cannot be read.") from None

    def text(self) -> str:
        """The body as UTF-8; what isn't is replaced."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class StaleFallback:
    """Fallback: the last good answer to the same GET, at most so many seconds old."""

    max_age: int


class Client:
    """Base of all clients: subclass it with ``name`` and ``timeout``, or the class definition raises an error.

    Calls never run inside a transaction. A call ends within ``timeout`` seconds, whatever the remote does.
    """

    #: Short name of the integration, for metrics and messages.
    name: ClassVar[str]
    #: Seconds for a whole call: connecting, sending, waiting, retries.
    timeout: ClassVar[float]
    connect_timeout: ClassVar[float] = 2.0
    #: Seconds without a byte from the remote.
    read_timeout: ClassVar[float] = 10.0
    #: Further attempts of idempotent calls.
    retries: ClassVar[int] = 2
    #: The statuses after which a call is repeated; None: after any failure, also without an answer.
    retry_statuses: ClassVar[Collection[int] | None] = None
    #: The longest Retry-After that is waited for.
    max_retry_after: ClassVar[float] = _MAX_PAUSE
    #: Failures in a row that open the breaker; seconds until it tries again.
    fail_max: ClassVar[int] = 5
    #: It opens also when half of this many last calls failed; 0: only by failures in a row.
    failure_window: ClassVar[int] = 0
    reset_timeout: ClassVar[float] = 30.0
    #: Largest answer in bytes.
    max_bytes: ClassVar[int] = 1024 * 1024
    #: What happens when the remote is down: the caller gets 503; the caller keeps the work as a row and a
    #: sweeper tries again (it catches RemoteUnavailable); or an older answer is given, with its age.
    fallback: ClassVar[Literal["unavailable", "queued"] | StaleFallback] = "unavailable"
    #: Whether only addresses of the public internet may be reached (for addresses that users give).
    public_only: ClassVar[bool] = False

    _all: ClassVar[dict[str, type["Client"]]] = {}
    _breakers: ClassVar[dict[tuple[str, str, str], Breaker]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        """``abstract``: a base for further subclasses, not a client itself."""
        super().__init_subclass__(**kwargs)
        if abstract:
            return
        name, timeout = getattr(cls, "name", None), getattr(cls, "timeout", None)
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
            raise TypeError(f"{cls.__qualname__} needs a name in lower snake case")
        if not isinstance(timeout, int | float) or not 0 < timeout <= 120:
            raise TypeError(f"{cls.__qualname__} needs a timeout: seconds for a whole call, at most 120")
        Client._all[f"{cls.__module__}.{cls.__qualname__}"] = cls

    def __init__(
        self,
        base_url: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """``transport`` replaces the network: for sandboxes and tests that play the remote."""
        self._base_url, self._headers, self._transport = base_url, headers or {}, transport
        self._process, self._opening = 0, threading.Lock()
        self._opened: httpx.Client | None = None

    @property
    def _http(self) -> httpx.Client:
        """One pool of connections per process: a fork must not share its parent's sockets."""
        with self._opening:
            if self._opened is None or self._process != os.getpid():
                self._process = os.getpid()
                self._opened = httpx.Client(
                    base_url=self._base_url,
                    headers={"User-Agent": "cotton-erp", "Accept-Encoding": "identity", **self._headers},
                    transport=self._transport or network.transport(public_only=self.public_only),
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                    follow_redirects=False,
                    trust_env=False,
                )
            return self._opened

    def request(
        self,
        method: str,
        path: str,
        *,
        operation: str = "",
        scope: str = "",
        accept: Collection[int] = (),
        idempotent: bool | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: bytes | None = None,
    ) -> RemoteResponse:
        """Call the remote and return its 2xx answer, or one whose status is in ``accept``.

        ``operation`` names the breaker, by default the calling function. ``scope`` divides it further.
        ``idempotent`` says that a POST may be repeated (it carries a key of its own).

        Raises RemoteUnavailable (down, too slow, breaker open; after the declared fallback), RemoteRefused
        (any other status), InsideTransaction, AddressRefused.
        """
        refuse_inside_transaction()
        call = _Call(
            self,
            method.upper(),
            operation or sys._getframe(1).f_code.co_name.strip("<>"),
            scope,
            accept,
            method.upper() in _IDEMPOTENT if idempotent is None else idempotent,
            self._http.build_request(
                method, path, params=params, headers=headers, json=json, data=data, content=content
            ),
        )
        return call.run()

    def close(self) -> None:
        """Close idle connections."""
        if self._opened is not None and self._process == os.getpid():
            self._opened.close()
            self._opened = None

    def measure(self, started: float, outcome: Outcome) -> None:
        """Note how long a call took that began at ``started`` (``time.monotonic()``), and how it ended."""
        SECONDS.labels(self.name, outcome).observe(time.monotonic() - started)

    @classmethod
    def breaker(cls, operation: str, scope: str = "") -> Breaker:
        """The breaker of one operation, shared by all instances."""
        key = (cls.name, operation, scope)
        with Client._lock:
            if key not in Client._breakers:
                Client._breakers[key] = Breaker(
                    *key, fail_max=cls.fail_max, reset_timeout=cls.reset_timeout, window=cls.failure_window
                )
            return Client._breakers[key]


def clients() -> list[type[Client]]:
    """Every client class that was defined, for ``doctor`` and the compliance audit."""
    return [Client._all[key] for key in sorted(Client._all)]


class _Failure(Exception):
    """One attempt failed because of the remote."""

    def __init__(self, outcome: Outcome, reason: str, retry_after: float = 0.0, status: int = 0) -> None:
        super().__init__(reason)
        self.outcome, self.reason, self.retry_after, self.status = outcome, reason, retry_after, status


class _Call:
    """One call: attempts under one deadline."""

    def __init__(
        self,
        client: Client,
        method: str,
        operation: str,
        scope: str,
        accept: Collection[int],
        idempotent: bool,
        request: httpx.Request,
    ) -> None:
        self.client, self.operation, self.accept, self.request = client, operation, accept, request
        self.started = time.monotonic()
        self.deadline = self.started + client.timeout
        self.attempts = 1 + (client.retries if idempotent else 0)
        self.breaker = client.breaker(operation, scope)
        self.stale_key = ""
        if isinstance(client.fallback, StaleFallback) and method == "GET":
            identity = f"{client.name} {operation} {request.url}".encode()
            self.stale_key = f"erp:stale:{hashlib.sha256(identity).hexdigest()}"

    def run(self) -> RemoteResponse:
        try:
            answer = self._with_retries()
        except _Failure as failure:
            return self._fall_back(failure)
        if not (200 <= answer.status < 300 or answer.status in self.accept):
            self._measure("refused")
            raise RemoteRefused(self.client.name, self.operation, answer)
        if self.stale_key and isinstance(self.client.fallback, StaleFallback):
            with suppress(RedisError):  # the cache is a help, not a need
                cache.set(self.stale_key, (time.time(), answer), self.client.fallback.max_age)
        self._measure("ok")
        return answer

    def _with_retries(self) -> RemoteResponse:
        for attempt in range(1, self.attempts + 1):
            try:
                return self._attempt()
            except _Failure as failure:
                # Full jitter: many clients that failed together don't come back together.
                wait = random.uniform(0, min(_MAX_BACKOFF, _BACKOFF * 2**attempt))
                wait += failure.retry_after
                late = time.monotonic() + wait >= self.deadline
                if (
                    attempt == self.attempts
                    or failure.outcome == "open"
                    or late
                    or not self._repeats(failure)
                ):
                    raise
            time.sleep(wait)
        raise AssertionError("unreachable")

    def _repeats(self, failure: _Failure) -> bool:
        """Whether the client repeats a call after this failure."""
        statuses = self.client.retry_statuses
        return (statuses is None or failure.status in statuses) and (
            failure.retry_after <= self.client.max_retry_after
        )

    def _attempt(self) -> RemoteResponse:
        left = self.deadline - time.monotonic()
        try:
            probe = self.breaker.admit(lease=max(left, 0) + 1)
        except Open as refused:
            raise _Failure("open", "the breaker is open", refused.retry_after) from None
        try:
            answer = self._send()
            if answer.status >= 500:
                raise _Failure("error", f"status {answer.status}", _retry_after(answer), answer.status)
        except _Failure:
            self.breaker.report(ok=False, probe=probe)
            raise
        except BaseException:  # not the remote's doing
            self.breaker.abandon(probe=probe)
            raise
        self.breaker.report(ok=True, probe=probe)
        if answer.status in _AGAIN and answer.status not in self.accept:
            pause = _retry_after(answer)
            if answer.status == 429 and pause:
                self.breaker.pause(pause)
            outcome: Outcome = "throttled" if answer.status == 429 else "error"
            raise _Failure(outcome, f"status {answer.status}", pause, answer.status)
        return answer

    def _send(self) -> RemoteResponse:
        """One exchange on the network, ended by the deadline. Raises _Failure, AddressRefused."""
        client, left = self.client, self.deadline - time.monotonic()
        if left <= 0:
            raise _Failure("timeout", "the deadline has passed")
        self.request.extensions["timeout"] = {
            "connect": min(client.connect_timeout, left),
            "read": min(client.read_timeout, left),
            "write": min(client.read_timeout, left),
            "pool": left,
        }
        try:
            with network.within(self.deadline):
                response = client._http.send(self.request, stream=True)
                try:
                    return RemoteResponse(response.status_code, dict(response.headers), self._body(response))
                finally:
                    response.close()
        except httpx.TimeoutException as error:
            raise _Failure("timeout", type(error).__name__) from error
        except httpx.TransportError as error:
            raise _Failure("error", type(error).__name__) from error

    def _body(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _Failure("error", "an encoded answer")  # not requested, and it could decompress to any size
        body = bytearray()
        for chunk in [response.content] if response.is_stream_consumed else response.iter_raw():
            body += chunk
            if len(body) > self.client.max_bytes:
                raise _Failure("error", "a response larger than the limit")
        return bytes(body)

    def _fall_back(self, failure: _Failure) -> RemoteResponse:
        name = self.client.name
        logger.warning(
            "remote_call_failed",
            client=name,
            operation=self.operation,
            outcome=failure.outcome,
            reason=failure.reason,
            seconds=round(time.monotonic() - self.started, 3),
        )
        if stale := self._stale():
            self._measure("stale")
            return stale
        self._measure(failure.outcome)
        raise RemoteUnavailable(
            f"The service {name} does not answer; the work stays queued."
            if self.client.fallback == "queued"
            else f"The service {name} doesn't answer.",
            retry_after=max(1, math.ceil(failure.retry_after)),
            outcome=failure.outcome,
        ) from failure

    def _stale(self) -> RemoteResponse | None:
        if not self.stale_key:
            return None
        cached: tuple[float, RemoteResponse] | None = None
        with suppress(RedisError):
            cached = cache.get(self.stale_key)
        return replace(cached[1], age=max(0.0, time.time() - cached[0])) if cached else None

    def _measure(self, outcome: Outcome) -> None:
        self.client.measure(self.started, outcome)


def _retry_after(answer: RemoteResponse) -> float:
    """Seconds of a Retry-After header (RFC 9110 §10.2.3), bounded; 0 without one."""
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        seconds = float(text)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), _MAX_PAUSE)


def refuse_inside_transaction() -> None:
    """Raise InsideTransaction where a database transaction is open."""
    for connection in connections.all(initialized_only=True):
        # TestCase wraps each test in a transaction, which is ignored here.
        blocks = [block for block in connection.atomic_blocks if not getattr(block, "_from_testcase", False)]
        if connection.in_atomic_block and blocks:
            raise InsideTransaction("Call other systems outside transactions: in a task or a lookup.")


__all__ = [
    "AddressRefused",
    "RemoteResponse",
    "Client",
    "InsideTransaction",
    "RemoteRefused",
    "RemoteUnavailable",
    "StaleFallback",
    "clients",
    "refuse_inside_transaction",
]
