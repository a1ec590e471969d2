"""Clients of other systems: a real HTTP server plays the remote, a real Redis shares the breakers."""

import gzip
import json
import socket
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import httpx
import pytest
from django.db import transaction
from django.utils import timezone
from prometheus_client import REGISTRY

from erp.clients import (
    AddressRefused,
    Client,
    InsideTransaction,
    RemoteRefused,
    RemoteUnavailable,
    StaleFallback,
    clients,
    network,
)
from erp.clients.breakers import Breaker, not_closed


class Remote(ThreadingHTTPServer):
    """A remote that does as each test says: ``behaviour(handler, number_of_the_request)``."""

    daemon_threads = True

    def __init__(self):
        self.hits = Counter()
        self.behaviour = lambda handler, number: handler.respond_with(200, {"ok": True})
        self._counting = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def hit(self, path):
        with self._counting:
            self.hits[path] += 1
            return sum(self.hits.values())

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the game."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        self.server.behaviour(self, self.server.hit(self.path))

    do_POST = do_PUT = do_GET

    def respond_with(self, status, body=None, headers=None):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def drop(self):
        """Reset the connection without an answer."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format, *args):
        pass


@pytest.fixture
def remote():
    server = Remote()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def make():
    """Make a client with settings of its own, so that no test meets another's breaker."""
    made = []

    def create(url="", transport=None, **attributes):
        attributes = {"name": f"remote_{uuid4().hex[:12]}", "timeout": 3.0, "retries": 0, **attributes}
        client = type("Probe", (Client,), attributes)(url, transport=transport)
        made.append(client)
        return client

    yield create
    for client in made:
        client.close()
        Client._all.pop(f"{type(client).__module__}.Probe", None)


@pytest.fixture
def no_redis(settings):
    settings.REDIS_URL = ""


def ask(client, method="GET", path="/", **kwargs):
    return client.request(method, path, operation="ask", **kwargs)


def unavailable(client, **kwargs):
    with pytest.raises(RemoteUnavailable) as raised:
        ask(client, **kwargs)
    return raised.value


def sample(name, **labels):
    """The value of one metric; the others aren't collected."""
    metrics = REGISTRY.restricted_registry([name]).collect()
    found = (s.value for metric in metrics for s in metric.samples if (s.name, s.labels) == (name, labels))
    return next(found, 0)


def calls(client, outcome):
    return sample("erp_client_seconds_count", client=client.name, outcome=outcome)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"name": "gst"}, {"timeout": 4.0}, {"name": "", "timeout": 4.0}, {"name": "GST!", "timeout": 4.0},
     {"name": "gst", "timeout": 0}, {"name": "gst", "timeout": None}, {"name": "gst", "timeout": 3600}],
)  # fmt: skip
def test_a_client_without_a_name_or_a_timeout_cannot_be_made(attributes):
    with pytest.raises(TypeError, match="needs a"):
        type("Nameless", (Client,), attributes)


def test_an_abstract_base_needs_neither_and_every_client_is_listed():
    class Port(Client, abstract=True):
        timeout = 2.0

    class Provider(Port):
        name = "provider"

    try:
        assert Provider in clients()
        assert Port not in clients()
    finally:
        Client._all.pop(f"{__name__}.{Provider.__qualname__}")


def test_the_calling_function_names_the_operation(remote, make):
    client = make(remote.url)

    def legal_name():
        return client.request("GET", "/taxpayers/1")

    legal_name()
    assert (client.name, "legal_name", "") in Client._breakers


