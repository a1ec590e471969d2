"""A dry run checks everything, returns the expected response, and changes nothing."""

import re
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.db import connection

from apps.commodities.models.commodities import Commodity
from apps.organization.models import AllocatedNumber
from config.tests.test_contract import (
    play,
    routes,
    status_and_code,
    stored,
    writes,
)
from erp.access import SYSTEM
from erp.api.viewsets import ViewSet
from erp.idempotency.models import Record
from erp.services import dry_run, next_value

__all__ = ["play"]  # the fixture
pytestmark = pytest.mark.django_db
JUTE = {"code": "JUTE", "name": "Jute", "category": "FIBRE"}


def test_each_number_of_a_dry_run_is_another_and_none_is_used_up():
    def numbers() -> list[int]:
        with dry_run(SYSTEM):
            return [next_value("availability_number") for _ in range(3)]

    first, *others = numbers()
    assert others == [first + 1, first + 2]
    assert numbers()[0] == first == next_value("availability_number")


def test_a_dry_run_waits_for_locks_as_long_as_a_request(settings):
    settings.LOCK_TIMEOUT = "1234ms"
    with dry_run(SYSTEM, timeout="77s"), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('transaction_timeout')")
        assert cursor.fetchone() == ("1234ms", "77s")


@pytest.mark.parametrize("query", ["limit=1", "dry_run=true&dry_run=true", "dry_run=True", "dry_run="])
def test_a_dry_run_is_asked_for_once_and_in_two_words(user, client_for, query):
    answer = client_for(user("INTERNAL_MASTERDATA")).write(f"/api/v1/commodities?{query}", JUTE)
    code = "request.invalid" if "dry_run" in query else "request.unknown_field"
    assert status_and_code(answer) == (400, code)
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"/query/{query.partition('=')[0]}"]


def test_it_is_offered_by_changes_unless_an_answer_or_a_refusal_must_leave_a_trace():
    for param in writes():
        path, _, endpoint = param.values
        wanted = endpoint.kind == "change" and not endpoint.secret and not endpoint.service.commits_refusals
        assert endpoint.dry_run == wanted, path
    offering = {param.values[0] for param in writes() if param.values[2].dry_run}
    assert "/api/v1/commodities" in offering
    for path in (
        "/api/v1/availabilities/<uuid:pk>/reserve",
        "/api/v1/auth/change-password",
        "/api/v1/auth/mfa/confirm",
        "/api/v1/auth/login",
        "/api/v1/auth/register",
        "/api/v1/locations/search",
    ):
        assert path not in offering


def test_a_refusal_is_the_one_that_the_write_would_get(user, client_for, commodity):
    client, cotton = client_for(user("INTERNAL_MASTERDATA")), commodity()
    before = stored()
    taken = client.write("/api/v1/commodities?dry_run=true", {**JUTE, "code": cotton.code})
    assert taken.status_code == 409
    assert (
        taken.json()["code"]
        == client.write("/api/v1/commodities", {**JUTE, "code": cotton.code}).json()["code"]
    )
    stale = client.write(
        f"/api/v1/commodities/{cotton.pk}?dry_run=true",
        {"name": "Other", "category": "FIBRE"},
        method="PUT",
        if_match=99,
    )
    assert status_and_code(stale) == (412, "precondition.failed")
    assert stored() == before


def test_a_key_belongs_to_the_write_that_was_executed_with_it(user, client_for):
    client, key = client_for(user("INTERNAL_MASTERDATA")), uuid4().hex
    for _ in range(2):
        assert client.write("/api/v1/commodities?dry_run=true", JUTE, key=key).status_code == 200
    assert not Record.objects.exists()
    assert client.write("/api/v1/commodities", JUTE, key=key).status_code == 201
    assert status_and_code(client.write("/api/v1/commodities?dry_run=true", JUTE, key=key)) == (
        422,
        "idempotency.key_reused",
    )
    assert client.write("/api/v1/commodities", JUTE, key=key)["Idempotency-Replayed"] == "true"


def test_false_carries_the_write_out(user, client_for):
    client = client_for(user("INTERNAL_MASTERDATA"))
    assert client.write("/api/v1/commodities?dry_run=false", JUTE).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_nothing_is_woken_or_queued(user, client_for, commodity, monkeypatch):
    client, cotton = client_for(user("INTERNAL_MASTERDATA")), commodity()
    wake = Mock()
    monkeypatch.setattr("erp.outbox.flush.wake", wake)
    assert client.write("/api/v1/commodities?dry_run=true", JUTE).status_code == 200
    assert not wake.called
    assert not Commodity.objects.filter(code="JUTE").exists()
    assert client.write("/api/v1/commodities", JUTE).status_code == 201
    assert wake.called
    assert cotton.pk


def test_a_number_is_shown_and_not_used_up(play):
    path, method, endpoint = next(
        param.values for param in writes() if "next-document-number" in param.values[0]
    )
    played = play(path, method, endpoint)
    before = list(AllocatedNumber.objects.values_list("pk", flat=True))
    numbers = [played.send(query="dry_run=true").json()["number"] for _ in range(2)]
    assert list(AllocatedNumber.objects.values_list("pk", flat=True)) == before
    assert [*numbers, played.send().json()["number"]] == [numbers[0]] * 3
    assert AllocatedNumber.objects.count() == len(before) + 1


def further_reads() -> list[Any]:
    """Every GET that isn't a list: rows, parts of rows, downloads."""
    return [
        pytest.param(path, id=path)
        for path, view in routes()
        if (cls := getattr(view, "cls", None)) is not None
        and issubclass(cls, ViewSet)
        and view.actions.get("get") not in (None, "list")
    ]


@pytest.mark.parametrize("path", further_reads())
def test_a_read_refuses_parameters_that_it_does_not_take(user, client_for, path):
    client = client_for(user())
    for query in ("surprise=1", "dry_run=true", "limit=1"):
        answer = client.read(re.sub(r"<\w+:\w+>", str(uuid4()), path) + f"?{query}")
        assert status_and_code(answer) == (400, "request.unknown_field")
        assert answer.json()["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


@pytest.mark.parametrize(
    "path", ["/api/schema", "/api/docs", "/api/redoc", "/api/problems", "/api/problems/request.invalid"]
)
@pytest.mark.parametrize("query", ["surprise=1", "format=json", "lang=en&lang=hi"])
def test_a_page_of_the_api_refuses_parameters(client, path, query):
    answer = client.get(f"{path}?{query}", headers={"Accept": "*/*"})
    assert status_and_code(answer) == (400, "request.unknown_field")


def test_a_row_is_not_found_by_a_filter_of_its_list(user, client_for, commodity):
    client, cotton = client_for(user("INTERNAL_MASTERDATA")), commodity()
    path = f"/api/v1/commodities/{cotton.pk}"
    assert client.read(path).status_code == 200
    assert status_and_code(client.read(f"{path}?category=GRAIN")) == (400, "request.unknown_field")
