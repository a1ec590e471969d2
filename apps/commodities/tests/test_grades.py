"""Grades: ranked, one of them the basis, worth a percent or money more or less than it."""

from decimal import Decimal

import pytest

from apps.commodities.events import grades as events
from apps.commodities.models.grades import Grade
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.services import units as services
from apps.commodities.tests.examples import FINE, measured
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
PATH = "/api/v1/grades"


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


@pytest.fixture
def cotton(commodity):
    return commodity()


@pytest.fixture
def add(staff, cotton):
    def send(**fields):
        return staff.write(PATH, {"commodity_id": str(cotton.pk), "code": "FINE", **FINE, **fields})

    return send


@pytest.fixture
def candy(db):
    unit = services.create_unit(actor=SYSTEM, code="CANDY", dimension="MASS", symbol="candy", name="Candy")
    with unguarded_writes():
        row = PricingUnit(code="INR/CANDY", currency="INR", unit=unit, places=2)
        row.save()
    return row


def code_of(answer):
    return (
        answer.status_code,
        answer.json()["code"],
        [fault["pointer"] for fault in answer.json().get("errors", [])],
    )


def test_a_new_grade_is_an_event_in_the_stream_of_its_commodity(add, cotton, assert_emitted):
    made = add()
    row = made.json()
    assert (made.status_code, row["difference"], row["limits"]) == (201, "1.500000", []), made.content
    assert_emitted(
        events.GradeAdded,
        commodity_id=str(cotton.pk),
        grade_id=row["id"],
        code="FINE",
        rank=2,
        is_basis=False,
    )


def test_code_and_rank_of_a_grade_are_unique_within_the_commodity(add, commodity):
    assert add().status_code == 201
    assert code_of(add(rank=3))[:2] == (409, "commodity.duplicate")
    assert code_of(add(code="GOOD"))[:2] == (409, "commodity.duplicate")
    assert add(code="GOOD", rank=3).status_code == 201
    assert add(commodity_id=str(commodity().pk)).status_code == 201


def test_a_second_basis_is_refused(add):
    basis = {"is_basis": True, "difference_kind": "NONE", "difference": None}
    assert add(**basis).status_code == 201
    assert code_of(add(**basis, code="GOOD", rank=3))[:2] == (409, "commodity.second_basis")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"difference": None}, "/difference"),
        ({"difference_kind": "NONE"}, "/difference"),
        ({"difference_kind": "MONEY"}, "/pricing_unit_id"),
        ({"is_basis": True}, "/difference_kind"),
    ],
)
def test_a_difference_must_match_its_kind(add, fields, pointer):
    assert code_of(add(**fields)) == (422, "commodity.fields_contradict", [pointer])


def test_money_is_per_pricing_unit(add, candy):
    made = add(difference_kind="MONEY", difference="-1250", pricing_unit_id=str(candy.pk))
    assert (made.status_code, made.json()["pricing_unit_id"]) == (201, str(candy.pk))
    percent = add(code="GOOD", rank=3, pricing_unit_id=str(candy.pk))
    assert code_of(percent) == (422, "commodity.fields_contradict", ["/pricing_unit_id"])


def test_limits_are_within_the_possible_range_of_the_parameter(add, cotton):
    measured(cotton)
    trash = cotton.quality_parameters.get(code="trash")
    row = {"parameter_id": str(trash.pk), "high": "3.5"}
    assert code_of(add(limits=[{**row, "high": "15.1"}])) == (
        422,
        "commodity.outside_possible",
        ["/limits/0/high"],
    )
    assert code_of(add(limits=[{**row, "low": "4"}])) == (
        422,
        "commodity.limits_inverted",
        ["/limits/0/high"],
    )
    made = add(limits=[row])
    assert made.json()["limits"] == [{"parameter_id": str(trash.pk), "low": None, "high": "3.500000"}]


def test_an_update_event_has_old_and_new_values_and_equal_values_emit_none(
    add, staff, emitted, assert_emitted
):
    path = add()["Location"]
    same = staff.write(path, {**FINE, "difference": "1.50", "status": "ACTIVE"}, method="PUT", if_match=1)
    assert (same.status_code, same["ETag"], emitted("commodity.grade.updated")) == (200, '"1"', [])
    answer = staff.write(path, {**FINE, "rank": 1, "status": "ARCHIVED"}, method="PUT", if_match=1)
    assert answer.status_code == 200
    assert_emitted(
        events.GradeUpdated,
        version=2,
        changes={"rank": {"old": 2, "new": 1}, "status": {"old": "ACTIVE", "new": "ARCHIVED"}},
    )


def test_partners_read_grades_and_write_none(add, cotton, user, client_for):
    made = add().json()
    buyer = client_for(user("BUYER"))
    parts = buyer.read(f"/api/v1/commodities/{cotton.pk}/grades").json()["results"]
    assert [row["links"]["self"] for row in parts] == [f"{PATH}/{made['id']}"]
    answer = buyer.write(PATH, {})
    assert (answer.status_code, answer.json()["capability"]) == (403, "commodity.manage_specifications")


def test_the_database_refuses_a_basis_with_a_difference(add):
    from django.db import IntegrityError, transaction

    add()
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        Grade.objects.update(is_basis=True, difference=Decimal(1))