def test_an_answer_is_given_with_status_headers_and_body(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(
        201, {"echo": json.loads(handler.body), "path": handler.path}, {"X-Thing": "1"}
    )
    answer = ask(make(remote.url), "POST", "/things", json={"a": 1}, params={"q": "é"})
    assert (answer.status, answer.headers["x-thing"], answer.age) == (201, "1", 0.0)
    assert answer.json() == {"echo": {"a": 1}, "path": "/things?q=%C3%A9"}


def test_a_no_of_the_remote_is_raised_and_never_opens_the_breaker(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(404, {"reason": "unknown"})
    client = make(remote.url, fail_max=2)
    for _ in range(6):
        with pytest.raises(RemoteRefused) as raised:
            ask(client)
    assert raised.value.answer.json() == {"reason": "unknown"}
    assert ask(client, accept={404}).status == 404
    assert client.breaker("ask").state == "closed"
    assert calls(client, "refused") == 6


def test_an_answer_that_is_no_json_is_an_outage(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(200, b"<html>")
    with pytest.raises(RemoteUnavailable):
        ask(make(remote.url)).json()


def test_a_redirect_is_not_followed(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(302, None, {"Location": "/elsewhere"})
    with pytest.raises(RemoteRefused):
        ask(make(remote.url))
    assert remote.hits == {"/": 1}


def test_an_answer_beyond_the_limit_is_not_read(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(200, b"x" * 100_000)
    assert len(ask(make(remote.url, max_bytes=100_000)).body) == 100_000
    unavailable(make(remote.url, max_bytes=99_999))


def test_an_answer_that_would_unfold_is_not_read(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(
        200, gzip.compress(b"0" * 10_000_000), {"Content-Encoding": "gzip"}
    )
    unavailable(make(remote.url))


def test_a_remote_cannot_set_cookies(remote, make):
    seen = []

    def behaviour(handler, number):
        seen.append(handler.headers.get("Cookie"))
        handler.respond_with(200, None, {"Set-Cookie": "a=b"})

    remote.behaviour = behaviour
    client = make(remote.url)
    ask(client)
    ask(client)
    assert seen == [None, None]


def silence(handler, number):
    time.sleep(3)
    handler.respond_with(200)


def drip_headers(handler, number):
    for byte in b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1000:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)


def drip_body(handler, number):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def stall(handler, number):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    time.sleep(0.8)
    handler.wfile.write(b"x")
    time.sleep(3)


@pytest.mark.parametrize("behaviour", [silence, drip_headers, drip_body, stall])
def test_a_call_ends_by_its_deadline_whatever_the_remote_does(remote, make, behaviour):
    remote.behaviour = behaviour
    client = make(remote.url, timeout=1.0, retries=3)
    started = time.monotonic()
    problem = unavailable(client)
    assert 0.9 < time.monotonic() - started < 2.8  # a second for each attempt would be four
    assert problem.status == 503
    assert problem.code == "dependency.unavailable"
    assert int(problem.headers["Retry-After"]) >= 1
    assert calls(client, "timeout") == 1


def test_a_silent_name_server_holds_no_call_beyond_its_deadline(make, monkeypatch):
    def hang(*args, **kwargs):
        time.sleep(2)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    unavailable(make("http://remote.invalid", timeout=0.3))
    assert time.monotonic() - started < 1.9


def test_an_unknown_name_and_a_closed_port_are_outages(make):
    unavailable(make("http://remote.invalid"))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        unavailable(make(f"http://127.0.0.1:{held.getsockname()[1]}"))


def falter(times, failure=Handler.drop):
    """Fail so many times, then answer."""
    return lambda handler, number: (
        failure(handler) if number <= times else handler.respond_with(200, {"ok": number})
    )


@pytest.mark.parametrize(
    "failure",
    [Handler.drop, lambda handler: handler.respond_with(503), lambda handler: handler.respond_with(408)],
)
def test_a_failed_idempotent_call_is_tried_again(remote, make, failure):
    remote.behaviour = falter(2, failure)
    assert ask(make(remote.url, retries=2)).json() == {"ok": 3}


def test_attempts_are_bounded(remote, make):
    remote.behaviour = falter(99)
    unavailable(make(remote.url, retries=2))
    assert remote.hits["/"] == 3


def test_a_post_is_sent_once_unless_it_may_be_repeated(remote, make):
    remote.behaviour = falter(1)
    client = make(remote.url, retries=2)
    unavailable(client, method="POST", json={"pay": 1})
    assert remote.hits["/"] == 1
    remote.hits.clear()
    assert ask(client, method="POST", json={"pay": 1}, idempotent=True).json() == {"ok": 2}


def test_a_throttled_call_waits_for_retry_after(remote, make):
    remote.behaviour = falter(1, lambda handler: handler.respond_with(429, None, {"Retry-After": "1"}))
    client = make(remote.url, retries=1, timeout=4.0)
    started = time.monotonic()
    assert ask(client).json() == {"ok": 2}
    assert time.monotonic() - started >= 1
    assert client.breaker("ask").state == "closed"


@pytest.mark.parametrize("written", ["seconds", "date"])
def test_a_long_retry_after_is_passed_on_and_shared(remote, make, written):
    when = "40" if written == "seconds" else format_datetime(timezone.now() + timezone.timedelta(seconds=40))
    remote.behaviour = lambda handler, number: handler.respond_with(429, None, {"Retry-After": when})
    client = make(remote.url, retries=2, fail_max=1)
    assert 35 <= int(unavailable(client).headers["Retry-After"]) <= 41
    assert 35 <= int(unavailable(client).headers["Retry-After"]) <= 41
    assert remote.hits["/"] == 1
    assert client.breaker("ask").state == "closed"
    assert calls(client, "throttled") == 1
    assert calls(client, "open") == 1


@pytest.mark.parametrize("store", ["redis", "memory"])
def test_failures_in_a_row_open_the_breaker_and_a_success_closes_it(remote, make, settings, store):
    if store == "memory":
        settings.REDIS_URL = ""
    remote.behaviour = lambda handler, number: handler.respond_with(500)
    client = make(remote.url, fail_max=3, reset_timeout=0.5)
    for _ in range(3):
        unavailable(client)
    assert client.breaker("ask").state == "open"
    assert sample("erp_breaker_state", client=client.name, operation="ask") == 2
    unavailable(client)
    assert remote.hits["/"] == 3  # the fourth never left
    remote.behaviour = lambda handler, number: handler.respond_with(200, {"ok": True})
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert ask(client).json() == {"ok": True}
            break
        except RemoteUnavailable:
            time.sleep(0.05)
    assert client.breaker("ask").state == "closed"
    assert client.name not in {each.name.split(":")[0] for each in not_closed() or ()}
    assert sample("erp_breaker_state", client=client.name, operation="ask") == 0


def test_a_success_in_between_ends_the_row(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(200 if number % 3 == 0 else 500)
    client = make(remote.url, fail_max=3)
    for number in range(1, 10):
        if number % 3 == 0:
            ask(client)
        else:
            unavailable(client)
    assert client.breaker("ask").state == "closed"


def test_operations_and_scopes_have_breakers_of_their_own(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(500 if handler.path == "/bad" else 200)
    client = make(remote.url, fail_max=1)
    with pytest.raises(RemoteUnavailable):
        client.request("GET", "/bad", operation="deliver", scope="endpoint-1")
    assert client.breaker("deliver", "endpoint-1").state == "open"
    client.request("GET", "/", operation="deliver", scope="endpoint-2")
    client.request("GET", "/", operation="fetch")


@pytest.mark.parametrize("store", ["redis", "memory"])
def test_an_open_breaker_makes_one_trial_call_at_a_time(remote, make, settings, store):
    if store == "memory":
        settings.REDIS_URL = ""
    client = make(remote.url, fail_max=1, reset_timeout=0.2)
    remote.behaviour = lambda handler, number: handler.respond_with(500)
    unavailable(client)
    time.sleep(0.3)
    remote.hits.clear()

    def slow(handler, number):
        time.sleep(0.5)
        handler.respond_with(500)

    remote.behaviour = slow
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(unavailable, client) for _ in range(8)]:
            done.result()
    assert remote.hits["/"] == 1
    assert client.breaker("ask").state == "open"


def test_threads_dont_wait_for_each_other(remote, make):
    together = threading.Barrier(8)

    def meet(handler, number):
        together.wait(10)
        handler.respond_with(200)

    remote.behaviour = meet
    client = make(remote.url, timeout=20.0)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(ask, client) for _ in range(8)]:
            done.result()


def test_processes_share_a_breaker_through_redis(settings):
    name = f"remote_{uuid4().hex[:12]}"
    one, other = (Breaker(name, "ask", "", fail_max=3, reset_timeout=30) for _ in range(2))
    one.report(ok=False, probe=one.admit(1))
    other.report(ok=False, probe=other.admit(1))
    one.report(ok=False, probe=one.admit(1))
    assert one.state == other.state == "open"
    (found,) = (each for each in not_closed() if each.name == f"{name}:ask")
    assert (found.state, found.since <= timezone.now()) == ("open", True)
    settings.REDIS_URL = ""
    assert not_closed() is None
    assert Breaker(name, "ask", "", fail_max=3, reset_timeout=30).state == "closed"


def test_calls_go_on_when_redis_is_down(remote, make, settings):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        settings.REDIS_URL = f"redis://127.0.0.1:{held.getsockname()[1]}/0"
        client = make(remote.url, fail_max=2)
        started = time.monotonic()
        for _ in range(20):
            ask(client)
        assert time.monotonic() - started < 3
        remote.behaviour = lambda handler, number: handler.respond_with(500)
        unavailable(client)
        unavailable(client)
        assert client.breaker("ask").state == "open"


def test_calls_go_on_when_redis_is_silent(remote, make, settings):
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, never answers
        settings.REDIS_URL = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        client = make(remote.url)
        started = time.monotonic()
        for _ in range(20):
            ask(client)
        assert time.monotonic() - started < 3


def test_the_last_good_response_is_returned_with_its_age(remote, make):
    client = make(remote.url, fallback=StaleFallback(max_age=60), fail_max=1)
    assert ask(client, path="/rates").age == 0
    remote.behaviour = lambda handler, number: handler.respond_with(500)
    stale = ask(client, path="/rates")
    assert stale.json() == {"ok": True}
    assert 0 < stale.age < 30
    assert client.breaker("ask").state == "open"
    assert ask(client, path="/rates").age > 0  # also while the breaker is open
    unavailable(client, path="/other")
    assert calls(client, "stale") == 2


def test_an_answer_past_its_age_does_not_stand_in(remote, make):
    client = make(remote.url, fallback=StaleFallback(max_age=1))
    ask(client)
    remote.behaviour = lambda handler, number: handler.respond_with(500)
    time.sleep(1.2)
    unavailable(client)


def test_queued_work_is_reported_as_queued(remote, make):
    remote.behaviour = lambda handler, number: handler.respond_with(500)
    assert "queued" in unavailable(make(remote.url, fallback="queued")).detail


@pytest.mark.django_db
def test_a_call_inside_a_transaction_is_refused(remote, make):
    client = make(remote.url)
    with transaction.atomic(), pytest.raises(InsideTransaction):
        ask(client)
    assert not remote.hits
    ask(client)  # the transaction around the test itself doesn't count
    assert remote.hits["/"] == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_addresses_that_users_give_must_be_public(remote, make, host):
    client = make(f"http://{host}:{remote.server_port}", public_only=True)
    with pytest.raises(AddressRefused):
        ask(client)
    assert not remote.hits


def test_a_name_that_turns_private_is_refused_at_the_connection(remote, make, monkeypatch):
    answers = [[(2, 1, 6, "", ("93.184.215.14", 80))], [(2, 1, 6, "", ("10.0.0.1", 80))]]
    real, name = socket.getaddrinfo, "rebound.example"  # other threads look up names of their own meanwhile
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: answers.pop() if host == name else real(host, *rest, **more),
    )
    with pytest.raises(AddressRefused):
        ask(make(f"http://{name}", public_only=True))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f::1", True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
    ],
)
def test_only_addresses_of_the_public_internet_are_public(address, public):
    assert network._is_public(address) is public


def test_a_sandbox_answers_through_the_same_client_and_breaker(make):
    answers = iter([httpx.Response(500), httpx.Response(200, json={"legal_name": "Firm"})])
    client = make("http://sandbox.invalid", httpx.MockTransport(lambda request: next(answers)), retries=1)
    assert ask(client).json() == {"legal_name": "Firm"}
