"""The compliance audit passes on the product and finds a planted violation of each of its rules."""

import csv
import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from apps.accounts.viewsets import AuthViewSet
from apps.commodities import capabilities
from apps.commodities.events.commodities import CommodityUpdated
from apps.commodities.models.commodities import Commodity
from apps.commodities.services import commodities as services
from apps.commodities.tests.examples import EXAMPLES
from apps.commodities.viewsets.commodities import CommodityViewSet
from apps.partners.models import Partner
from config import urls
from erp.api.endpoints import lookup
from erp.api.viewsets import RowViewSet, ViewSet
from erp.audit import RULES, Product, audit
from erp.audit.register import Register
from erp.audit.sources import PROJECT, Source, read
from erp.clients import Client
from erp.errors import Conflict

pytestmark = pytest.mark.xdist_group("audit")  # one worker parses the product
IDEMPOTENCY, SERVICES, BREAKER, OUTBOX, CAPABILITIES, PERSONAL, VERSIONS, ERRORS = RULES


@cache
def sources() -> list[Source]:
    return read()


def found(rule: str, product: Product | None = None) -> list[str]:
    """What the audit holds against the product under one rule; it fails exactly when there is something."""
    report = audit(product or Product(sources=sources()), [rule])
    faults = [text for entry in report.as_dict()["rules"] for text in entry["violations"]]
    assert report.passed == (faults == [])
    return faults


@pytest.fixture
def planted_file(tmp_path: Path) -> Callable[[str, str], Product]:
    """The product with one more source file in each call."""

    def plant(name: str, text: str) -> Product:
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return Product(sources=[*sources(), *read([tmp_path / name.split(".")[0]], tmp_path)])

    return plant


@pytest.fixture
def planted_route(settings: Any) -> Callable[..., Product]:
    """The product with one more route in each call."""
    patterns = [*urls.urlpatterns]

    def plant(route: str, view: Any) -> Product:
        patterns.append(path(route, view))
        settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [*patterns]})
        return Product(sources=sources())

    return plant


@pytest.fixture
def copied_docs(tmp_path: Path, settings: Any) -> Path:
    """A copy of the committed register and event files, used in their place."""
    shutil.copytree(PROJECT / "docs", tmp_path / "docs")
    settings.BASE_DIR = tmp_path
    return tmp_path / "docs"


def test_the_product_passes() -> None:
    report = audit(Product(sources=sources()))
    assert [f"{c.rule}: {c.subject}: {c.faults}" for c in report.checks if c.faults] == []
    assert {check.rule for check in report.checks} == set(RULES), "every rule looked at something"


@pytest.mark.slow
def test_the_report_lists_every_row_of_the_register_and_every_write() -> None:
    out = StringIO()
    call_command("compliance_audit", "--json", stdout=out)
    faults = json.loads(out.getvalue())
    assert set(faults) == {"passed", "rules", "endpoints"}
    assert faults["passed"] is True
    assert all(set(entry) == {"rule", "module", "checked", "violations"} for entry in faults["rules"])
    assert all(
        set(line) == {"method", "path", "kind", "module", "service", "capability", "idempotent", "events"}
        for line in faults["endpoints"]
    )
    listed = {(line["method"], line["path"]): line for line in faults["endpoints"]}
    assert listed.keys() >= {row.key for row in Register().rows}
    reserve = listed["POST", "/api/v1/availabilities/{id}/reserve"]
    assert (reserve["service"], reserve["capability"], reserve["idempotent"], reserve["module"]) == (
        "availability.reserve",
        "availability.reserve",
        True,
        "availability",
    )
    assert "availability.reserved" in reserve["events"]
    login = listed["POST", "/api/v1/auth/login"]
    assert (login["kind"], login["idempotent"], login["module"]) == ("exempt", False, "auth")


