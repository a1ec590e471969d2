"""OpenAPI: the document of the product, the documentation of each operation, and the pages that show it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml
from django.conf import settings
from django.db import models
from django.test import Client
from django.urls import path
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.settings import patched_settings
from drf_spectacular.validation import validate_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.viewsets import GenericViewSet

from erp import errors
from erp.api import fields, testing
from erp.api.docs import RedocView, SwaggerView
from erp.api.examples import SAMPLE_ID
from erp.api.serializers import Input, LookupOutput, Output
from erp.files import CSV, JPEG, PDF, PNG, XLSX
from erp.models import Model

pytestmark = pytest.mark.xdist_group("schema")  # one worker makes the document


class Spindle(Model):
    """A row that no table holds."""

    number = models.CharField(max_length=20)
    status = models.CharField(max_length=10, choices=[("IDLE", "Idle"), ("BUSY", "Busy")])
    speed = models.DecimalField(max_digits=6, decimal_places=2)
    twin = models.ForeignKey("self", models.PROTECT, null=True)

    class Meta(Model.Meta):
        app_label = "erp_tests_schema"
        managed = False


class SpeedInput(Input):
    speed = fields.DecimalField(6, 2, min_value=Decimal(0))
    shift = fields.DecimalField(4, 4, required=False)
    note = fields.CharField(max_length=20, required=False, allow_null=True)
    twin = fields.RowField(Spindle, required=False)


class NothingInput(Input):
    """No body."""


class SpindleOutput(Output):
    class Meta:
        model = Spindle
        fields = ("number", "speed", "twin_id")

    masked = ("speed",)


class AdviceOutput(LookupOutput):
    speed = fields.DecimalField(6, 2)


class TooFast(errors.RuleBroken):
    """The spindle can't turn that fast."""

    code = "spindle.too_fast"


def endpoint_with(**options: Any) -> Any:
    usual: dict[str, Any] = {
        "kind": "change",
        "input": NothingInput,
        "output": None,
        "status": 200,
        "otherwise": {},
        "if_match": "none",
        "secret": False,
        "idempotent": True,
        "anonymous": False,
        "raises": (),
        "service": None,
        "examples": [],
        "doc": "Do it.",
    }
    return SimpleNamespace(**{**usual, **options})


ENDPOINTS = {
    "create": endpoint_with(
        input=SpeedInput,
        status=201,
        raises=(TooFast,),
        doc="Put up a spindle. It starts idle.\n\n    And stays so for a while.\n    ",
        examples=[{"name": "slow", "request": {"speed": "1.00"}, "response": {"number": "S1"}}],
    ),
    "update": endpoint_with(input=SpeedInput, if_match="required"),
    "stop": endpoint_with(
        if_match="optional",
        service=SimpleNamespace(jobs=[SimpleNamespace(raises=(TooFast,))], reauthenticate=False),
    ),
    "advise": endpoint_with(kind="lookup", input=SpeedInput, output=AdviceOutput),
    "enter": endpoint_with(kind="exempt", idempotent=False, anonymous=True, secret=True, output=AdviceOutput),
}


class SpindleViewSet(GenericViewSet):
    """Spindles and how fast they turn."""

    queryset = Spindle.objects.all()
    serializer_class = SpindleOutput
    filters: ClassVar = {"status": ["exact", "in"], "speed": ["gte"]}
    ordering_fields: ClassVar = ["created_at", "speed"]
    search_fields: ClassVar = ["number"]
    count_exact = True

    def endpoint_for(self, name: str | None) -> Any:
        return ENDPOINTS.get(name or "")

    def get_authenticators(self) -> list[Any]:
        own = self.endpoint_for(self.action)
        return [] if own is not None and own.anonymous else [object()]

    @property
    def throttle_class_name(self) -> str:
        return "read" if self.endpoint_for(self.action) is None else "write"

    @property
    def capability(self) -> str | None:
        return None if self.action == "enter" else f"spindle.{self.action}"

    def list(self, request: Any) -> Any: ...
    def retrieve(self, request: Any, pk: Any) -> Any: ...
    def create(self, request: Any) -> Any: ...
    def update(self, request: Any, pk: Any) -> Any: ...
    def stop(self, request: Any, pk: Any) -> Any: ...
    def advise(self, request: Any) -> Any: ...
    def enter(self, request: Any) -> Any: ...


def bound(**actions: str) -> Any:
    return SpindleViewSet.as_view(actions, basename="spindle")


urlpatterns = [
    path("api/v1/spindles", bound(get="list", post="create")),
    path("api/v1/spindles/<uuid:pk>", bound(get="retrieve", put="update")),
    path("api/v1/spindles/<uuid:pk>/stop", bound(post="stop")),
    path("api/v1/spindles/advise", bound(post="advise")),
    path("api/v1/spindles/enter", bound(post="enter")),
    path("api/schema", SpectacularAPIView.as_view(urlconf=__name__), name="schema"),
    path("api/docs", SwaggerView.as_view()),
    path("api/redoc", RedocView.as_view()),
]


