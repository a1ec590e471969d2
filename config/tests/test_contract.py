"""What every write inherits, with no code of its own: one example per endpoint is all that a module supplies."""

import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from apps.availability.services import stock as availability
from config.tests.test_register import BUILT
from erp import clock
from erp.access import SYSTEM
from erp.api.endpoints import Endpoint
from erp.api.examples import SAMPLE_ID, Example, example_of
from erp.api.files import MULTIPART
from erp.api.serializers import Output
from erp.api.testing import deviations_of, documented_path
from erp.api.viewsets import ViewSet
from erp.files import Upload
from erp.idempotency.models import Record
from erp.jobs.models import Job
from erp.jobs.tasks import work
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
EVENTS = {(write.method, write.route.path): write.row.event for write in BUILT.values() if write.row}


def routes(resolver: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        elif isinstance(entry, URLPattern):
            yield "/" + path, entry.callback


def writes() -> list[Any]:
    found = []
    for path, view in routes():
        cls = getattr(view, "cls", None)
        if isinstance(cls, type) and issubclass(cls, ViewSet):
            for method, action in view.actions.items():
                endpoint = cls.endpoints.get(action)
                if endpoint is not None:
                    found.append(pytest.param(path, method.upper(), endpoint, id=f"{method.upper()} {path}"))
    return found


def reads() -> list[Any]:
    found = []
    for path, view in routes():
        cls = getattr(view, "cls", None)
        if isinstance(cls, type) and issubclass(cls, ViewSet) and view.actions.get("get") == "list":
            found.append(pytest.param(path, id=path))
    return found


class Played:
    """An endpoint's example with its rows made."""

    def __init__(self, path: str, method: str, endpoint: Endpoint, world: Any, client_for: Any) -> None:
        example = example_of(endpoint.call)
        assert isinstance(example, Example), f"{path} has no example"
        self.endpoint, self.method, self.signs_out = endpoint, method, example.signs_out
        self.target = example.target(world) if example.target else None
        self.body = example.for_rows(world, self.target)
        self.path = example.address(path, world, self.target)
        self.actor = None if endpoint.anonymous else example.actor(world, self.target)
        self.client = client_for(self.actor)
        self.if_match = self.target.version if endpoint.if_match != "none" else None

    def send(self, client: Any = None, query: str = "", **kwargs: Any) -> Any:
        options = {"method": self.method, "if_match": self.if_match, **kwargs}
        if self.endpoint.multipart:
            options.setdefault("content_type", MULTIPART)
        path = f"{self.path}?{query}" if query else self.path
        return (client or self.client).write(path, options.pop("body", self.body), **options)


@pytest.fixture
def play(world, client_for):
    return lambda path, method, endpoint: Played(path, method, endpoint, world, client_for)


every_write = pytest.mark.parametrize(("path", "method", "endpoint"), writes())


def status_and_code(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json", answer.content
    body = answer.json()
    assert body["request_id"] == answer["X-Request-ID"]
    assert body["type"] == f"/api/problems/{body['code']}"
    assert (body["status"], body["instance"]) == (answer.status_code, answer.wsgi_request.path)
    return answer.status_code, body["code"]


def traces() -> tuple[int, int]:
    return EventOutbox.objects.count(), Record.objects.count()


def stored() -> dict[str, Any]:
    """Which versions of which rows each table holds, and how far each sequence is that numbers documents."""
    with connection.cursor() as cursor:
        versions = " UNION ALL ".join(  # no version of a row is changed in its place
            f"SELECT '{table}', concat(count(*), ' ', bit_xor(hashtid(ctid))) FROM \"{table}\""
            for table in connection.introspection.table_names(cursor)
        )
        cursor.execute(
            f"{versions} UNION ALL"
            " SELECT sequencename, last_value::text FROM pg_sequences WHERE NOT EXISTS (SELECT FROM pg_depend"
            " WHERE objid = sequencename::regclass AND deptype IN ('a', 'i'))"  # those of primary keys
        )
        return dict(cursor.fetchall())


def check_example(played, *operation):
    """The request and its documented example fit the schema and the endpoint."""
    endpoint, example = played.endpoint, example_of(played.endpoint.call)
    if not endpoint.input().fields or endpoint.multipart:  # files are parts, not JSON
        return
    place = ("paths", *operation, "requestBody", "content", "application/json", "schema")
    shown = example.documented()
    assert deviations_of(played.body, *place) == []
    assert deviations_of(shown, *place) == []
    assert deviations_of({**shown, "surprise": 1}, *place) != []
    taken = endpoint.input(data=shown, context={"actor": SYSTEM, "target": played.target})
    taken.is_valid()
    ids = {name for name, value in shown.items() if SAMPLE_ID in str(value)}
    assert {name: faults for name, faults in taken.errors.items() if name not in ids} == {}


def without_sign_in(played, world):
    if not played.endpoint.anonymous:
        assert status_and_code(played.send(world.client_for())) == (401, "account.not_authenticated")


def without_the_capability(played, world):
    if played.endpoint.anonymous:
        return
    nobody = world.user("AUDITOR")
    with unguarded_writes():
        nobody.memberships.all().delete()
    answer = played.send(world.client_for(nobody))
    assert status_and_code(answer) == (403, "capability.missing")
    assert answer.json()["capability"] == str(played.endpoint.capability)


def without_a_well_formed_key(played, world):
    if not played.endpoint.idempotent:
        return
    for query in ("", "dry_run=true") if played.endpoint.dry_run else ("",):
        assert status_and_code(played.send(key=None, query=query)) == (400, "idempotency.key_missing")
    for bad in ("short", "x" * 256, "with space in the key", 'quotes"inside-the-key'):
        assert status_and_code(played.send(key=bad)) == (400, "idempotency.key_invalid")


def with_an_unknown_field(played, world):
    answer = played.send(body={**played.body, "surprise/~": 1})
    assert status_and_code(answer) == (400, "request.unknown_field")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/surprise~1~0"]


def with_fields_of_a_wrong_type(played, world):
    def faulty(names, wrong):
        answer = played.send(body={**played.body, **dict.fromkeys(names, wrong)})
        assert answer.status_code == 400, (names, wrong, answer.content)
        assert status_and_code(answer)[1] in ("request.invalid", "request.malformed", "request.unknown_field")
        return {fault["pointer"].split("/")[1] for fault in answer.json()["errors"]}

    for wrong in ([], {"a": 1}, 1.5, "NUL\u0000", "x" * 5000):
        names = {
            name
            for name, value in played.body.items()
            if (wrong != [] or not isinstance(value, list))  # an empty list is one
            and (isinstance(wrong, str) or not played.endpoint.multipart)  # a part without a file is text
        }
        named = faulty(names, wrong) if names else set()
        assert named <= names, wrong
        for name in names - named:  # judged once the others are right
            assert faulty([name], wrong) == {name}, wrong


def with_what_is_not_json(played, world):
    if played.endpoint.multipart:
        return
    assert status_and_code(played.send(raw=b"{")) == (400, "request.malformed")
    assert status_and_code(played.send(raw=b"[]"))[0] == 400
    assert status_and_code(played.send(raw=b"a=b", content_type="application/x-www-form-urlencoded")) == (
        415,
        "request.unsupported_media_type",
    )
    assert status_and_code(played.send(raw=b'{"a":"' + b"x" * 2_100_000 + b'"}')) == (
        413,
        "request.too_large",
    )


def with_a_wrong_if_match(played, world):
    if played.endpoint.if_match == "none":
        return
    version = played.target.version
    if played.endpoint.if_match == "required":
        assert status_and_code(played.send(if_match=None)) == (428, "precondition.required")
        assert status_and_code(played.send(if_match="*")) == (428, "precondition.required")
    stale = played.send(if_match=version + 1)
    assert status_and_code(stale) == (412, "precondition.failed")
    assert stale["ETag"] == f'"{version}"'
    assert status_and_code(played.send(if_match=f'W/"{version}"'))[0] == 412
    assert status_and_code(played.send(if_match=f'"{version}", "9"'))[0] == 400


def with_the_id_of_nothing_visible(played, world):
    for named in re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", played.path) if played.endpoint.detail else ():
        there, played.path = played.path, played.path.replace(named, str(uuid4()))
        assert status_and_code(played.send()) == (404, "resource.not_found")
        played.path = there


def by_another_method(played, world):
    for other in ("PATCH", "DELETE"):
        assert status_and_code(played.client.write(played.path, {}, method=other))[0] in (401, 405)


def for_an_answer_that_is_not_json(played, world):
    assert status_and_code(played.send(Accept="text/html")) == (406, "request.not_acceptable")


def with_a_parameter_that_it_does_not_take(played, world):
    for query in ("surprise=1", "dry_run=true&dry_run=false", "dry_run=yes", "dry_run=true", "dry_run=false"):
        name = query.partition("=")[0]
        known = played.endpoint.dry_run and name == "dry_run"
        if known and query in ("dry_run=true", "dry_run=false"):
            continue
        answer = played.send(query=query)
        assert status_and_code(answer) == (400, "request.invalid" if known else "request.unknown_field"), (
            query
        )
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/query/{name}"]


REFUSED = (
    without_sign_in,
    without_the_capability,
    without_a_well_formed_key,
    with_an_unknown_field,
    with_fields_of_a_wrong_type,
    with_what_is_not_json,
    with_a_parameter_that_it_does_not_take,
    with_a_wrong_if_match,
    with_the_id_of_nothing_visible,
    by_another_method,
    for_an_answer_that_is_not_json,
)


def refused_with_reason(played, world):
    """What is refused says why and leaves no trace."""
    before = traces()
    for request in REFUSED:
        request(played, world)
        assert traces() == before, request.__name__


def tried_without_effect(played, key):
    """A dry run answers what would be, and leaves every table as it was. Returns its answer."""
    before = stored()
    with TestCase.captureOnCommitCallbacks() as callbacks:
        answer = played.send(query="dry_run=true", key=key)
    assert answer.status_code == (200 if answer.content else 204), answer.content
    assert not {"ETag", "Location", "Idempotency-Replayed"} & {*answer.headers}
    assert (callbacks, stored()) == ([], before)
    return answer


def succeeded_once(played, key):
    """The example succeeds; its key then returns the same answer, and refuses another body. Returns the answer."""
    endpoint, before = played.endpoint, EventOutbox.objects.count()
    if endpoint.if_match == "optional":
        played.if_match = None  # the dry run sends it
    first = played.send(key=key)
    assert first.status_code == (endpoint.status if first.content else 204), first.content
    assert "Idempotency-Replayed" not in first
    events = EventOutbox.objects.count() - before
    assert events >= 1
    if played.signs_out:
        assert status_and_code(played.send(key=key)) == (401, "account.not_authenticated")
    elif endpoint.idempotent:
        again = played.send(key=key)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again["Idempotency-Replayed"] == "true"
        left = traces()
        other = played.send(key=key, body={**played.body, "another": "field"})
        assert status_and_code(other) == (422, "idempotency.key_reused")
        assert traces() == left
        assert EventOutbox.objects.count() - before == events
    row = first.json() if first.content else {}
    if "version" in row:
        assert first["ETag"] == f'"{row["version"]}"'
        assert row["links"]["self"].startswith("/api/v1/")
    if endpoint.status == 201:
        assert first["Location"] == row["links"]["self"]
        assert played.client.read(first["Location"]).json()["id"] == row["id"]
    return first


@every_write
def test_a_write_keeps_the_contract(play, world, path, method, endpoint):
    played, key = play(path, method, endpoint), uuid4().hex if endpoint.idempotent else None
    check_example(played, documented_path(path), method.lower())
    refused_with_reason(played, world)
    if endpoint.kind == "lookup":
        before = stored()
        with TestCase.captureOnCommitCallbacks() as callbacks:
            assert played.send(key=key).status_code == 200
        assert (callbacks, stored()) == ([], before)
        return
    tried = tried_without_effect(played, key) if endpoint.dry_run else None
    made_before = set(EventOutbox.objects.values_list("pk", flat=True))
    done = succeeded_once(played, key)
    if tried is not None and done.content:
        assert tried.json().keys() == done.json().keys()
    for job in Job.objects.due(clock.now()):
        work(str(job.pk))
    event = EVENTS.get((method, documented_path(path)))
    made = EventOutbox.objects.exclude(pk__in=made_before)
    assert event is None or made.filter(event_type=event).exists()


@pytest.mark.parametrize(
    ("path", "method", "endpoint"), [write for write in writes() if write.values[2].multipart]
)
def test_what_does_not_come_in_parts_is_refused(play, path, method, endpoint):
    played = play(path, method, endpoint)
    before = traces()
    for content_type in (MULTIPART, f"{MULTIPART}; boundary="):
        assert status_and_code(played.send(raw=b"{", content_type=content_type)) == (400, "request.malformed")
    assert status_and_code(played.send(raw=b"--b\r\n\r\n", content_type=f"{MULTIPART}; boundary=b"))[0] == 400
    for content_type in ("application/json", "application/x-www-form-urlencoded", "text/csv"):
        assert status_and_code(played.send(raw=b"{}", content_type=content_type)) == (
            415,
            "request.unsupported_media_type",
        )
    large = b"x" * (10 * 1024 * 1024 + 1)
    assert status_and_code(played.send(raw=large, content_type=f"{MULTIPART}; boundary=b")) == (
        413,
        "request.too_large",
    )
    files = [name for name, value in played.body.items() if isinstance(value, Upload)]
    for content, refused in (
        (b"", (400, "request.invalid")),
        (b"MZ\x90\x00 program", (415, "request.unsupported_media_type")),
        (b"x" * (9 * 1024 * 1024 + 1), (413, "request.too_large")),
    ):
        for name in files:
            sent = {**played.body, name: Upload("rows.csv", "text/csv", content)}
            assert status_and_code(played.send(body=sent)) == refused
    assert traces() == before


def offer_and_hold(world: Any, viewer: Any) -> None:
    live = world.offer()
    availability.reserve(live, actor=world.user("BUYER"), quantity=Decimal(10))


def listed(path: str) -> tuple[str, Any]:
    """The viewer of a list and the factory of its rows, from LISTS of a module's examples."""
    for app in apps.get_app_configs():
        with suppress(ModuleNotFoundError):
            examples = import_module(f"{app.name}.tests.examples")
            if path in getattr(examples, "LISTS", {}):
                return examples.LISTS[path]
    return "INTERNAL_MANAGER", offer_and_hold


def address(path: str, world: Any) -> str:
    """The path of a list; parts are asked of the row that WHOLES of a module's examples names."""
    for app in apps.get_app_configs():
        with suppress(ModuleNotFoundError):
            examples = import_module(f"{app.name}.tests.examples")
            for prefix, whole in getattr(examples, "WHOLES", {}).items():
                if path.startswith(prefix):
                    return re.sub(r"<\w+:pk>", str(whole(world).pk), path)
    return path


@pytest.mark.parametrize("path", reads())
def test_a_list_keeps_the_contract(path, world, client_for):
    role, make = listed(path)
    viewer = world.user(role)
    make(world, viewer)
    client, path = client_for(viewer), address(path, world)
    asks_for_sign_in_and_refuses_what_it_does_not_know(client, client_for(), path)
    costs_the_same_for_many_rows(client, path, lambda: make(world, viewer))
    pages_through_each_row_once(client, path, lambda: make(world, viewer))


def asks_for_sign_in_and_refuses_what_it_does_not_know(client, anybody, path):
    assert status_and_code(anybody.read(path)) == (401, "account.not_authenticated")
    for query in (
        "surprise=1",
        "dry_run=true",
        "limit=0",
        "limit=201",
        "limit=1&limit=2",
        "cursor=abc",
        "ordering=secret",
        "updated_after=yesterday",
    ):
        name, answer = query.partition("=")[0], client.read(f"{path}?{query}")
        status, code = status_and_code(answer)
        assert status == 400, query
        assert code == "request.unknown_field" or name not in ("surprise", "dry_run")
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/query/{name}"]


def costs_the_same_for_many_rows(client, path, make):
    client.read(path)
    with CaptureQueriesContext(connection) as few:
        assert len(client.read(path).json()["results"]) >= 1
    for _ in range(4):
        make()
    with CaptureQueriesContext(connection) as many:
        assert len(client.read(path).json()["results"]) >= 5
    assert len(many) == len(few)


def pages_through_each_row_once(client, path, make):
    before = {row["id"] for row in client.read(path).json()["results"]}
    seen: list[str] = []
    url = f"{path}?limit=2"
    while url:
        page = client.read(url)
        seen += [row["id"] for row in page.json()["results"]]
        if len(seen) == 2:
            make()  # rows come meanwhile
        following = page.json()["next"]
        assert (following is not None) == ('rel="next"' in page.get("Link", ""))
        url = following if page.json()["results"] else None  # a feed can always be asked for more
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/commodities/", "/api/", "/api/v2/commodities"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_path_is_a_problem(client_for, path, method):
    assert status_and_code(client_for().write(path, {}, method=method)) == (404, "resource.not_found")


def test_the_schema_is_generated_and_documents_every_write(client):
    schema = client.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    assert schema["openapi"].startswith("3.1")
    for param in writes():
        path, method, endpoint = param.values
        operation = schema["paths"][documented_path(path)][method.lower()]
        assert operation["security"] == ([] if endpoint.anonymous else [{"bearer": []}]), path
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert ("Idempotency-Key" in names) == endpoint.idempotent, path
        assert ("If-Match" in names) == (endpoint.if_match != "none"), path


def test_answer_fields_of_nullable_columns_may_be_null():
    missing, waiting = [], [*Output.__subclasses__()]
    while waiting:
        output = waiting.pop()
        waiting += output.__subclasses__()
        if not output.__module__.startswith("apps.") or not hasattr(output, "Meta"):
            continue  # a base of outputs
        columns = {key: f for f in output.Meta.model._meta.concrete_fields for key in (f.name, f.attname)}
        missing += [
            f"{output.__name__}.{name}"
            for name, field in output().fields.items()
            if field.source in columns and columns[field.source].null and not field.allow_null
        ]
    assert missing == []


def test_the_committed_schema_is_the_running_one(settings):
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.renderers import OpenApiYamlRenderer

    running = OpenApiYamlRenderer().render(SchemaGenerator().get_schema(public=True), renderer_context={})
    committed = (settings.BASE_DIR / "docs" / "openapi.yaml").read_bytes()
    assert running == committed, "run: make openapi"


@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
def test_the_documentation_needs_no_other_server(client, path):
    page = client.get(path)
    assert page.status_code == 200
    text = page.content.decode()
    assert "//cdn" not in text
    assert "https://fonts" not in text
    for asset in re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css|png))"', text):
        answer = client.get(asset)
        assert answer.status_code == 200, asset
        answer.close()


@pytest.mark.parametrize("allowed", [True, False])
def test_browsers_of_other_origins_are_allowed_only_when_listed(client, settings, allowed):
    settings.CORS_ALLOWED_ORIGINS = ["https://desk.example"] if allowed else []
    asked = client.options(
        "/api/v1/commodities",
        headers={
            "Origin": "https://desk.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key,if-match,if-none-match,x-request-id",
        },
    )
    answer = client.get("/api/v1/commodities", headers={"Origin": "https://desk.example"})
    if not allowed:
        assert not [h for h in (*asked.headers, *answer.headers) if h.lower().startswith("access-control")]
        return
    assert asked["Access-Control-Allow-Origin"] == "https://desk.example"
    headers = {h.strip().lower() for h in asked["Access-Control-Allow-Headers"].split(",")}
    assert {
        "authorization",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "x-request-id",
    } <= headers
    exposed = {h.strip() for h in answer["Access-Control-Expose-Headers"].split(",")}
    assert {"ETag", "Location", "Idempotency-Replayed", "Retry-After", "RateLimit", "X-Request-ID"} <= exposed
