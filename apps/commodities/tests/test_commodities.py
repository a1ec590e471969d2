"""Commodities: fixed codes, unique names, events with old and new values."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from apps.commodities.models.commodities import Commodity
from apps.commodities.services import commodities, rules, tax
from apps.commodities.tests.examples import GOODS
from config.testing import make_ready
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
PATH = "/api/v1/commodities"


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


def test_a_commodity_starts_as_a_draft_that_partners_do_not_see(staff, user, client_for):
    made = staff.write(PATH, {"code": "COTTON", **GOODS})
    row = made.json()
    assert (made.status_code, row["status"], row["version"], made["ETag"]) == (201, "DRAFT", 1, '"1"')
    assert row["quantity_tolerance_percent"] == "5.0000"
    assert client_for(user("BUYER")).read(made["Location"]).status_code == 404
    price = make_ready(Commodity.objects.get())
    body = {**GOODS, "pricing_unit_id": str(price.pk), "status": "ACTIVE"}
    assert staff.write(made["Location"], body, method="PUT", if_match=1).status_code == 200
    assert client_for(user("BUYER")).read(made["Location"]).status_code == 200


def test_an_update_event_has_old_and_new_values(staff, assert_emitted):
    from apps.commodities.events import commodities as events

    made = staff.write(PATH, {"code": "COTTON", **GOODS})
    changed = staff.write(
        made["Location"],
        {**GOODS, "name": "Cotton lint", "quantity_tolerance_percent": "2.5"},
        method="PUT",
        if_match=1,
    )
    assert (changed.status_code, changed["ETag"]) == (200, '"2"')
    assert_emitted(
        events.CommodityUpdated,
        version=2,
        changes={
            "name": {"old": "Raw cotton", "new": "Cotton lint"},
            "quantity_tolerance_percent": {"old": "5.0000", "new": "2.5"},
        },
    )


def test_the_same_values_give_no_version_and_no_event(staff, emitted):
    made = staff.write(PATH, {"code": "COTTON", **GOODS})
    same = staff.write(made["Location"], GOODS, method="PUT", if_match=1)
    assert (same.status_code, same["ETag"]) == (200, '"1"')
    assert emitted("commodity.updated") == []


def test_put_replaces_what_is_left_out_with_its_default(staff):
    made = staff.write(PATH, {"code": "COTTON", **GOODS, "description": "Ginned."})
    changed = staff.write(made["Location"], GOODS, method="PUT", if_match=1)
    assert changed.json()["description"] == ""


def test_two_puts_on_one_version_have_one_winner(staff, user, client_for):
    made = staff.write(PATH, {"code": "COTTON", **GOODS})
    answers = [
        staff.write(made["Location"], {**GOODS, "name": f"Cotton {n}"}, method="PUT", if_match=1)
        for n in range(2)
    ]
    assert [a.status_code for a in answers] == [200, 412]
    assert answers[1]["ETag"] == '"2"'


@pytest.mark.django_db(transaction=True)
def test_of_parallel_posts_of_one_name_one_wins_and_the_others_get_409(user):
    def make(number: int) -> str:
        try:
            commodities.create(
                actor=SYSTEM, code=f"C{number}", name=f"Cotton{' ' * number} lint", category="FIBRE"
            )
            return "made"
        except (rules.Duplicate, IntegrityError):
            return "taken"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make, range(1, 9))) == ["made"] + ["taken"] * 7


def test_a_duplicate_code_or_name_is_409_with_its_field(staff):
    staff.write(PATH, {"code": "COTTON", **GOODS})
    code = staff.write(PATH, {"code": "COTTON", **GOODS, "name": "Other"})
    assert (code.status_code, code.json()["code"]) == (409, "commodity.duplicate")
    assert code.json()["errors"][0]["pointer"] == "/code"
    name = staff.write(PATH, {"code": "OTHER", **GOODS, "name": "RAW  cotton"})
    assert (name.status_code, name.json()["code"]) == (409, "commodity.duplicate")


@pytest.mark.parametrize(
    ("wrong", "status", "code", "pointer"),
    [
        ({"package_unit": None}, 422, "commodity.fields_contradict", "/package_unit"),
        ({"trade_unit": "CANDY"}, 422, "commodity.fields_contradict", "/trade_unit"),
        ({"hsn_code": "52"}, 400, "request.invalid", "/hsn_code"),
        ({"season_start_month": 13}, 400, "request.invalid", "/season_start_month"),
        ({"season_start_month": "10"}, 400, "request.invalid", "/season_start_month"),
        ({"quantity_tolerance_percent": "20.0001"}, 400, "request.invalid", "/quantity_tolerance_percent"),
        ({"quantity_tolerance_percent": 5}, 400, "request.invalid", "/quantity_tolerance_percent"),
        ({"code": "lower"}, 400, "request.invalid", "/code"),
        ({"code": "A\nB"}, 400, "request.invalid", "/code"),
        ({"name": "x"}, 400, "request.invalid", "/name"),
        ({"name": "a\u0000b"}, 400, "request.malformed", "/name"),
        ({"origin_country": "IND"}, 400, "request.invalid", "/origin_country"),
    ],
)
def test_contradictory_commodities_are_refused(staff, wrong, status, code, pointer):
    answer = staff.write(PATH, {"code": "COTTON", **GOODS, **wrong})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert Commodity.objects.count() == 0


def test_only_allowed_changes_of_status_are_possible(staff, commodity):
    row = commodity()
    path = f"{PATH}/{row.pk}"
    values = {**GOODS, "name": row.name}

    def put(**fields):
        version = Commodity.objects.get(pk=row.pk).version
        return staff.write(path, {**values, **fields}, method="PUT", if_match=version)

    assert put(status="DRAFT").json()["code"] == "commodity.illegal_transition"
    fixed = put(base_unit="G", trade_unit="G")
    assert (fixed.status_code, fixed.json()["code"]) == (409, "commodity.in_force")
    assert put(status="SUSPENDED").status_code == 200
    assert put(status="ACTIVE").status_code == 200
    assert put(status="ARCHIVED").status_code == 200
    assert put(status="ACTIVE").json()["code"] == "commodity.illegal_transition"
    assert put(description="Still here?").json()["code"] == "commodity.illegal_transition"
    version = Commodity.objects.get(pk=row.pk).version
    same = put(status="ARCHIVED")
    assert (same.status_code, same.json()["version"]) == (200, version)


def test_a_commodity_is_traded_once_it_can_be_priced_coded_and_tested(staff, user, client_for):
    body = {**GOODS, "hsn_code": None}
    made = staff.write(PATH, {"code": "LINT", **body})

    def activate(**fields):
        return staff.write(made["Location"], {**body, **fields, "status": "ACTIVE"}, method="PUT", if_match=1)

    def lacks(answer):
        assert (answer.status_code, answer.json()["code"]) == (422, "commodity.not_ready")
        return {(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]}

    price, parameter = ("/pricing_unit_id", "required"), ("/status", "no_parameter")
    assert lacks(activate()) == {price, parameter, ("/hsn_code", "required")}
    unconfirmed = ("/hsn_code", "unconfirmed")
    assert lacks(activate(hsn_code="5201")) == {price, parameter, unconfirmed}
    unit = make_ready(Commodity.objects.get())
    assert lacks(activate(hsn_code="5201", pricing_unit_id=str(unit.pk))) == {unconfirmed}
    tax.confirm_hsn_mapping(actor=user("INTERNAL_MASTERDATA"), name="raw  COTTON", hsn_code="5202")
    assert lacks(activate(hsn_code="5201", pricing_unit_id=str(unit.pk))) == {unconfirmed}
    tax.confirm_hsn_mapping(actor=user("INTERNAL_MASTERDATA"), name="raw  COTTON", hsn_code="5201")
    done = activate(hsn_code="5201", pricing_unit_id=str(unit.pk))
    assert (done.status_code, done.json()["status"]) == (200, "ACTIVE")


def test_database_constraints_refuse_invalid_rows(commodity):
    row = commodity()
    for change in (
        {"code": "lower"},
        {"package_unit": None},
        {"hsn_code": "52"},
        {"season_start_month": 13},
        {"quantity_tolerance_percent": 21},
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
            Commodity.objects.filter(pk=row.pk).update(**change)
