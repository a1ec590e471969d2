"""Varieties: one name, one variety; at most one standard; events in the commodity's stream."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from apps.commodities.events import varieties as events
from apps.commodities.models.varieties import Variety
from apps.commodities.services import varieties as services
from apps.commodities.tests.examples import VARIETY
from erp.access import SYSTEM

pytestmark = pytest.mark.django_db
PATH = "/api/v1/varieties"


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


@pytest.fixture
def cotton(commodity):
    return commodity()


def test_a_new_variety_is_an_event_in_the_stream_of_its_commodity(staff, cotton, assert_emitted):
    made = staff.write(PATH, {"commodity_id": str(cotton.pk), "code": "SHANKAR-6", **VARIETY})
    row = made.json()
    assert (made.status_code, row["status"], row["version"]) == (201, "ACTIVE", 1), made.content
    assert made["Location"] == f"{PATH}/{row['id']}"
    assert row["aliases"] == ["S-6", "ICS-105"]
    assert_emitted(events.VarietyAdded, commodity_id=str(cotton.pk), variety_id=row["id"], code="SHANKAR-6")


def test_an_update_event_has_old_and_new_values_and_equal_values_emit_none(
    staff, cotton, emitted, assert_emitted
):
    made = staff.write(PATH, {"commodity_id": str(cotton.pk), "code": "SHANKAR-6", **VARIETY})
    path = made["Location"]
    same = staff.write(path, {**VARIETY, "status": "ACTIVE"}, method="PUT", if_match=1)
    assert (same.status_code, same["ETag"]) == (200, '"1"')
    assert emitted("commodity.variety.updated") == []
    less = staff.write(path, {"name": "Shankar-6", "status": "ARCHIVED"}, method="PUT", if_match=1)
    assert (less.status_code, less.json()["aliases"], less.json()["is_standard"]) == (200, [], False)
    assert_emitted(
        events.VarietyUpdated,
        version=2,
        changes={
            "aliases": {"old": ["S-6", "ICS-105"], "new": []},
            "is_standard": {"old": True, "new": False},
            "status": {"old": "ACTIVE", "new": "ARCHIVED"},
        },
    )


def test_code_name_and_alias_of_a_variety_are_unique_within_the_commodity(staff, cotton, commodity):
    first = {"commodity_id": str(cotton.pk), "code": "SHANKAR-6", **VARIETY}
    staff.write(PATH, first)
    other = {**first, "is_standard": False, "aliases": []}
    for taken in (
        {"name": "Other"},
        {"code": "X", "name": "shankar-6"},
        {"code": "X", "name": "Other", "aliases": ["s-6"]},
    ):
        answer = staff.write(PATH, {**other, **taken})
        assert (answer.status_code, answer.json()["code"]) == (409, "commodity.duplicate"), taken
    assert staff.write(PATH, {**other, "commodity_id": str(commodity().pk)}).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_twenty_parallel_posts_of_one_alias_in_other_spellings_one_is_stored(user, commodity, client_for):
    cotton, people = commodity(), [user("INTERNAL_MASTERDATA") for _ in range(20)]
    spellings = ("ICS 105", "ics 105", "ICS  105", "ＩＣＳ 105")

    def send(place):
        try:
            row = {"code": f"V-{place}", "name": f"Variety {place}", "aliases": [spellings[place % 4]]}
            return client_for(people[place]).write(PATH, {"commodity_id": str(cotton.pk), **row}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(send, range(20)))
    assert statuses == [201] + [409] * 19
    assert Variety.objects.count() == 1


def test_a_second_standard_is_refused(staff, cotton):
    staff.write(PATH, {"commodity_id": str(cotton.pk), "code": "SHANKAR-6", **VARIETY})
    body = {"commodity_id": str(cotton.pk), "code": "J-34", "name": "J-34", "is_standard": True}
    answer = staff.write(PATH, body)
    assert (answer.status_code, answer.json()["code"]) == (409, "commodity.second_standard")
    assert Variety.objects.count() == 1


def test_an_archived_commodity_gets_no_new_rows(staff, cotton, commodity):
    path = f"/api/v1/commodities/{cotton.pk}"
    row = staff.read(path).json()
    names = ("name", "category", "quantity_mode", "package_unit", "trade_unit", "hsn_code")
    body = {name: row[name] for name in names} | {"status": "ARCHIVED"}
    assert staff.write(path, body, method="PUT", if_match=row["version"]).status_code == 200
    answer = staff.write(PATH, {"commodity_id": str(cotton.pk), "code": "J-34", "name": "J-34"})
    assert (answer.status_code, answer.json()["code"]) == (422, "commodity.not_active")


def test_partners_find_archived_rows_by_id_but_not_in_lists(staff, cotton, user, client_for):
    row = services.create_variety(actor=SYSTEM, commodity=cotton, code="J-34", name="J-34")
    services.update_variety(row, actor=SYSTEM, name="J-34", status="ARCHIVED")
    buyer = client_for(user("BUYER"))
    assert buyer.read(PATH).json()["results"] == []
    assert buyer.read(f"{PATH}/{row.pk}").json()["status"] == "ARCHIVED"
    assert [item["code"] for item in staff.read(PATH).json()["results"]] == ["J-34"]
