"""Failures: every error under /api/ is a problem+json with a known code and without internals."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.handlers.wsgi import WSGIRequest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path
from django.views.decorators.csrf import csrf_protect
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import APIView

from erp import errors
from erp.api import problem_pages, problems
from erp.api.testing import FORMATS
from erp.api.wsgi import readable
from erp.errors import DomainError, FieldError

raised: list[Any] = []


class Raises(APIView):
    """Raises what a test put there."""

    authentication_classes: list[Any] = []

    def get(self, request: Any, **kwargs: Any) -> Response:
        raise raised[-1]

    def post(self, request: Any) -> Response:
        return Response(request.data)


def plain(request: HttpRequest) -> HttpResponse:
    raise raised[-1]


def answers(request: HttpRequest, status: int) -> HttpResponse:
    response = HttpResponse("<h1>Words of somebody else</h1>", status=status)
    response["Retry-After"] = "7"
    return response


@csrf_protect
def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


urlpatterns = [
    path("api/v1/raises", Raises.as_view()),
    path("api/v1/plain", plain),
    path("api/v1/answers/<int:status>", answers),
    path("api/v1/form", form),
    path("form", form),
    path("api/v1/fine", lambda request: JsonResponse({"fine": True})),
    path("api/problems", problem_pages.problem_index),
    path("api/problems/<str:code>", problem_pages.problem_page),
    path("plain", plain),
    path("api/v2/", include([])),
]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def api() -> Client:
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check what every problem has; returns the document."""
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(response.content)
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= set(document)
    assert (document["code"], document["status"], document["type"]) == (code, status, f"/api/problems/{code}")
    assert document["request_id"] == response["X-Request-ID"] != ""
    assert unquote(document["instance"]) == response.wsgi_request.path
    assert FORMATS["uri-reference"](document["instance"])
    assert code in problems.problem_kinds()
    return document


def raising(api: Client, exception: Any, url: str = "/api/v1/raises") -> Any:
    raised.append(exception)
    return api.get(url)


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        ("/api/v1/ગુજરાતી", "/api/v1/%E0%AA%97%E0%AB%81%E0%AA%9C%E0%AA%B0%E0%AA%BE%E0%AA%A4%E0%AB%80"),
        ("/api/v1/हिन्दी-कपास/é", None),
        ('/api/v1/a b<c>"d"{e}|f^g`h\\i', None),
        ("/api/v1/100%25/x%3Fy%23z", "/api/v1/100%25/x%3Fy%23z"),
        ("/api/v1/%FF%FE", None),
        ("/api/v1/plain-path_1.2~3:4@5", "/api/v1/plain-path_1.2~3:4@5"),
    ],
)
def test_instance_is_a_uri_reference_for_every_path(api, path, instance):
    document = problem(api.get(path), 404, "resource.not_found")
    assert instance in (None, document["instance"])


def test_every_problem_type_is_a_uri_reference():
    for code in problems.problem_kinds():
        assert FORMATS["uri-reference"](f"/api/problems/{code}"), code


class Exceeded(errors.Conflict):
    """Less is there than was asked for."""

    code = "test.exceeded"


