"""Someone who works over HTTP on a bad line: asks again with the same key, gives up waiting, asks twice at once."""

import json
import random
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import pyotp

PATIENCE_SECONDS = 300.0  # the servers are down for less
# What a client that gave up waiting asks again for, with the same key.
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class GaveUp(Exception):
    """No answer for longer than any outage of the market lasts."""


@dataclass
class HttpAnswer:
    """The answer to a request."""

    status: int
    body: Any
    etag: str = ""

    @property
    def code(self) -> str:
        """The code of a refusal; empty for anything else."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.status < 300


@dataclass(frozen=True)
class Told:
    """An answer as it was read, and when it was asked for."""

    at: float
    path: str
    status: int
    text: str


@dataclass
class Client:
    """One user of the API and everything that it was ever told."""

    base: Callable[[], str]
    email: str
    password: str
    seed: str = ""  # of the authenticator, for staff
    rng: random.Random = field(default_factory=random.Random)
    told: list[Told] = field(default_factory=list)  # every answer, for the spy
    counts: Counter[str] = field(default_factory=Counter)
    partner: str = ""
    days: Callable[[], int] = lambda: 0  # by which the product's clock is ahead
    _token: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, path: str) -> Any:
        """GET; the parsed body. Raises GaveUp when it isn't answered with 200."""
        return self.tagged(path).body

    def write(self, method: str, path: str, body: Any = None, *, etag: str = "") -> HttpAnswer:
        """A change with one key, however often it is sent. A tenth is sent twice at the same time."""
        key = secrets.token_hex(16)
        self.counts["writes"] += 1
        if self.rng.random() >= 0.1:
            return self.keyed(method, path, body, key, etag=etag)
        self.counts["sent twice"] += 1
        first: list[HttpAnswer] = []
        twin = threading.Thread(target=lambda: first.append(self.keyed(method, path, body, key, etag=etag)))
        twin.start()
        second = self.keyed(method, path, body, key, etag=etag)
        twin.join()
        if not first:
            raise GaveUp(f"{self.email}: {method} {path}")
        # A refusal is not stored: what was refused may be possible a moment later.
        if first[0].ok and second.ok and first[0].body != second.body:
            raise AssertionError(f"{method} {path}: one key, two answers: {first[0]} and {second}")
        return first[0] if first[0].ok else second

    def keyed(self, method: str, path: str, body: Any, key: str, *, etag: str = "") -> HttpAnswer:
        """A change with this key, until it is answered."""
        headers = {"Idempotency-Key": key} | ({"If-Match": etag} if etag else {})
        return self._until_answered(method, path, body, headers)

    def tagged(self, path: str) -> HttpAnswer:
        """GET; the whole answer, with its version. Raises GaveUp when it isn't answered with 200."""
        answer = self._until_answered("GET", path, None, {})
        if not answer.ok:
            raise GaveUp(f"{self.email}: GET {path}: {answer.status} {answer.body}")
        return answer

    def _until_answered(self, method: str, path: str, body: Any, headers: dict[str, str]) -> HttpAnswer:
        end = time.monotonic() + PATIENCE_SECONDS
        pause = 0.1
        while True:
            # Now and then the client doesn't wait for the answer and asks again.
            short = method != "GET" and self.rng.random() < 0.03
            answer = self._once(method, path, body, headers, 0.02 if short else 30.0)
            if answer is not None and answer.status == 401 and self._token:
                self._token = ""
                continue
            in_progress = answer is not None and answer.code == "idempotency.in_progress"
            if answer is not None and answer.status not in AGAIN and not in_progress:
                return answer
            self.counts["asked again"] += 1
            if time.monotonic() > end:
                raise GaveUp(f"{self.email}: {method} {path}: {answer}")
            time.sleep(pause)
            pause = min(pause * 1.6, 2.0)

    def _once(
        self, method: str, path: str, body: Any, headers: dict[str, str], seconds: float
    ) -> HttpAnswer | None:
        with self._lock:
            if not self._token and not self._sign_in():
                return None
        headers = headers | {"Authorization": f"Bearer {self._token}"}
        return self._send(method, path, body, headers, seconds)

    def _send(
        self, method: str, path: str, body: Any, headers: dict[str, str], seconds: float
    ) -> HttpAnswer | None:
        self.counts["sent"] += 1
        asked = time.monotonic()
        request = urllib.request.Request(  # noqa: S310 - http to our own server
            f"{self.base()}/api/v1{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )  # fmt: skip
        try:
            try:
                answer = urllib.request.urlopen(request, timeout=seconds)  # noqa: S310
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                status, given, text = answer.status, answer.headers, answer.read().decode()
        except (OSError, HTTPException):  # nobody listens, the line broke, or it took too long
            return None
        if not path.startswith("/auth/"):
            self.told.append(Told(asked, path, status, text))
        try:
            parsed = json.loads(text) if text else None
        except ValueError:
            parsed = text
        return HttpAnswer(status, parsed, given.get("ETag", ""))

    def _sign_in(self) -> bool:
        answer = self._send("POST", "/auth/login", {"email": self.email, "password": self.password}, {}, 30.0)
        if answer is not None and answer.ok and self.seed:
            # A code counts once; the next half minute's is taken already.
            for steps in (0, 1):
                code = pyotp.TOTP(self.seed).at(int(time.time()) + 86_400 * self.days(), counter_offset=steps)
                body = {"challenge_token": answer.body["challenge_token"], "code": code}
                second = self._send("POST", "/auth/login/second-factor", body, {}, 30.0)
                if second is not None and second.ok:
                    answer = second
                    break
        if answer is None or not answer.ok or "access_token" not in answer.body:
            return False
        self._token = answer.body["access_token"]
        return True
