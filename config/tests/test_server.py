"""The web server as the product runs it, tested over a socket: each refusal is a problem document."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, NamedTuple
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http.request import UnreadablePostError
from django.test import RequestFactory
from gunicorn.config import Config

from config.run import GUNICORN
from erp.api import headers, problems, server
from erp.api.wsgi import readable
from erp.audit.sources import PROJECT
from erp.embedded.process import free_port

pytestmark = pytest.mark.slow

HOST = "Host: 127.0.0.1"


class Answer(NamedTuple):
    """What came back over the socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json", self
        document = json.loads(self.body)
        assert document["status"] == self.status
        assert document["request_id"] == self.headers["x-request-id"]
        assert document["code"] in problems.problem_kinds()
        assert document["type"] == f"/api/problems/{document['code']}"
        return dict(document)

    @property
    def pointers(self) -> list[str]:
        return [fault["pointer"] for fault in self.problem.get("errors", [])]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a web server without a database, with the settings of the product's own."""
    taken = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "ERP_DATA_DIR": str(tmp_path_factory.mktemp("web")),
        "THROTTLE_PUBLIC_FACTOR": "100",
    }
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *GUNICORN, f"--bind=127.0.0.1:{taken}"],
        cwd=PROJECT,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", taken)) == 0:
                    break
            time.sleep(0.1)
        yield taken
    finally:
        process.terminate()
        process.wait(20)