CASES: list[tuple[Any, int, str]] = [
    (Exceeded("3 left", remaining="3"), 409, "test.exceeded"),
    (Http404("internals"), 404, "resource.not_found"),
    (PermissionDenied("internals"), 403, "request.forbidden"),
    (SuspiciousOperation("internals"), 400, "request.malformed"),
    (RequestDataTooBig("internals"), 413, "request.too_large"),
    (DjangoValidationError("Not so."), 400, "request.invalid"),
    (OperationalError("internals"), 503, "dependency.unavailable"),
    (InterfaceError("internals"), 503, "dependency.unavailable"),
    (ProgrammingError("internals"), 500, "server.error"),
    (ZeroDivisionError("internals"), 500, "server.error"),
    (RecursionError("internals"), 500, "server.error"),
]
DRF_CASES: list[tuple[Any, int, str]] = [
    (drf.ParseError(), 400, "request.malformed"),
    (drf.ValidationError({"a": ["no"]}), 400, "request.invalid"),
    (drf.NotAuthenticated(), 401, "account.not_authenticated"),
    (drf.AuthenticationFailed(), 401, "account.not_authenticated"),
    (drf.PermissionDenied(), 403, "request.forbidden"),
    (drf.NotFound("internals"), 404, "resource.not_found"),
    (drf.MethodNotAllowed("GET"), 405, "request.method_not_allowed"),
    (drf.NotAcceptable(), 406, "request.not_acceptable"),
    (drf.UnsupportedMediaType("text/x"), 415, "request.unsupported_media_type"),
    (drf.Throttled(1.2), 429, "throttle.limited"),
    (drf.APIException("internals"), 500, "server.error"),
]


@pytest.mark.parametrize(("exception", "status", "code"), [*CASES, *DRF_CASES])
def test_whatever_a_view_raises_becomes_a_problem(api, exception, status, code):
    assert "internals" not in json.dumps(problem(raising(api, exception), status, code))


@pytest.mark.parametrize(("exception", "status", "code"), CASES)
@pytest.mark.parametrize("debug", [False, True])
def test_so_does_what_a_view_outside_of_drf_raises(api, exception, status, code, debug):
    with override_settings(DEBUG=debug):
        assert "internals" not in json.dumps(problem(raising(api, exception, "/api/v1/plain"), status, code))


def test_a_domain_error_keeps_its_words_members_and_headers(api):
    error = errors.Unavailable("The registry is down.", retry_after=9, registry="gst")
    response = raising(api, error)
    document = problem(response, 503, "dependency.unavailable")
    assert (document["detail"], document["registry"], response["Retry-After"]) == (
        "The registry is down.",
        "gst",
        "9",
    )


@pytest.mark.parametrize("name", ["status", "code", "title", "instance", "request_id"])
def test_an_error_has_no_member_by_the_name_of_one_that_every_document_has(name):
    with pytest.raises(TypeError, match=name):
        errors.Conflict(**{name: "shadow"})


def test_faults_are_listed_with_pointers(api):
    error = errors.Invalid(errors=[FieldError("/a/0", "required", "Needed.")])
    assert problem(raising(api, error), 400, "request.invalid")["errors"] == [
        {"pointer": "/a/0", "code": "required", "detail": "Needed."}
    ]


def test_a_problem_is_never_cached(api):
    assert raising(api, Http404())["Cache-Control"] == "private, no-store"


def test_sign_in_is_asked_for_with_a_challenge(api):
    assert raising(api, drf.NotAuthenticated())["WWW-Authenticate"] == 'Bearer realm="api"'


def test_waiting_times_are_whole_seconds(api):
    assert raising(api, drf.Throttled(1.2))["Retry-After"] == "2"
    assert raising(api, drf.Throttled(0))["Retry-After"] == "1"


@pytest.mark.parametrize(
    "route", ["/api/v1/nothing", "/api/v1/raises/", "/api/", "/api", "/api/v2/x", "/api/v1/raises%00"]
)
@pytest.mark.parametrize("debug", [False, True])
def test_an_unknown_path_is_a_problem_and_is_never_redirected(api, route, debug):
    with override_settings(DEBUG=debug):
        problem(api.get(route), 404, "resource.not_found")
        problem(api.post(route), 404, "resource.not_found")


def test_another_method_names_those_that_are_offered(api):
    response = api.delete("/api/v1/raises")
    problem(response, 405, "request.method_not_allowed")
    assert "GET" in response["Allow"]
    assert "POST" in response["Allow"]
    response = api.post("/api/problems")
    problem(response, 405, "request.method_not_allowed")
    assert response["Allow"] == "GET, HEAD"


