"""Rate limits: who shares a counter, the content of the headers, and the effect of an outage of the counters."""

import socketserver
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

from erp.api import throttling
from erp.errors import Throttled, Unavailable

NOW = 1_790_000_000.0
DOWN = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1/0",
        "OPTIONS": {"socket_timeout": 0.2, "socket_connect_timeout": 0.2},
    }
}
READ = SimpleNamespace(throttle_class_name="read")
limits = override_settings(THROTTLE_LIMITS={"read": (3, 60), "write": (2, 60)})


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    cache.clear()
    settings.THROTTLE_PUBLIC_FACTOR = 1
    monkeypatch.setattr(throttling, "_local", throttling._Counters())


def request(user: Any = "u1", partner: Any = None, body: str = "{}", **meta: str) -> Request:
    raw = RequestFactory().post("/x", body, "application/json", **meta)
    asked = Request(raw, parsers=[JSONParser()])
    asked.user = SimpleNamespace(pk=user, partner_id=partner)
    asked.auth = None
    return asked


def public_view(
    limit: int = 2, window: int = 3600, field: str = "", field_limit: int = 0, **more: Any
) -> Any:
    rule = SimpleNamespace(
        limit=limit, window=window, field=field, field_limit=field_limit, field_window=3600, **more
    )
    return SimpleNamespace(throttle_class_name="public", endpoint=SimpleNamespace(name="login", limit=rule))


def passes(view: Any, now: float = NOW, **asked: Any) -> bool:
    try:
        throttling.check(request(**asked), view, now=now)
    except Throttled:
        return False
    return True


def headers(asked: Request) -> tuple[str, str]:
    response = HttpResponse()
    throttling.apply_headers(asked, response)
    return response["RateLimit-Policy"], response["RateLimit"]


@limits
def test_the_quota_is_given_and_no_more():
    assert [passes(READ) for _ in range(5)] == [True, True, True, False, False]


@limits
def test_each_principal_and_each_class_counts_for_itself():
    assert [passes(READ, user="a") for _ in range(4)][-1] is False
    assert passes(READ, user="b")
    assert passes(SimpleNamespace(throttle_class_name="write"), user="a")


@limits
def test_a_new_window_starts_afresh():
    assert [passes(READ) for _ in range(4)][-1] is False
    assert passes(READ, now=NOW + 60)


@limits
def test_a_partner_s_people_share_five_times_the_quota():
    taken = [passes(READ, user=f"u{place // 3}", partner="p1") for place in range(18)]
    assert taken == [True] * 15 + [False] * 3
    assert passes(READ, user="u9", partner="p2")


@limits
def test_a_principal_over_its_limit_takes_nothing_from_the_partner():
    assert [passes(READ, user="greedy", partner="p1") for _ in range(40)].count(True) == 3
    assert [passes(READ, user=f"u{place // 3}", partner="p1") for place in range(12)] == [True] * 12


@limits
def test_headers_state_the_remaining_quota_and_a_refusal_its_retry_time():
    values = []
    for _ in range(3):
        asked = request()
        throttling.check(asked, READ, now=NOW)
        values.append(headers(asked))
    assert [policy for policy, _ in values] == ['"read";q=3;w=60'] * 3
    assert [limit.split(";")[1] for _, limit in values] == ["r=2", "r=1", "r=0"]
    seconds = int(values[0][1].split("t=")[1])
    assert 1 <= seconds <= 60
    asked = request()
    with pytest.raises(Throttled) as caught:
        throttling.check(asked, READ, now=NOW)
    assert caught.value.headers == {"Retry-After": str(seconds)}
    assert headers(asked) == ('"read";q=3;w=60', f'"read";r=0;t={seconds}')


@limits
def test_headers_are_those_of_the_policy_nearest_its_end():
    for place in range(14):
        passes(READ, user=f"u{place // 3}", partner="p1")
    asked = request(user="u8", partner="p1")
    throttling.check(asked, READ, now=NOW)
    assert headers(asked)[0] == '"read-partner";q=15;w=60'


def test_an_answer_that_was_not_counted_has_no_such_headers():
    response = HttpResponse()
    throttling.apply_headers(request(), response)
    assert not [name for name in response.headers if name.startswith("RateLimit")]


def test_windows_do_not_all_turn_over_at_once():
    with override_settings(THROTTLE_LIMITS={"read": (100, 60)}):
        resets = set()
        for user in range(20):
            asked = request(user=f"u{user}")
            throttling.check(asked, READ, now=NOW)
            resets.add(headers(asked)[1].split("t=")[1])
    assert len(resets) > 5


