"""Routes without sign-in are cheap and limited by address, and say so in their headers."""

import gzip
import re
from typing import Any
from uuid import uuid4

import pytest
import yaml
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from config.tests.test_contract import routes
from erp.api import docs, throttling
from erp.api.viewsets import ViewSet

pytestmark = pytest.mark.django_db
QUOTA = 3


@pytest.fixture
def limited(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few requests for each limit that concerns who hasn't signed in."""
    settings.THROTTLE_PUBLIC_FACTOR = 1
    settings.THROTTLE_ANONYMOUS = dict.fromkeys(settings.THROTTLE_ANONYMOUS, (QUOTA, 3600))
    monkeypatch.setattr(throttling, "_local", throttling._Counters())


def address(path: str) -> str:
    path = re.sub(r"<uuid:\w+>", str(uuid4()), path)
    path = re.sub(r"<str:code>", "request.invalid", path)
    return re.sub(r"<[^>]+>", "1", path)


def open_routes() -> list[Any]:
    """Every route outside of the admin with every method that it takes: all can be asked without sign-in."""
    found = []
    for path, view in routes():
        if not path.startswith("/admin/"):
            actions = getattr(view, "actions", None) or {"get": ""}
            found += [pytest.param(method.upper(), path, id=f"{method.upper()} {path}") for method in actions]
    return found


def limits(method: str, path: str) -> int:
    """The most requests an hour that the route's own limit takes."""
    view = dict(routes()).get(path)
    cls = getattr(view, "cls", None)
    if isinstance(cls, type) and issubclass(cls, ViewSet):
        endpoint = cls.endpoints.get(view.actions.get(method.lower(), ""))
        if endpoint is not None and endpoint.limit is not None:
            return int(endpoint.limit.limit)
    return QUOTA


@pytest.mark.parametrize(("method", "path"), open_routes())
def test_anonymous_requests_are_limited(limited, method, path):
    client, quota = Client(), limits(method, path)
    answers = [
        client.generic(
            method, address(path), b"{}", "application/json", headers={"Idempotency-Key": uuid4().hex}
        )
        for _ in range(quota + 1)
    ]
    assert [answer.status_code for answer in answers[:-1]].count(429) == 0
    refused = answers[-1]
    assert refused.status_code == 429, (refused.status_code, refused.content[:200])
    assert int(refused["Retry-After"]) > 0
    assert "RateLimit" in refused
    other = client.generic(method, address(path), b"{}", "application/json", REMOTE_ADDR="203.0.113.9")
    assert other.status_code != 429
    if path.startswith("/api/"):
        assert refused.json()["code"] == "throttle.limited"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/v1/nothing", {}),
        ("GET", "/nothing", {}),
        ("DELETE", "/api/schema", {}),
        ("DELETE", "/api/v1/commodities", {}),
        ("GET", "/api/v1/commodities", {"Authorization": "Bearer invented"}),
        ("GET", "/api/v1/commodities", {"Accept": "text/html"}),
        ("GET", "/api/schema", {"Accept": "text/html"}),
        ("POST", "/api/v1/auth/login", {"X-Request-ID": "abcdefgh,abcdefgh"}),
    ],
)
def test_so_are_requests_that_no_view_answers(limited, method, path, headers):
    client = Client()
    statuses = [client.generic(method, path, headers=headers).status_code for _ in range(QUOTA + 1)]
    assert 429 not in statuses[:-1]
    assert statuses[-1] == 429


def test_who_signed_in_is_not_counted_among_strangers(limited, user, client_for):
    client = client_for(user("INTERNAL_MASTERDATA"))
    assert {client.read("/api/v1/commodities").status_code for _ in range(QUOTA + 2)} == {200}


def test_the_limit_counts_what_trusted_proxies_saw(limited, settings):
    settings.TRUSTED_PROXIES = 1
    for last in ("198.51.100.7", "198.51.100.8"):
        asked = [
            Client().get("/api/problems", headers={"X-Forwarded-For": f"{number}.0.0.1, {last}"}).status_code
            for number in range(1, QUOTA + 2)
        ]
        assert asked == [200] * QUOTA + [429]


def test_probes_do_not_depend_on_the_cache(limited, monkeypatch):
    def fail(*arguments: Any) -> int:
        raise AssertionError("the cache was asked")

    monkeypatch.setattr(throttling, "_up", fail)
    assert Client().get("/livez").status_code == 200


@pytest.fixture
def committed(settings: Any) -> bytes:
    return bytes((settings.BASE_DIR / "docs" / "openapi.yaml").read_bytes())


def test_the_document_is_the_committed_file(client, committed):
    answer = client.get("/api/schema")
    assert answer.content == committed
    assert answer["Content-Type"].startswith("application/vnd.oai.openapi")
    as_json = client.get("/api/schema", headers={"Accept": "application/json"})
    assert as_json["Content-Type"].startswith("application/json")
    assert as_json.json() == yaml.load(committed, yaml.CSafeLoader)


def test_the_document_is_cached_and_revalidated_by_its_etag(client):
    tags = set()
    for accept in ("application/yaml", "application/json"):
        for coding in ("gzip", ""):
            asked = {"Accept": accept, "Accept-Encoding": coding}
            answer = client.get("/api/schema", headers=asked)
            tags.add(answer["ETag"])
            assert answer["Cache-Control"].startswith("public, max-age=")
            assert {name.strip() for name in answer["Vary"].split(",")} >= {"Accept", "Accept-Encoding"}
            again = client.get("/api/schema", headers={**asked, "If-None-Match": answer["ETag"]})
            assert (again.status_code, again.content, again["ETag"]) == (304, b"", answer["ETag"])
            other = client.get("/api/schema", headers={**asked, "If-None-Match": '"another"'})
            assert other.status_code == 200
    assert len(tags) == 4


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("br", False),
        ("", False),
    ],
)
def test_it_is_compressed_for_who_takes_that(client, committed, accepted, zipped):
    answer = client.get("/api/schema", headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("Content-Encoding") == "gzip") == zipped
    assert (gzip.decompress(answer.content) if zipped else answer.content) == committed
    if zipped:
        assert len(answer.content) < len(committed) / 5


def test_nothing_is_read_or_made_for_a_request(client, monkeypatch):
    client.get("/api/schema")
    monkeypatch.setattr("drf_spectacular.generators.SchemaGenerator.get_schema", None)
    monkeypatch.setattr("pathlib.Path.read_bytes", None)
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/api/schema").status_code == 200
    assert len(queries) == 0
    assert docs._document.cache_info().hits