def test_an_accept_without_json_is_refused(api):
    problem(api.get("/api/v1/raises", headers={"Accept": "text/html"}), 406, "request.not_acceptable")
    problem(
        api.get("/api/v1/raises", headers={"Accept": "application/json;q=0, */*"}),
        406,
        "request.not_acceptable",
    )


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/*",
        "text/html, application/json;q=0.1",
        "application/json; charset=utf-8",
        "text/x;q*=bogus''1, */*;q=0.1",
    ],
)
def test_an_accept_that_covers_json_is_served(api, accept):
    problem(raising_with(api, accept), 404, "resource.not_found")


def raising_with(api: Client, accept: str) -> Any:
    raised.append(Http404())
    return api.get("/api/v1/raises", headers={"Accept": accept})


def test_format_is_no_way_around_accept(api):
    problem(api.get("/api/v1/raises?format=html"), 400, "request.unknown_field")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "request.malformed"),
        (403, "request.forbidden"),
        (418, "request.malformed"),
        (500, "server.error"),
        (502, "server.error"),
        (503, "dependency.unavailable"),
    ],
)
def test_every_error_response_is_a_problem_document(api, status, code):
    response = api.get(f"/api/v1/answers/{status}")
    document = problem(response, 400 if status == 418 else 500 if status == 502 else status, code)
    assert "somebody else" not in json.dumps(document)
    assert response["Retry-After"] == "7"


@pytest.mark.parametrize("status", [200, 204, 302, 304])
def test_success_and_not_modified_pass_untouched(api, status):
    response = api.get(f"/api/v1/answers/{status}")
    assert (response.status_code, response.get("Content-Type")) != (status, "application/problem+json")
    assert response["Cache-Control"] == "private, no-cache"


def test_a_failed_csrf_check_is_a_problem_under_the_api_alone(api):
    problem(api.post("/api/v1/form"), 403, "request.csrf_failed")
    assert api.post("/form")["Content-Type"].startswith("text/html")


def test_outside_of_the_api_nothing_changes(api):
    raised.append(Http404())
    assert not api.get("/plain")["Content-Type"].startswith("application/problem")
    assert "Cache-Control" not in api.get("/nothing").headers


def test_a_host_that_is_not_ours_is_a_problem(api):
    problem(api.get("/api/v1/fine", headers={"Host": "evil.example"}), 400, "request.malformed")


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=20)
def test_a_body_over_the_limit_is_refused_unread(api):
    problem(api.post("/api/v1/raises", "x" * 21, "text/plain"), 413, "request.too_large")


def test_a_body_of_unknown_length_is_refused_rather_than_ignored(api):
    response = api.generic("POST", "/api/v1/raises", headers={"Transfer-Encoding": "chunked"})
    problem(response, 400, "request.malformed")


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ("{", "application/json", 400, "request.malformed"),
        ('{"a": NaN}', "application/json", 400, "request.malformed"),
        ("a=1", "application/x-www-form-urlencoded", 415, "request.unsupported_media_type"),
        ("{}", "text/plain", 415, "request.unsupported_media_type"),
        ("{}", "*/*", 415, "request.unsupported_media_type"),
        ("{}", "", 415, "request.unsupported_media_type"),
        ("{}", "application/json; charset=utf-16", 415, "request.unsupported_media_type"),
    ],
)
def test_an_unreadable_body_is_reported_with_its_reason(api, body, kind, status, code):
    problem(api.generic("POST", "/api/v1/raises", body, kind), status, code)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("application/json; charset=utf-8", "application/json"),
        ("application/json; charset*=bogus''x", "application/octet-stream"),
        (None, ""),
    ],
)
def test_a_media_type_that_django_can_not_read_does_not_crash_it(sent, read):
    environ = {**RequestFactory()._base_environ(), "CONTENT_TYPE": sent}
    if sent is None:
        del environ["CONTENT_TYPE"]
    answer = readable(lambda environ, start: [str(WSGIRequest(environ).content_type).encode()])
    assert list(answer(environ, lambda status, headers: None)) == [read.encode()]