@contextmanager
def no_warnings() -> Iterator[None]:
    """Fail on any warning of drf-spectacular."""
    GENERATOR_STATS.reset()
    with patched_settings({"POSTPROCESSING_HOOKS": []}):
        yield
    grumbles = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    assert grumbles == []


def generate(urlconf: str | None) -> Any:
    with no_warnings():
        schema = SchemaGenerator(urlconf=urlconf).get_schema(request=None, public=True)
    validate_schema(schema)
    return schema


@pytest.fixture(scope="module")
def document() -> Any:
    return generate(__name__)


def operation(document: Any, identifier: str) -> Any:
    found = [
        part
        for methods in document["paths"].values()
        for part in methods.values()
        if part["operationId"] == identifier
    ]
    assert len(found) == 1
    return found[0]


def follow(document: Any, part: Any) -> Any:
    while "$ref" in part:
        where = part["$ref"].removeprefix("#/").split("/")
        part = document
        for step in where:
            part = part[step]
    return part


def parameters(part: Any) -> dict[str, Any]:
    return {f"{each['in']} {each['name']}": each for each in part.get("parameters", [])}


def codes(document: Any, part: Any) -> dict[str, list[str]]:
    return {
        status: follow(document, answer)["x-problem-codes"]
        for status, answer in part["responses"].items()
        if int(status) >= 400
    }


@pytest.fixture(scope="module")
def product() -> Any:
    return generate(None)


def test_the_product_s_document_is_valid_and_made_without_a_warning(product):
    assert product["openapi"].startswith("3.1")
    assert product["paths"]


def test_every_operation_says_what_it_does_and_what_can_go_wrong(product):
    identifiers = []
    for route, methods in product["paths"].items():
        for method, part in methods.items():
            identifiers.append(part["operationId"])
            assert part["summary"], route
            assert part["x-rate-limit-class"], route
            assert {"400", "406", "429", "500", "503"} <= set(part["responses"]), (route, method)
            for status, answer in part["responses"].items():
                content = set(follow(product, answer).get("content", {}))
                assert content <= (
                    {"application/problem+json"}
                    if int(status) >= 400
                    else {"application/json", CSV, XLSX, PDF, JPEG, PNG}
                )
    assert len(identifiers) == len(set(identifiers))


def test_every_reported_code_has_its_page(product):
    from erp.api.problems import problem_kinds

    part = {
        code
        for methods in product["paths"].values()
        for each in methods.values()
        for listed in codes(product, each).values()
        for code in listed
    }
    assert part <= set(problem_kinds())


