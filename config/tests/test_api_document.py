"""The API's document is written for integrators: complete, and its commands work as they stand."""

import re
import subprocess
from typing import Any

import pytest
import yaml
from django.conf import settings

from config.api_document import INTRODUCTION
from config.testing import PASSWORD, totp_code

ENGINEERS = re.compile(r"\bRaises\b|``|:class:|\bqueryset\b|\bserializer\b|one's own|The body of a request\.")


@pytest.fixture(scope="module")
def document() -> Any:
    text = (settings.BASE_DIR / "docs" / "openapi.yaml").read_text()
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def fields(document: Any) -> list[tuple[str, str, Any]]:
    schemas = document["components"]["schemas"].items()
    return [
        (name, field, part)
        for name, schema in schemas
        for field, part in (schema.get("properties") or {}).items()
        if "$ref" not in part
    ]


def operations(document: Any) -> list[Any]:
    return [part for item in document["paths"].values() for part in item.values() if "responses" in part]


def test_every_field_has_a_description(document):
    assert [(name, field) for name, field, part in fields(document) if not part.get("description")] == []


def test_nearly_every_simple_field_shows_a_value(document):
    simple = [part for _, _, part in fields(document) if part.get("type") in ("string", "integer", "boolean")]
    shown = [part for part in simple if {"examples", "default"} & part.keys()]
    assert len(shown) / len(simple) > 0.95


def test_every_operation_has_a_summary_a_description_and_a_described_area(document):
    areas = {tag["name"] for tag in document["tags"] if tag["description"]}
    for operation in operations(document):
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]
        assert set(operation["tags"]) <= areas, operation["operationId"]


def test_no_text_is_for_engineers_only(document):
    texts = [part["description"] for _, _, part in fields(document)]
    texts += [schema.get("description", "") for schema in document["components"]["schemas"].values()]
    texts += [f"{operation['summary']} {operation['description']}" for operation in operations(document)]
    assert [text for text in texts if ENGINEERS.search(text)] == []


@pytest.mark.django_db(transaction=True)
def test_the_commands_of_getting_started_work_as_they_stand(live_server, user):
    person = user("INTERNAL", "INTERNAL_MASTERDATA")
    blocks = re.findall(r"```sh\n(.*?)```", INTRODUCTION, re.S)
    script = "\necho\necho ---\n".join(blocks)
    for shown, actual in {
        "http://127.0.0.1:8000": live_server.url,
        "masterdata@demo.example": person.email,
        "demo only: grants every role": PASSWORD,
        "CODE=123456": f"CODE={totp_code()}",
    }.items():
        assert shown in script
        script = script.replace(shown, actual)
    run = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=True)
    _, _, listed, created, retried, refused, events = run.stdout.split("---\n")
    assert '"results":' in listed
    assert created.startswith("HTTP/1.1 201")
    assert retried.startswith("HTTP/1.1 201")
    assert "Idempotency-Replayed: true" in retried
    assert created.split("\n\n")[1] == retried.split("\n\n")[1]  # the body
    assert '"code":"request.invalid"' in refused
    assert '"next":' in events