def test_a_nul_points_to_its_member(api):
    document = problem(
        api.post("/api/v1/raises", '{"a": "\\u0000"}', "application/json"), 400, "request.malformed"
    )
    assert document["errors"][0]["pointer"] == "/a"


def test_an_internal_error_is_logged_with_its_traceback_and_answered_without(api, caplog):
    problem(raising(api, ZeroDivisionError("internals")), 500, "server.error")
    logged = [record.msg for record in caplog.records if record.name == "erp.api.problems"]
    assert [(line["event"], type(line["exc_info"])) for line in logged] == [
        ("request_failed", ZeroDivisionError)
    ]


class Overdrawn(errors.RuleBroken):
    """More goes out than is in."""

    code = "test.overdrawn"


@pytest.fixture
def table(db: None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE TEMPORARY TABLE shelf (
                id smallint PRIMARY KEY, name varchar(3), day date, span int4range,
                amount numeric(5, 2) CONSTRAINT shelf_amount CHECK (amount >= 0),
                parent smallint CONSTRAINT shelf_parent REFERENCES shelf,
                CONSTRAINT shelf_span EXCLUDE USING gist (span WITH &&)
            ) ON COMMIT DROP;
            INSERT INTO shelf VALUES (1, 'one', NULL, '[1,5)', 1, NULL);
            """
        )
        yield cursor


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("INSERT INTO shelf VALUES (1)", 409, "request.duplicate"),
        ("INSERT INTO shelf (id, span) VALUES (2, '[4,9)')", 409, "request.overlap"),
        ("INSERT INTO shelf (id, amount) VALUES (2, -1)", 422, "request.rule_broken"),
        ("INSERT INTO shelf (id, parent) VALUES (2, 7)", 409, "request.reference_missing"),
        ("INSERT INTO shelf (id) VALUES (70000)", 400, "request.invalid"),
        ("INSERT INTO shelf (id, amount) VALUES (2, 1e9)", 400, "request.invalid"),
        ("INSERT INTO shelf (id, name) VALUES (2, 'long')", 400, "request.invalid"),
        ("INSERT INTO shelf (id, day) VALUES (2, '2026-02-30')", 400, "request.invalid"),
        ("SELECT %s", 400, "request.invalid"),
        ("SELECT 1 / 0", 500, "server.error"),
        ("SELECT nothing", 500, "server.error"),
        ("INSERT INTO shelf (id) VALUES (NULL)", 500, "server.error"),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)", 503, "dependency.unavailable"),
    ],
)
def test_the_database_s_refusals_have_their_status(table, sql, status, code):
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        table.execute(sql, ["\x00"] if "%s" in sql else None)
    error = problems.domain_error(caught.value)
    assert (error.status, error.code) == (status, code)
    assert "shelf" not in str(problems.problem_document(error))


def test_a_constraint_has_the_problem_that_its_module_gives_it(table, monkeypatch):
    monkeypatch.setitem(errors.by_constraint, "shelf_amount", Overdrawn)
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        table.execute("INSERT INTO shelf (id, amount) VALUES (2, -1)")
    assert problems.domain_error(caught.value).code == "test.overdrawn"


def test_a_breach_is_named_after_the_module_of_its_table():
    assert problems._of_label("23505", problems._label_of_table("event_inbox")).code == "outbox.duplicate"


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_race_lost_for_good_asks_to_try_again(state):
    import psycopg.errors

    error = OperationalError()
    error.__cause__ = psycopg.errors.lookup(state)()
    document = problems.domain_error(error)
    assert (document.status, document.headers["Retry-After"]) == (503, "1")


def test_data_that_only_the_driver_refuses_is_the_caller_s():
    import psycopg

    error = DataError()
    error.__cause__ = psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    assert problems.domain_error(error).status == 400


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (None, None),
        ("", None),
        (" * ", None),
        ('"7"', 7),
        (' "12" ', 12),
        ('"0"', 0),
    ],
)
def test_if_match_names_one_version(header, version):
    assert problems.parse_if_match(header) == version


@pytest.mark.parametrize("header", ['W/"7"', '"07"', '""', '"abc"', '"-1"', '"٧"', '"99999999999999999999"'])
def test_a_tag_that_is_no_version_matches_no_row(header):
    assert problems.parse_if_match(header) == problems.NEVER


@pytest.mark.parametrize(
    "header", ['"7", "8"', '"7","7"', '*, "7"', "7", '"7', 'w/"7"', '"7" x', '"a"b"', "W/7"]
)
def test_a_list_or_no_tag_at_all_is_a_fault_of_the_header(header):
    with pytest.raises(errors.Invalid) as caught:
        problems.parse_if_match(header)
    assert caught.value.errors[0].pointer == "/headers/If-Match"


def test_if_none_match_knows_the_tag_in_any_company():
    tag = problems.etag(7)
    assert [problems.is_fresh(header, tag) for header in ('"7"', 'W/"7"', '"1", "7"', "*")] == [True] * 4
    assert [problems.is_fresh(header, tag) for header in (None, "", '"8"', "7", '"77"')] == [False] * 5


def test_the_type_of_a_problem_opens_its_page(api):
    document = problem(raising(api, Exceeded()), 409, "test.exceeded")
    page = api.get(document["type"], headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "Less is there than was asked for." in page.content.decode()
    shown = api.get(document["type"]).json()
    assert (shown["code"], shown["title"], shown["status"]) == ("test.exceeded", document["title"], 409)
    assert shown["example"]["code"] == "test.exceeded"


def test_no_page_of_a_problem_is_empty(api):
    for shown in api.get("/api/problems").json()["results"]:
        assert min(len(shown[part]) for part in ("title", "cause", "fix")) > 10, shown["code"]
        assert shown["example"]["status"] == shown["status"]
        assert shown["example"]["type"] == shown["type"]


def test_the_cause_of_a_problem_is_its_own_or_follows_from_its_code_or_family():
    own = problem_pages.kind_page(errors.KeyReused)
    assert own["cause"] == errors.KeyReused.cause
    taken = type("NumberTaken", (errors.Conflict,), {"__doc__": "The number exists already."})
    assert "exist only once" in problem_pages.kind_page(taken)["cause"]
    other = type("Sleepy", (errors.Conflict,), {"__doc__": "The office is closed."})
    assert problem_pages.kind_page(other)["fix"] == errors.Conflict.fix


def test_a_page_links_to_the_operations_that_declare_the_problem(api):
    shown = api.get("/api/problems/job.not_cancellable").json()
    assert [(each["method"], each["path"]) for each in shown["operations"]] == [
        ("POST", "/api/v1/jobs/{id}/cancel")
    ]
    page = api.get(shown["type"], headers={"Accept": "text/html"}).content.decode()
    assert shown["operations"][0]["url"] in page
    assert api.get("/api/problems/server.error").json()["any_operation"]


def test_the_index_lists_every_code_and_each_has_one_meaning(api):
    listed = {kind["code"]: kind for kind in api.get("/api/problems").json()["results"]}
    assert {"request.invalid", "idempotency.key_reused", "server.error", "request.csrf_failed"} <= set(listed)
    assert not [code for code in listed if code.startswith("erp.")]
    assert "<table>" in api.get("/api/problems", headers={"Accept": "text/html"}).content.decode()


def test_an_unknown_code_has_no_page(api):
    problem(api.get("/api/problems/no.such"), 404, "resource.not_found")
    problem(api.get("/api/problems/<script>"), 404, "resource.not_found")
    problem(api.get("/api/problems", headers={"Accept": "image/png"}), 406, "request.not_acceptable")


def test_base_classes_of_problems_have_no_page():
    assert all(
        isinstance(kind, type) and issubclass(kind, DomainError) for kind in problems.problem_kinds().values()
    )
    assert "erp.conflict" not in problems.problem_kinds()