# Numbers, booleans and nulls of YAML 1.2's core schema.
_YAML_12 = re.compile(
    r"|~|null|Null|NULL|true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


def nodes(schema: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every object of a JSON document with the path to it."""
    if isinstance(schema, dict):
        yield at, schema
    children = (
        enumerate(schema) if isinstance(schema, list) else schema.items() if isinstance(schema, dict) else ()
    )
    for name, child in children:
        yield from nodes(child, (*at, str(name)))


def operations(document: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for route, methods in document["paths"].items():
        for method, described in methods.items():
            yield ("paths", route, method), described


def misread(text: str) -> list[str]:
    """Strings that a YAML 1.2 reader takes for something else."""
    resolve = yaml.SafeLoader("").resolve
    return [
        event.value
        for event in yaml.parse(text, Loader=yaml.CSafeLoader)
        if isinstance(event, yaml.ScalarEvent)
        and not event.style
        and resolve(yaml.ScalarNode, event.value, (True, False)) == "tag:yaml.org,2002:str"
        and _YAML_12.fullmatch(event.value)
    ]


def test_the_document_names_its_server_and_license(product):
    assert [server["url"] for server in product["servers"]] == ["/"]
    assert product["info"]["license"]["name"]


def test_every_operation_states_whether_sign_in_is_required(product):
    for place, described in operations(product):
        assert described.get("security") in ([], [{"bearer": []}]), place


def test_strings_that_look_like_numbers_are_quoted_in_yaml():
    texts = [
        "08",
        "09",
        "0o17",
        "1e5",
        "1E5",
        "2.5e3",
        ".5",
        "+.5",
        "-1",
        "5201",
        "1_000",
        "no",
        "2026-01-12",
    ]
    written = OpenApiYamlRenderer().render({"enum": texts, "number": 8, "ratio": 0.5}).decode()
    assert misread(written) == []
    assert yaml.safe_load(written) == {"enum": texts, "number": 8, "ratio": 0.5}
    assert "number: 8\n" in written
    assert misread("- 08\n- 1e5\n- 'a'\n- 7\n") == ["08", "1e5"]


def test_the_committed_document_reads_the_same_in_yaml_1_1_and_1_2():
    assert misread((settings.BASE_DIR / "docs" / "openapi.yaml").read_text(encoding="utf-8")) == []


def test_values_of_an_enum_have_the_type_of_their_schema(product):
    types = {"string": str, "integer": int, "boolean": bool, "null": type(None)}
    for place, schema in nodes(product):
        if isinstance(schema.get("enum"), list) and "type" in schema:
            named = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
            allowed = {types[name] for name in named}
            assert {type(value) for value in schema["enum"]} <= allowed, place


def test_request_bodies_refuse_undeclared_members(product):
    open_objects, bodies = [], 0
    for place, described in operations(product):
        waiting = [
            content["schema"] for content in described.get("requestBody", {}).get("content", {}).values()
        ]
        bodies += len(waiting)
        while waiting:
            for _, schema in nodes(follow(product, waiting.pop())):
                if "$ref" in schema:
                    waiting.append(schema)
                if (schema.get("type") == "object" or "properties" in schema) and (
                    "additionalProperties" not in schema
                ):
                    open_objects.append((place, schema))
    assert bodies > 50
    assert open_objects == []


def test_every_example_fits_its_schema():
    checked = 0
    for place, holder in nodes(testing.document()):
        if "schema" in holder and "examples" in holder:
            for example in holder["examples"].values():
                assert testing.deviations_of(example["value"], *place, "schema") == [], place
                checked += 1
        is_schema = isinstance(holder.get("type"), str | list) and "in" not in holder
        for example in [
            *([holder["example"]] if "example" in holder else []),
            *(holder["examples"] if isinstance(holder.get("examples"), list) else []),
        ]:
            if is_schema:
                assert testing.deviations_of(example, *place) == [], place
                checked += 1
    assert checked > 50


def test_a_sample_id_appears_only_where_an_id_is_expected():
    def is_id(name: str) -> bool:
        return name.endswith(("_id", "_ids"))

    for place, described in operations(testing.document()):
        for content in described.get("requestBody", {}).get("content", {}).values():
            for example in content.get("examples", {}).values():
                for at, holder in nodes(example["value"]):
                    misplaced = [
                        name for name, value in holder.items() if value == SAMPLE_ID and not is_id(name)
                    ]
                    assert misplaced == [], (place, at)


def test_what_can_refuse_the_rows_of_a_job_is_described(document):
    assert (
        "A row of the job can be refused with `spindle.too_fast`."
        in operation(document, "spindle_stop")["description"]
    )
    assert "refused" not in operation(document, "spindle_update")["description"]


def test_words_come_from_the_service_s_docstring(document):
    part = operation(document, "spindle_create")
    assert part["summary"] == "Put up a spindle"
    assert part["description"] == (
        "It starts idle.\n\nAnd stays so for a while.\n\nNeeds the capability `spindle.create`."
    )
    assert operation(document, "spindle_list")["summary"] == "List spindles"
    assert operation(document, "spindle_retrieve")["summary"] == "Read one spindle"


def test_a_write_requires_key_and_version_as_declared(document):
    key, version = "header Idempotency-Key", "header If-Match"
    assert parameters(operation(document, "spindle_create"))[key]["required"] is True
    assert version not in parameters(operation(document, "spindle_create"))
    assert parameters(operation(document, "spindle_update"))[version]["required"] is True
    assert parameters(operation(document, "spindle_stop"))[version].get("required", False) is False
    assert key in parameters(operation(document, "spindle_advise"))
    assert key not in parameters(operation(document, "spindle_enter"))
    assert key not in parameters(operation(document, "spindle_list"))


def test_a_write_documents_its_own_problems_and_the_shared_ones(document):
    part = codes(document, operation(document, "spindle_create"))
    assert part["422"] == ["idempotency.key_reused", "spindle.too_fast"]
    assert part["403"] == ["capability.missing"]
    assert part["409"] == ["idempotency.in_progress"]
    assert "404" not in part
    assert "412" not in part
    part = codes(document, operation(document, "spindle_update"))
    assert (part["404"], part["412"], part["428"]) == (
        ["resource.not_found"],
        ["precondition.failed"],
        ["precondition.required"],
    )
    assert "428" not in codes(document, operation(document, "spindle_stop"))


def test_a_lookup_stores_nothing_so_it_can_not_be_replayed(document):
    part = operation(document, "spindle_advise")
    assert "409" not in codes(document, part)
    assert "422" not in codes(document, part)
    assert not {"ETag", "Idempotency-Replayed"} & set(part["responses"]["200"]["headers"])


def test_a_public_endpoint_needs_no_sign_in(document):
    part = operation(document, "spindle_enter")
    assert part["security"] == []
    assert "401" not in codes(document, part)
    assert operation(document, "spindle_create")["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_responses_document_their_headers(document):
    every = {"X-Request-ID", "RateLimit", "RateLimit-Policy"}
    created = operation(document, "spindle_create")["responses"]["201"]["headers"]
    assert set(created) == every | {"ETag", "Location", "Idempotency-Replayed"}
    assert set(operation(document, "spindle_list")["responses"]["200"]["headers"]) == every | {"Link"}
    read = operation(document, "spindle_retrieve")
    assert "ETag" in read["responses"]["200"]["headers"]
    assert "ETag" in read["responses"]["304"]["headers"]
    assert "header If-None-Match" in parameters(read)
    for status in ("429", "503"):
        refusal = follow(document, operation(document, "spindle_create")["responses"][status])
        assert set(refusal["headers"]) == every | {"Retry-After"}
    stale = follow(document, operation(document, "spindle_update")["responses"]["412"])
    assert "ETag" in stale["headers"]


def test_a_list_documents_its_parameters(document):
    part = parameters(operation(document, "spindle_list"))
    assert {name.removeprefix("query ") for name in part} == {
        "status", "status__in", "speed__gte", "search", "ordering", "updated_after",
        "limit", "cursor", "count",
    }  # fmt: skip
    assert part["query status"]["schema"]["enum"] == ["IDLE", "BUSY"]
    assert part["query status__in"]["explode"] is False
    assert part["query ordering"]["schema"]["items"]["enum"] == [
        "created_at",
        "-created_at",
        "speed",
        "-speed",
    ]
    assert not [
        name for name in parameters(operation(document, "spindle_retrieve")) if name.startswith("query")
    ]


def test_a_list_answers_the_envelope(document):
    content = operation(document, "spindle_list")["responses"]["200"]["content"]["application/json"]
    envelope = follow(document, content["schema"])
    assert envelope["required"] == ["results", "next", "previous"]
    assert follow(document, envelope["properties"]["results"]["items"])["properties"]["number"]


def test_bodies_document_the_accepted_values(document):
    body = operation(document, "spindle_create")["requestBody"]["content"]["application/json"]
    part = follow(document, body["schema"])["properties"]
    speed, shift = re.compile(part["speed"]["pattern"]), re.compile(part["shift"]["pattern"])
    for text in ("0", "9999.99", "10", "-1", "007", "1e2", "1.234", "10000", "", "1.", ".5"):
        field = fields.DecimalField(6, 2, min_value=Decimal(0))
        try:
            field.run_validation(text)
            taken = True
        except fields.ValidationError:
            taken = False
        assert bool(speed.search(text)) is taken, text
    assert [bool(shift.search(text)) for text in ("0.1234", "-0.5", "1.0", "0.12345")] == [
        True,
        True,
        False,
        False,
    ]
    assert follow(document, body["schema"])["additionalProperties"] is False
    assert part["note"]["type"] == ["string", "null"]
    assert part["twin"]["format"] == "uuid"
    assert "requestBody" not in operation(document, "spindle_stop")


def test_a_row_in_answers_has_what_every_row_has(document):
    content = operation(document, "spindle_retrieve")["responses"]["200"]["content"]["application/json"]
    row = follow(document, content["schema"])
    assert list(row["properties"]) == [
        "id", "version", "status", "number", "speed", "twin_id",
        "created_at", "updated_at", "allowed_actions", "links",
    ]  # fmt: skip
    assert row["properties"]["twin_id"]["format"] == "uuid"
    assert row["properties"]["speed"]["type"] == ["string", "null"]
    assert row["properties"]["number"]["type"] == "string"
    assert set(row["required"]) == set(row["properties"])


def test_examples_of_the_tests_are_in_the_document(document):
    part = operation(document, "spindle_create")
    assert part["requestBody"]["content"]["application/json"]["examples"]["Slow"]["value"] == {
        "speed": "1.00"
    }
    assert part["responses"]["201"]["content"]["application/json"]["examples"]["Slow"]["value"] == {
        "number": "S1"
    }


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("page", ["/api/docs", "/api/redoc"])
def test_the_pages_load_from_this_server_alone(page):
    response = Client().get(page, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = response.content.decode()
    assert "/api/schema" in text
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", text)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded), loaded
    assert "default-src 'self'" in response["Content-Security-Policy"]


@pytest.mark.urls(__name__)
def test_the_document_is_served_as_yaml_or_json():
    with no_warnings():
        assert Client().get("/api/schema")["Content-Type"].startswith("application/vnd.oai.openapi")
        response = Client().get("/api/schema", headers={"Accept": "application/json"})
    assert response.json()["openapi"].startswith("3.1")
    refused = Client().get("/api/schema", headers={"Accept": "text/html"})
    assert (refused.status_code, refused["Content-Type"]) == (406, "application/problem+json")
