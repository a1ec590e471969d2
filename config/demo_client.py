"""Callers of the demo: users of the API who send every write twice, and fail the demo unless the answer is right."""

import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyotp
from rich.table import Table

VERSION_TRIES = 10


class DemoFailed(Exception):
    """Something didn't happen as it must."""


class VersionRaised(DemoFailed):
    """The row has changed since its version was read."""


class MatchGone(DemoFailed):
    """A new match has taken the place of this one: what it rests on has changed."""


@dataclass
class DemoResponse:
    """The response to a request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body) if self.body else None


@dataclass
class Caller:
    """A user of the API."""

    base: str
    name: str
    journal: Table
    token: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> DemoResponse:
        """One request over HTTP."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, method=method, data=content)  # noqa: S310 - our own server
        for name, value in {"Content_Type": "application/json", **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return DemoResponse(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return DemoResponse(error.code, dict(error.headers), error.read())

    def sign_in(self, email: str, password: str, seed: str = "") -> "Caller":
        """Take a token; who has an authenticator (its secret is ``seed``) types its code, too."""
        answer = self.send("POST", "/api/v1/auth/login", {"email": email, "password": password})
        self.note("POST", "/auth/login", answer, "asks for a code" if seed else "")
        if seed and answer.status == 200:
            # A code counts once: where this half minute's was used before, the next one's is taken already.
            for steps in (0, 1):
                code = pyotp.TOTP(seed).at(int(time.time()), counter_offset=steps)
                body = {"challenge_token": answer.json["challenge_token"], "code": code}
                second = self.send("POST", "/api/v1/auth/login/second-factor", body)
                if second.status == 200:
                    break
            answer = second
            self.note("POST", "/auth/login/second-factor", answer, "")
        if answer.status != 200:
            raise DemoFailed(f"{email} can't sign in: {answer.body.decode()}")
        self.token = answer.json["access_token"]
        return self

    def read(self, path: str) -> Any:
        """What the address answers, parsed."""
        answer = self.send("GET", f"/api/v1{path}")
        if answer.status != 200:
            raise DemoFailed(f"GET {path}: {answer.status} {answer.body.decode()}")
        return answer.json

    def etag(self, path: str) -> str:
        """The version of a row, for If-Match."""
        return self.send("GET", f"/api/v1{path}").headers.get("ETag", "")

    def ask(self, path: str, body: Any, remark: str) -> Any:
        """Send a question, which stores nothing."""
        answer = self.send("POST", f"/api/v1{path}", body, Idempotency_Key=secrets.token_hex(16))
        self.note("POST", path, answer, remark)
        if answer.status != 200:
            raise DemoFailed(f"POST {path}: {answer.status} {answer.body.decode()}")
        return answer.json

    def upload(self, purpose: str, name: str, content: bytes) -> str:
        """Send a PDF; return its id."""
        mark = secrets.token_hex(8)
        head = f'--{mark}\r\nContent-Disposition: form-data; name="'
        body = (
            f'{head}purpose"\r\n\r\n{purpose}\r\n{head}file"; filename="{name}"\r\n'
            "Content-Type: application/pdf\r\n\r\n"
        ).encode() + content
        form = f"multipart/form-data; boundary={mark}"
        return str(
            self.write("POST", "/uploads", body + f"\r\n--{mark}--\r\n".encode(), Content_Type=form)["id"]
        )

    def write(self, method: str, path: str, body: Any = None, *, if_match: str = "", **headers: str) -> Any:
        """A write as a careful client does it: one key, sent twice; the second answer must be the first again."""
        headers |= {"Idempotency_Key": secrets.token_hex(16)} | ({"If_Match": if_match} if if_match else {})
        first = self.send(method, f"/api/v1{path}", body, **headers)
        if if_match and first.status == 412:
            raise VersionRaised(f"{method} {path}: {first.body.decode()}")
        if first.status == 409 and first.json["code"] in ("matching.stale", "matching.not_open"):
            raise MatchGone(f"{method} {path}: {first.body.decode()}")
        again = self.send(method, f"/api/v1{path}", body, **headers)
        replayed = again.headers.get("Idempotency-Replayed") == "true"
        same = (first.status, first.body) == (again.status, again.body)
        self.note(method, path, first, "same answer, replayed" if same and replayed else "NOT REPLAYED")
        if first.status >= 300:
            raise DemoFailed(f"{method} {path}: {first.status} {first.body.decode()}")
        if not (same and replayed):
            raise DemoFailed(f"{method} {path}: the second answer was {again.status} {again.body.decode()}")
        return first.json | {"etag": first.headers.get("ETag", "")}

    def write_current(self, row: str, verb: str, body: Any = None) -> Any:
        """Write to the version that the row has now; once more where another process has just changed it."""
        for _ in range(VERSION_TRIES):
            with suppress(VersionRaised):
                return self.write("POST", f"{row}/{verb}", body, if_match=self.etag(row))
        raise DemoFailed(f"POST {row}/{verb}: the row never rests")

    def write_at_once(
        self, other: "Caller", path: str, body: Any
    ) -> tuple["Caller", "Caller", dict[str, Any]]:
        """Send one write as two callers at the same moment; return who got it, who didn't, and the answer."""
        answers: dict[str, DemoResponse] = {}

        def send(caller: Caller) -> None:
            answers[caller.name] = caller.send(
                "POST", f"/api/v1{path}", body, Idempotency_Key=secrets.token_hex(16)
            )

        threads = [threading.Thread(target=send, args=[caller]) for caller in (self, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first, last = sorted((self, other), key=lambda caller: answers[caller.name].status)
        for caller in (first, last):
            answer = answers[caller.name]
            caller.note("POST", path, answer, answer.json.get("code", "of two at the same moment the first"))
        if (answers[first.name].status, answers[last.name].status) != (201, 409):
            raise DemoFailed(f"POST {path}: two at once got {[each.status for each in answers.values()]}")
        return first, last, answers[first.name].json

    def refused(
        self, status: int, code: str, method: str, path: str, body: Any = None, **headers: str
    ) -> None:
        """A request that must be refused."""
        headers.setdefault("Idempotency_Key", secrets.token_hex(16))
        answer = self.send(method, f"/api/v1{path}", body, **{k: v for k, v in headers.items() if v})
        self.note(method, path, answer, answer.json["code"])
        problem = answer.headers.get("Content-Type") == "application/problem+json"
        if (answer.status, answer.json["code"], problem) != (status, code, True):
            raise DemoFailed(
                f"{method} {path}: expected {status} {code}, got {answer.status} {answer.body.decode()}"
            )

    def note(self, method: str, path: str, answer: DemoResponse, remark: str) -> None:
        """Write the request down."""
        for value, tag in self.tags.items():
            path = path.replace(value, tag)
        self.journal.add_row(self.name, f"{method} {path}", str(answer.status), remark)


def require_figure(name: str, found: str, right: str) -> None:
    """Fail the demo unless the figure is right to the last digit."""
    if found != right:
        raise DemoFailed(f"{name}: {right}, not {found}")