def exchange(port: int, raw: bytes, *, wait: float = 40) -> Answer:
    """Send the bytes and read one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(raw)
        response = HTTPResponse(connection)
        response.begin()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())


def ask(port: int, *lines: str, target: str = "/api/v1/commodities", method: str = "GET") -> Answer:
    return exchange(
        port, "\r\n".join([f"{method} {target} HTTP/1.1", HOST, *lines, "", ""]).encode("latin-1")
    )


def test_a_plain_request_is_answered_by_the_product(port):
    answer = ask(port)
    assert (answer.status, answer.problem["code"]) == (401, "account.not_authenticated")


@pytest.mark.parametrize("name", sorted(set(headers.SINGLE.values()) - {"Host", "Content-Length"}))
@pytest.mark.parametrize("other", ["", "2"])
def test_a_header_that_comes_once_is_refused_when_it_comes_twice(port, name, other):
    value = "0123456789abcdef"
    answer = ask(port, f"{name}: {value}", f"{name.lower()}: {value}{other}", method="POST")
    assert (answer.status, answer.problem["code"]) == (400, "request.malformed")
    assert answer.pointers == [f"/headers/{name}"]


@pytest.mark.parametrize(
    ("lines", "pointer"),
    [
        ([HOST], "/headers/Host"),
        (["Content-Length: 2", "Content-Length: 2"], "/headers/Content-Length"),
        (["Content-Length: 2, 2"], "/headers/Content-Length"),
    ],
)
def test_so_are_those_that_the_server_itself_reads(port, lines, pointer):
    answer = ask(port, *lines, method="POST")
    assert (answer.status, answer.problem["code"]) == (400, "request.malformed")
    assert answer.pointers == [pointer]


def test_all_repeated_headers_are_named_under_the_caller_s_request_id(port):
    lines = ['If-Match: "1"', "Authorization: Bearer a"] * 2
    answer = ask(port, *lines, "X-Request-ID: my-request-1", method="PUT")
    assert answer.pointers == ["/headers/Authorization", "/headers/If-Match"]
    assert answer.headers["x-request-id"] == "my-request-1"


def test_headers_that_are_lists_may_come_again(port):
    lines = [
        "Accept: application/json",
        'If-None-Match: "1"',
        "Prefer: respond-async",
        "X-Forwarded-For: ::1",
    ]
    assert ask(port, *lines, *lines).problem["code"] == "account.not_authenticated"


@pytest.mark.parametrize(
    "name", ["Authorization", "Content-Length", "Content-Type", "Host", "X-Request-ID", "traceparent"]
)
def test_on_any_server_a_joined_value_is_refused(client, name):
    answer = client.post("/api/v1/commodities", b"", "application/json", headers={name: "abcdefgh,abcdefgh"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "request.malformed"
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/headers/{name}"]


@pytest.mark.parametrize("key", ["{0},{0}", "{0},", '"{0},{0}"', '"{0}","{0}"', "{0}, {0}"])
@pytest.mark.django_db
def test_a_key_with_a_comma_is_no_key(user, client_for, key):
    client = client_for(user("INTERNAL_MASTERDATA"))
    body = {"code": "JUTE", "name": "Jute", "category": "FIBRE"}
    answer = client.write("/api/v1/commodities", body, key=key.format(uuid4().hex))
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency.key_invalid")


def test_a_comma_within_quotes_is_part_of_a_media_type(client):
    answer = client.post("/api/v1/commodities", b"", 'multipart/form-data; boundary="a,b"')
    assert answer.status_code == 401


def test_an_address_far_over_the_usual_is_read(port):
    answer = ask(port, target=f"/api/v1/commodities?id__in={'a' * 8000}")
    assert (answer.status, answer.problem["code"]) == (401, "account.not_authenticated")


def test_headers_far_over_the_usual_are_read(port):
    answer = ask(port, f"Authorization: Bearer {'a' * 16_000}")
    assert (answer.status, answer.problem["code"]) == (401, "account.not_authenticated")


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"GET /%b HTTP/1.1\r\n\r\n" % (b"a" * 9000), 414, "request.uri_too_long"),
        (b"GET /%b" % (b"a" * 20_000), 414, "request.uri_too_long"),
        (b"GET / HTTP/1.1\r\nX-Long: %b\r\n\r\n" % (b"a" * 20_000), 431, "request.headers_too_large"),
        (b"GET / HTTP/1.1\r\n%b\r\n" % (b"X-A: b\r\n" * 200), 431, "request.headers_too_large"),
        (b"nonsense\r\n\r\n", 400, "request.malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "request.malformed"),
        (b"get / HTTP/1.1\r\n\r\n", 400, "request.malformed"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "request.malformed"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400, "request.malformed"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "request.malformed"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "request.malformed"),
        (b"GET / HTTP/1.1\r\nBad Name: a\r\n\r\n", 400, "request.malformed"),
        (b"GET / HTTP/1.1\r\nX-A: a\x00b\r\n\r\n", 400, "request.malformed"),
        (b"GET / HTTP/1.1\r\nX-A: a\r\n folded\r\n\r\n", 400, "request.malformed"),
        (b"GET / HTTP/1.1\r\nExpect: miracles\r\n\r\n", 400, "request.malformed"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: unheard-of\r\n\r\n", 400, "request.malformed"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            400,
            "request.malformed",
        ),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "request.malformed"),
    ],
)
def test_a_refusal_of_the_server_is_a_problem(port, raw, status, code):
    answer = exchange(port, raw)
    assert (answer.status, answer.problem["code"]) == (status, code)
    assert answer.headers["connection"] == "close"


def test_a_request_that_does_not_arrive_is_ended(port):
    began = time.monotonic()
    answer = exchange(port, b"GET / HTTP/1.1\r\nHost: a")
    assert (answer.status, answer.problem["code"]) == (408, "request.timeout")
    assert time.monotonic() - began < 3 * server.HEAD_SECONDS


def test_a_body_that_does_not_arrive_is_ended(monkeypatch):
    monkeypatch.setattr(server, "BODY_SECONDS", 0.2)
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
        request = next(server._Parser(Config(), near, ("127.0.0.1", 1)))
        with pytest.raises(TimeoutError):
            request.body.read()


def test_a_body_that_did_not_arrive_is_a_problem():
    error = UnreadablePostError()
    error.__cause__ = TimeoutError()
    assert problems.domain_error(error).code == "request.timeout"
    error.__cause__ = ConnectionResetError()
    assert problems.domain_error(error).code == "request.malformed"


FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\ncode,name\r\nA,B\r\n--x--\r\n'


@pytest.mark.parametrize("missing", [1, 20, len(FORM)])
@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
def test_the_beginning_of_a_body_does_not_pass_for_the_whole(content_type, missing):
    def read(environ, start_response):
        request = WSGIRequest(environ)
        return [b"".join(request.FILES["file"].chunks()) if "form" in content_type else request.body]

    def ask(sent):
        environ = RequestFactory()._base_environ(**{"wsgi.input": BytesIO(sent)})
        environ |= {"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(FORM))}
        return readable(read)(environ, Mock())

    assert ask(FORM) == [b"code,name\r\nA,B" if "form" in content_type else FORM]
    with pytest.raises(UnreadablePostError) as refused:
        ask(FORM[:-missing])
    assert problems.domain_error(refused.value).code == "request.malformed"


def test_an_internal_error_is_reported_without_internals():
    answer = server.render(server.problem_of(ZeroDivisionError("internals")), "/x")
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"internals" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "server.error"


def test_the_image_starts_the_server_with_the_same_settings():
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    copied = " ".join(line for line in lines if line.startswith("COPY"))
    assert "docs/openapi.yaml" in copied
    command = next(line for line in lines if line.startswith("CMD"))
    words = json.loads(command.removeprefix("CMD "))
    assert words[:2] == ["gunicorn", "config.wsgi"]
    assert "--config=python:config.web_server" in words
    assert "--config=python:config.web_server" in GUNICORN