def test_concurrent_requests_are_each_counted():
    with override_settings(THROTTLE_LIMITS={"read": (50, 60)}), ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: passes(READ), range(200)))
    assert taken.count(True) == 50


def test_a_public_endpoint_counts_addresses():
    assert [passes(public_view(), REMOTE_ADDR="198.51.100.7") for _ in range(3)] == [True, True, False]
    assert passes(public_view(), REMOTE_ADDR="198.51.100.8")


def test_an_ipv6_caller_is_its_network():
    assert [passes(public_view(), REMOTE_ADDR=f"2001:db8:0:1::{place}") for place in range(1, 4)] == [
        True,
        True,
        False,
    ]
    assert passes(public_view(), REMOTE_ADDR="2001:db8:0:2::1")
    assert [
        passes(public_view(), REMOTE_ADDR=a) for a in ("203.0.113.1", "203.0.113.1", "::ffff:203.0.113.1")
    ][-1] is False


def test_a_public_endpoint_counts_the_named_account_for_all_addresses():
    view = public_view(limit=100, field="email", field_limit=2)
    named = [
        passes(view, body=body, REMOTE_ADDR=f"198.51.100.{place}")
        for place, body in enumerate(
            ['{"email": "a@x.example"}', '{"email": " A@X.example"}', '{"email": "a@x.example"}']
        )
    ]
    assert named == [True, True, False]
    assert passes(view, body='{"email": "b@x.example"}')
    assert [passes(view, body=body) for body in ('{"email": 5}', "[]", "{}") for _ in range(4)] == [True] * 12


def test_no_account_or_address_is_stored_in_clear_text():
    passes(
        public_view(field="email", field_limit=2),
        body='{"email": "asha@x.example"}',
        REMOTE_ADDR="198.51.100.7",
    )
    client: Any = caches["default"]
    if hasattr(client, "_cache") and hasattr(client._cache, "get_client"):
        stored_keys = b" ".join(client._cache.get_client().keys("*throttle*"))
        assert stored_keys
        assert b"asha" not in stored_keys
        assert b"198.51" not in stored_keys


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.9", "198.51.100.7"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        (2, "203.0.113.9, 10.1.1.1", "203.0.113.9"),
        (3, "203.0.113.9", "203.0.113.9"),
        (1, "forged", "198.51.100.7"),
        (1, "", "198.51.100.7"),
    ],
)
def test_the_caller_s_address_is_what_trusted_proxies_saw(proxies, forwarded, address):
    with override_settings(TRUSTED_PROXIES=proxies):
        asked = request(REMOTE_ADDR="198.51.100.7", HTTP_X_FORWARDED_FOR=forwarded)
        assert throttling.client_address(asked) == address


@override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}})
def test_without_redis_a_limit_holds_in_each_process():
    assert [throttling._up("throttle:x", 60) for _ in range(3)] == [1, 2, 3]


@limits
@override_settings(CACHES=DOWN)
def test_without_its_store_each_process_counts_for_itself():
    assert [passes(READ) for _ in range(5)] == [True, True, True, False, False]
    assert passes(READ, now=NOW + 60)


@override_settings(CACHES=DOWN)
def test_without_its_store_a_sign_in_endpoint_is_unavailable():
    with pytest.raises(Unavailable) as caught:
        throttling.check(request(), public_view(), now=NOW)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "2")
    assert [passes(public_view(fail_closed=False)) for _ in range(3)] == [True, True, False]


@pytest.fixture
def broken_store() -> Iterator[tuple[int, list[Any]]]:
    """A port where every connection is closed at once, and the list of those that came."""
    came: list[Any] = []

    class Close(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            came.append(self.client_address)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Close) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1], came
        server.shutdown()
        thread.join()


@limits
def test_an_outage_is_not_asked_about_at_every_request(broken_store):
    port, came = broken_store
    store = {"BACKEND": DOWN["default"]["BACKEND"], "LOCATION": f"redis://127.0.0.1:{port}/0"}
    with override_settings(CACHES={"default": store}):
        passes(READ)
        tries = len(came)
        assert tries > 0
        assert [passes(READ) for _ in range(10)].count(True) == 2
        assert len(came) == tries
        throttling._local.quiet_until = 0.0
        passes(READ)
        assert len(came) > tries


def test_counters_of_a_process_do_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(throttling, "LOCAL_COUNTERS", 10)
    counters = throttling._Counters()
    for place in range(10):
        counters.up(f"old{place}", -1)
    assert counters.up("new", 60) == 1
    assert list(counters.counts) == ["new"]
    for place in range(20):
        counters.up(f"alive{place}", 60)
    assert len(counters.counts) <= 10