@pytest.mark.slow
def test_the_report_for_people_counts_modules_by_rules() -> None:
    out = StringIO()
    call_command("compliance_audit", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[-1].startswith("passed; ")
    assert any(line.startswith("availability") and " of " in line for line in lines)
    assert any(
        line.startswith("PUT    /api/v1/commodities/{id}") and "commodity.updated" in line for line in lines
    )


def test_a_violation_ends_the_command_with_1(planted_route: Callable[..., Product]) -> None:
    planted_route("api/v1/planted", CommodityViewSet.as_view({"post": "list"}))
    out = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("compliance_audit", "--json", stdout=out)
    assert left.value.code == 1
    assert json.loads(out.getvalue())["passed"] is False


class _Plain(APIView):
    def post(self, request: Any) -> Response:
        return Response()


class _RawAction(GenericViewSet[Any]):
    @action(detail=False, methods=["post"])
    def settle(self, request: Any) -> Response:
        return Response()


class _WithoutTheKernelsChecks(CommodityViewSet):
    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Asks nothing."""


class _WithOwnPost(CommodityViewSet):
    pass


_WithOwnPost.post = lambda self, request: Response()  # type: ignore[attr-defined]


def _function(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def test_writes_past_the_endpoints_are_found(planted_route: Callable[..., Product]) -> None:
    planted = {
        "plain": (_Plain.as_view(), ["POST"]),
        "raw-action": (_RawAction.as_view({"post": "settle"}), ["POST"]),
        "function": (_function, ["POST", "PUT", "PATCH", "DELETE"]),
        "read-bound-to-a-write": (CommodityViewSet.as_view({"post": "list"}), ["POST"]),
        "beside-the-endpoints": (_WithOwnPost.as_view({"get": "list"}), ["POST"]),
    }
    for name, (view, _) in planted.items():
        product = planted_route(f"api/v1/{name}", view)
    assert sorted(found(IDEMPOTENCY, product)) == sorted(
        f"{method} /api/v1/{name}: isn't bound with endpoint() or lookup(), so it asks for no Idempotency-Key"
        for name, (_, methods) in planted.items()
        for method in methods
    )


def test_a_write_outside_the_api_is_found(planted_route: Callable[..., Product]) -> None:
    faults = found(IDEMPOTENCY, planted_route("hooks/planted", _Plain.as_view()))
    assert [text.split(":")[0] for text in faults] == ["POST /hooks/planted"]


def test_a_viewset_that_skips_the_checks_of_the_kernel_is_found(
    planted_route: Callable[..., Product],
) -> None:
    faults = found(
        IDEMPOTENCY, planted_route("api/v1/planted", _WithoutTheKernelsChecks.as_view({"post": "create"}))
    )
    assert any("has its own initial" in text for text in faults)


def test_a_write_beyond_the_register_needs_a_reason(
    planted_route: Callable[..., Product], copied_docs: Path
) -> None:
    product = planted_route("api/v1/goods", CommodityViewSet.as_view({"post": "create"}))
    assert found(IDEMPOTENCY, product) == [
        "POST /api/v1/goods: stands neither in endpoints.csv nor, with a reason, in extra.csv"
    ]
    with (copied_docs / "register" / "extra.csv").open("a") as file:
        csv.writer(file).writerow(["route", "POST /api/v1/goods", "an old address that partners still use"])
    assert (
        found(IDEMPOTENCY, planted_route("api/v1/goods", CommodityViewSet.as_view({"post": "create"}))) == []
    )


def test_a_write_that_no_example_tries_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(EXAMPLES, "update")
    assert found(IDEMPOTENCY) == [
        "PUT /api/v1/commodities/{id}: has no example in tests/examples.py, so nothing tries it"
    ]


def test_an_extra_that_is_gone_or_unexplained_is_found(copied_docs: Path) -> None:
    with (copied_docs / "register" / "extra.csv").open("a") as file:
        csv.writer(file).writerow(["route", "POST /api/v1/gone", ""])
    assert found(IDEMPOTENCY) == [
        "extra.csv: POST /api/v1/gone: isn't there any more",
        "extra.csv: POST /api/v1/gone: has no reason",
    ]


@pytest.mark.parametrize(
    ("column", "value", "rule", "fault"),
    [
        ("kind", "exempt", IDEMPOTENCY, "is a change endpoint, the register says exempt"),
        ("if_match", "optional", IDEMPOTENCY, "takes If-Match as required, the register says optional"),
        ("event", "commodity.renamed", OUTBOX, "doesn't emit commodity.renamed as the register says"),
        (
            "capability",
            "commodity.view",
            CAPABILITIES,
            "asks for commodity.update, the register says commodity.view",
        ),
    ],
)
def test_an_endpoint_that_differs_from_the_register_is_found(
    copied_docs: Path, column: str, value: str, rule: str, fault: str
) -> None:
    file = copied_docs / "register" / "endpoints.csv"
    rows = list(csv.DictReader(StringIO(file.read_text())))
    row = next(r for r in rows if (r["method"], r["path"]) == ("PUT", "/api/v1/commodities/{id}"))
    row[column] = value
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert found(rule) == [f"PUT /api/v1/commodities/{{id}}: {fault}"]


MISPLACED = [
    ("apps.partners.viewsets.planted", "def touch(row):\n    row.save()", "row.save() outside a service"),
    (
        "apps.partners.serializers.planted",
        "from apps.partners.models import Partner\nmade = Partner.objects.create(country='IN')",
        "Partner.objects.create() outside a service",
    ),
    (
        "apps.partners.serializers.planted",
        "from apps.partners import models\nmade = models.Partner.objects.create(country='IN')",
        "models.Partner.objects.create() outside a service",
    ),
    (
        "apps.partners.admin.planted",
        "def close(admin, request, rows):\n    rows.update(status='closed')",
        "rows.update() outside a service",
    ),
    (
        "apps.partners.tasks.planted",
        "def purge(rows):\n    rows.filter(country='IN').delete()",
        "rows.filter(country='IN').delete() outside a service",
    ),
    (
        "apps.partners.lookups.planted",
        "from django.db import connection\n\n\ndef ask():\n    with connection.cursor() as cursor:\n"
        "        cursor.execute('UPDATE partner_partner SET country = %s', ['IN'])",
        "cursor.execute() outside a service",
    ),
    (
        "apps.partners.models.planted",
        "def save(self, *args):\n    super(Base, self).save(*args)",
        "super(Base, self).save() outside a service",
    ),
    (
        "apps.partners.models.planted",
        "def keep(rows):\n    rows.bulk_create([])",
        "rows.bulk_create() outside a service",
    ),
    (
        "apps.partners.tasks.planted",
        "def join(user, group):\n    user.groups.add(group)",
        "user.groups.add() outside a service",
    ),
    (
        "apps.partners.services.planted",
        "def shortcut(row):\n    row.save()",
        "row.save() in shortcut(), which no service calls",
    ),
    (
        "apps.partners.tasks.planted",
        "from erp.models import unguarded_writes",
        "lifts the guard with unguarded_writes",
    ),
    (
        "apps.partners.viewsets.planted",
        "from apps.partners.models import Partner\n\n\nclass Planted:\n    def mine(self):\n"
        "        return Partner.objects.first()",
        "queries Partner.objects beside its queryset",
    ),
    (
        "apps.partners.viewsets.planted",
        "class Planted:\n    def mine(self, row):\n        return row.people.filter(active=True)",
        "queries with filter() beside its queryset",
    ),
]


def test_changes_and_queries_in_the_wrong_place_are_found(
    planted_file: Callable[[str, str], Product],
) -> None:
    for number, (name, text, _) in enumerate(MISPLACED):
        product = planted_file(f"{name}{number}", text)
    faults = [
        (int(text.partition(".planted")[2].partition(":")[0]), text) for text in found(SERVICES, product)
    ]
    assert len(faults) == len(MISPLACED)
    for (number, text), (place, (*_, fault)) in zip(sorted(faults), enumerate(MISPLACED), strict=True):
        assert (number, text.rpartition(": ")[2]) == (place, fault)


def test_a_call_that_only_resembles_a_write_is_allowed(planted_file: Callable[[str, str], Product]) -> None:
    product = planted_file(
        "apps.partners.tasks.planted",
        """
        from django.core.cache import cache
        from django.db import connection

        from apps.commodities import services

        ASK = "SELECT 1"


        def work(row, known):
            known.update({"a": 1})
            row.__dict__.update(a=1)
            row.widget.attrs.update(autofocus=True)
            cache.delete("key")
            row.picture.save(known, "JPEG")
            services.update(row, actor=None)
            services.create(actor=None)
            seen = set()
            seen.add(row)
            with connection.cursor() as cursor:
                cursor.execute("SELECT nextval('number')")
                cursor.execute(ASK)
        """,
    )
    assert found(SERVICES, product) == []


def test_a_helper_that_services_call_may_write(planted_file: Callable[[str, str], Product]) -> None:
    product = planted_file(
        "apps.partners.services.planted",
        """
        from erp.services import service


        @service(requires=None)
        def close(row, *, actor):
            _end(row)
            row.save()


        def _end(row):
            _really(row)


        def _really(row):
            row.delete()
        """,
    )
    assert found(SERVICES, product) == []


def test_a_model_past_the_guard_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Partner._meta.managers[0], "_queryset_class", models.QuerySet)
    assert found(SERVICES) == ["partner.Partner: its manager objects isn't guarded"]


class _Asking(RowViewSet):
    queryset = Commodity.objects.all()
    reads = capabilities.VIEW
    suggest = lookup(lambda *, actor: {}, requires=capabilities.VIEW)


def test_a_lookup_outside_lookups_is_found(planted_route: Callable[..., Product]) -> None:
    faults = found(SERVICES, planted_route("api/v1/planted", _Asking.as_view({"post": "suggest"})))
    assert len(faults) == 1
    assert "doesn't stand in a lookups.py" in faults[0]


@pytest.mark.parametrize(
    "text",
    [
        "import httpx",
        "from requests import get",
        "from urllib import request",
        "import urllib.request",
        "def ask():\n    import socket",
        "from http.client import HTTPSConnection",
        "from importlib import import_module\nclient = import_module('aiohttp')",
    ],
)
def test_a_client_past_the_breaker_is_found(planted_file: Callable[[str, str], Product], text: str) -> None:
    faults = found(BREAKER, planted_file("apps.partners.clients.planted", text))
    assert len(faults) == 1
    assert faults[0].endswith("past erp.clients")


def test_parsing_an_address_makes_no_call(planted_file: Callable[[str, str], Product]) -> None:
    assert (
        found(BREAKER, planted_file("apps.partners.clients.planted", "from urllib.parse import urlsplit"))
        == []
    )


def test_a_client_that_calls_past_its_breaker_is_found(
    planted_file: Callable[[str, str], Product], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = found(
        BREAKER, planted_file("apps.partners.clients.planted", "def ask(client):\n    client._http.get('/')")
    )
    assert [text.partition(": ")[2] for text in faults] == [
        "apps.partners.clients.planted:2: _http calls past the breaker"
    ]
    monkeypatch.setattr(Client, "_all", dict(Client._all))

    class Planted(Client):
        __module__ = "apps.partners.clients"
        name, timeout = "planted", 1.0

        def request(self, *args: Any, **kwargs: Any) -> Any:
            return None

    assert found(BREAKER) == ["Planted: has a request() of its own, past the breaker"]


def test_a_client_without_a_timeout_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "_all", dict(Client._all))

    class Planted(Client):
        __module__ = "apps.partners.clients"
        name, timeout = "planted", 1.0

    Planted.timeout = 0
    assert found(BREAKER) == ["Planted: has no timeout"]


@pytest.mark.parametrize(
    "text",
    [
        "from google.cloud import pubsub_v1",
        "import google.cloud",
        "import grpc",
        "def tell(publisher):\n    publisher.publish('topic', b'')",
        "from erp.outbox.flush import flush",
        "from erp.outbox.publisher import Publisher",
        "from erp import services\n\n\ndef tell(event):\n    services.emit(event)",
    ],
)
def test_an_event_past_the_outbox_is_found(planted_file: Callable[[str, str], Product], text: str) -> None:
    assert len(found(OUTBOX, planted_file("apps.partners.tasks.planted", text))) == 1


def test_publishing_a_requirement_is_not_publishing_a_message(
    planted_file: Callable[[str, str], Product],
) -> None:
    text = "from apps.partners import services\n\n\ndef go(row):\n    services.publish(row, actor=None)"
    assert found(OUTBOX, planted_file("apps.partners.tasks.planted", text)) == []


def test_a_service_without_events_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.create, "emits", frozenset())
    assert found(OUTBOX) == [
        "service commodity.create: emits nothing and doesn't say why",
        "POST /api/v1/commodities: doesn't emit commodity.created as the register says",
    ]


class _Unscoped(CommodityViewSet):
    def get_queryset(self) -> Any:
        return self.queryset


class _Open(CommodityViewSet):
    pass


_Open.reads = None  # with this in its body the class could not be made


class _Plainest(ViewSet):
    queryset = models.QuerySet(Commodity)
    reads = capabilities.VIEW

    def list(self, request: Any) -> Response:
        return Response()


@pytest.mark.parametrize(
    ("view", "fault"),
    [
        (_Unscoped, "_Unscoped.get_queryset leaves out visible_to"),
        (_Open, "asks for no capability and gives no reason"),
        (_Plainest, "Commodity does not declare who may see its rows (visible_to)"),
    ],
)
def test_a_read_without_capability_or_scope_is_found(
    planted_route: Callable[..., Product], view: Any, fault: str
) -> None:
    faults = found(CAPABILITIES, planted_route("api/v1/planted", view.as_view({"get": "list"})))
    assert faults == [f"GET /api/v1/planted: {fault}"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "apps.commodities.models.planted",
            """
            from erp.access import may_enter
            class Rows:
                def visible_to(self, user):
                    return self if may_enter(user, "commodity.view") else self.none()
            """,
        ),
        (
            "apps.commodities.serializers.planted",
            """
            from erp import access
            def shows_cost(user):
                return access.may_create(user, "commodity.view")
            """,
        ),
        (
            "apps.commodities.admin.planted",
            """
            from erp import access
            class Page:
                def get_queryset(self, request):
                    return self.rows if access.may_enter(request.user, "commodity.view") else []
            """,
        ),
    ],
)
def test_a_question_without_a_row_that_chooses_rows_is_found(
    planted_file: Callable[[str, str], Product], name: str, text: str
) -> None:
    (fault,) = [fault for fault in found(CAPABILITIES, planted_file(name, text)) if "planted" in fault]
    assert "names no row: ask holds_everywhere(), may() or permitted()" in fault


def test_a_write_without_a_capability_is_found(
    planted_route: Callable[..., Product], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(CAPABILITIES, planted_route("api/v1/planted", _Plain.as_view())) == [
        "POST /api/v1/planted: asks for no capability"
    ]
    monkeypatch.setattr(services.create, "requires", None)
    faults = found(CAPABILITIES, Product(sources=sources(), urlconf="config.urls"))
    assert "service commodity.create: asks for no capability and gives no reason" in faults


def test_an_event_without_declared_readers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    meta = replace(CommodityUpdated.__event__, readers=None)
    monkeypatch.setattr(CommodityUpdated, "__event__", meta)
    assert found(CAPABILITIES, Product(sources=[])) == [
        "event commodity.updated.v1: does not declare its readers (readers=)"
    ]


def test_a_public_endpoint_without_a_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AuthViewSet.endpoints["login"], "limit", None)
    assert found(CAPABILITIES) == ["POST /api/v1/auth/login: is open to anybody without a limit of its own"]


def test_a_log_handler_past_the_mask_is_found() -> None:
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        faults = found(PERSONAL)
    finally:
        logging.getLogger().removeHandler(handler)
    assert len(faults) == 1
    assert "StreamHandler doesn't mask" in faults[0]


@pytest.mark.parametrize(
    "text",
    [
        "def tell(user):\n    print(user.email)",
        "import logging\n\nlogging.basicConfig()",
        "import logging\n\nlogging.getLogger().addHandler(None)",
        "import sys\n\nsys.stderr.write('line')",
    ],
)
def test_output_past_the_log_is_found(planted_file: Callable[[str, str], Product], text: str) -> None:
    faults = found(PERSONAL, planted_file("apps.partners.tasks.planted", text))
    assert len(faults) == 1
    assert faults[0].endswith("writes past the masked log")


def test_a_program_of_its_own_may_write_to_the_terminal(planted_file: Callable[[str, str], Product]) -> None:
    text = "import sys\n\nsys.stdout.write('line')"
    assert not found(PERSONAL, planted_file("apps.partners.planted.__main__", text))


def test_an_event_without_a_sample_or_schema_is_found(copied_docs: Path) -> None:
    (copied_docs / "events" / "commodity.created.v1.sample.json").unlink()
    (copied_docs / "events" / "commodity.updated.v1.schema.json").unlink()
    assert [text.split(": ")[:2] for text in found(VERSIONS)] == [
        ["commodity.created.v1", "commodity.created.v1.sample.json is missing"],
        ["commodity.updated.v1", "commodity.updated.v1.schema.json is missing"],
    ]


def test_an_event_that_changed_within_its_version_is_found(copied_docs: Path) -> None:
    file = copied_docs / "events" / "commodity.created.v1.schema.json"
    schema = json.loads(file.read_text())
    schema["properties"]["colour"] = {"type": "string"}
    file.write_text(json.dumps(schema))
    assert found(VERSIONS) == ["commodity.created.v1: breaking change without a new version: /colour is gone"]


def test_an_event_that_the_code_forgot_is_found(copied_docs: Path) -> None:
    (copied_docs / "events" / "commodity.retired.v1.schema.json").write_text("{}")
    assert found(VERSIONS) == ["commodity.retired.v1.schema.json: no event in the code belongs to this file"]


def test_a_foreign_exception_handler_is_found(settings: Any) -> None:
    settings.REST_FRAMEWORK = {
        **settings.REST_FRAMEWORK,
        "EXCEPTION_HANDLER": "rest_framework.views.exception_handler",
    }
    assert found(ERRORS) == ["EXCEPTION_HANDLER: is rest_framework.views.exception_handler, not ours"]


def test_a_missing_problem_middleware_is_found(settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "ProblemMiddleware" not in name]
    assert found(ERRORS) == ["MIDDLEWARE: lacks erp.api.problems.ProblemMiddleware"]


def test_a_service_that_declares_a_family_of_errors_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.create, "_raises", (*services.create.raises, Conflict))
    assert found(ERRORS) == ["service commodity.create: declares Conflict, a family of errors"]


class _OwnErrors(CommodityViewSet):
    def handle_exception(self, exc: Exception) -> Response:
        return Response({"error": str(exc)}, status=500)


@pytest.mark.parametrize(
    ("route", "view", "fault"),
    [
        ("api/v1/planted", _OwnErrors.as_view({"get": "list"}), "_OwnErrors has its own handle_exception"),
        ("api/v1/planted", _function, "config.tests.test_audit._function isn't a viewset of ours"),
        ("api/v1/planted", _Plain.as_view(), "config.tests.test_audit._Plain isn't a viewset of ours"),
    ],
    ids=["own handler", "function", "api view"],
)
def test_a_route_with_errors_of_its_own_is_found(
    planted_route: Callable[..., Product], route: str, view: Any, fault: str
) -> None:
    assert found(ERRORS, planted_route(route, view)) == [f"/{route}: {fault}"]


@pytest.mark.parametrize(
    "text",
    [
        "def mine():\n    try:\n        pass\n    except ValueError:\n        pass",
        "class Planted:\n    def handle_exception(self, exc):\n        return None",
    ],
)
def test_a_viewset_that_handles_failures_is_found(
    planted_file: Callable[[str, str], Product], text: str
) -> None:
    assert len(found(ERRORS, planted_file("apps.partners.viewsets.planted", text))) == 1


@pytest.mark.slow
def test_the_command_needs_no_server_and_finds_what_a_file_hides(tmp_path: Path) -> None:
    for name in ("erp", "apps", "config", "docs"):
        shutil.copytree(
            PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("tests", "__pycache__")
        )
    shutil.copy(PROJECT / "manage.py", tmp_path)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    env |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }

    def run() -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "manage.py", "compliance_audit", "--json"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)

    code, faults = run()
    assert (code, faults["passed"]) == (0, True)
    (tmp_path / "apps" / "partners" / "reminders.py").write_text("import httpx\n")
    code, faults = run()
    assert (code, faults["passed"]) == (1, False)
    assert [entry["violations"] for entry in faults["rules"] if entry["violations"]] == [
        ["apps.partners.reminders: apps.partners.reminders:1: imports httpx past erp.clients"]
    ]


def test_a_service_without_a_route_is_listed_with_its_other_channels() -> None:
    channels = Product(sources=sources()).channels
    assert channels["availability.expire_reservations"] == ["task expire_reservations"]
    assert "command seed_demo" in channels["account.invite"]
    assert {"POST /api/v1/availabilities/{id}/reserve", "admin availability.Availability"} <= {
        *channels["availability.reserve"]
    }
    faults = "\n".join(audit(Product(sources=sources()), []).lines())
    assert (
        "availability.expire_reservations · availability.release · availability.released · task expire_reservations"
        in faults
    )
