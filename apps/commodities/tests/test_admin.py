"""Commodities in the admin: one act per key, nothing on a stale page."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections
from django.utils.html import strip_tags

from apps.commodities.models.commodities import Commodity
from erp.admin.testing import controls
from erp.idempotency.models import Record
from erp.idempotency.once import Request
from erp.locks import scope_key

ADD = "/admin/commodity/commodity/add/"
TYPED = {"code": "COTTON-X", "name": "Cotton X", "category": "FIBRE", "trade_unit": "KG"}


def page_of(row: Commodity) -> str:
    return f"/admin/commodity/commodity/{row.pk}/change/"


def messages_of(response) -> list[str]:
    return [strip_tags(str(message)) for message in response.context["messages"]]


@pytest.fixture
def staff(user, staff_client_for):
    return staff_client_for(user("INTERNAL_MASTERDATA"))


def test_saving_adds_a_commodity_by_the_service(staff, emitted):
    answer = staff.post(ADD, {**staff.form(ADD), **TYPED}, follow=True)
    row = Commodity.objects.get()
    assert answer.redirect_chain[0][0] == page_of(row)
    assert messages_of(answer) == ["Commodity Cotton X was created."]
    (event,) = emitted("commodity.created")
    assert event.payload["code"] == "COTTON-X"
    assert event.causation_id == str(Record.objects.get(route__startswith="admin/").pk)


def test_two_clicks_with_one_key_have_one_effect(staff, emitted):
    form = {**staff.form(ADD), **TYPED}
    first = staff.post(ADD, {**form, "_save": ""})
    again = staff.post(ADD, {**form, "_save": ""}, follow=True)
    assert again.redirect_chain[0][0] == first["Location"]
    done_at = r"\d+ \w{3} \d{4}, \d\d:\d\d IST"
    repeated = (
        rf"Commodity Cotton X was created\. This was already done at {done_at}; it was not done again\."
    )
    assert re.fullmatch(repeated, messages_of(again)[-1])
    assert Commodity.objects.count() == len(emitted("commodity.created")) == 1


def test_the_same_key_with_other_content_does_nothing_and_shows_the_submitted_values(staff, emitted):
    form = {**staff.form(ADD), **TYPED}
    staff.post(ADD, form)
    answer = staff.post(ADD, {**form, "code": "OTHER", "name": "Other"})
    assert answer.status_code == 422
    assert "already submitted with other values" in answer.content.decode()
    redrawn = controls(answer)
    assert redrawn["code"] == ["OTHER"]
    assert redrawn["_key"] != form["_key"]
    assert Commodity.objects.count() == len(emitted("commodity.created")) == 1
    assert staff.post(ADD, redrawn).status_code == 302
    assert Commodity.objects.count() == 2


@pytest.mark.parametrize("key", [None, "short", "a key with blanks", "x" * 256])
def test_a_form_without_a_proper_key_does_nothing_and_gets_a_fresh_one(staff, key):
    form = {**staff.form(ADD), **TYPED, **({"_key": key} if key else {})}
    if key is None:
        del form["_key"]
    answer = staff.post(ADD, form)
    assert answer.status_code == 400
    assert "not submitted completely" in answer.content.decode()
    assert controls(answer)["name"] == ["Cotton X"]
    assert not Commodity.objects.exists()
    assert staff.post(ADD, controls(answer)).status_code == 302


def test_errors_have_the_messages_of_the_api_and_nothing_is_stored(staff):
    form = {**staff.form(ADD), **TYPED, "hsn_code": "52"}
    answer = staff.post(ADD, form)
    assert answer.status_code == 400
    assert answer.context["errors"]["hsn_code"] == ["Use 4, 6 or 8 digits."]
    assert not Commodity.objects.exists()
    # A refused request has no record: the corrected form works with its new key or the old one.
    assert staff.post(ADD, {**form, "hsn_code": "5201"}).status_code == 302


def test_a_rule_across_fields_stands_beside_its_field(staff):
    answer = staff.fill(ADD, **{**TYPED, "quantity_mode": "COUNT_AND_WEIGHT"})
    assert answer.status_code == 422
    assert answer.context["errors"]["package_unit"] == ["Required if packages are counted, and only then."]


def test_a_stale_page_does_nothing_and_shows_both_values(staff, commodity, emitted):
    row = commodity()
    form = staff.form(page_of(row))
    assert staff.fill(page_of(row), description="theirs").status_code == 302
    answer = staff.post(page_of(row), {**form, "description": "mine", "hsn_code": "52010015"})
    assert answer.status_code == 412
    assert answer.context["differences"] == [
        ("Description", "mine", "theirs"),
        ("HSN code", "52010015", "5201"),
    ]
    assert answer.context["changes"][-1].event == "commodity.updated v1"
    row.refresh_from_db()
    assert row.description == "theirs"
    redrawn = controls(answer)
    assert (redrawn["description"], redrawn["_version"]) == (["mine"], ["3"])
    assert staff.post(page_of(row), redrawn).status_code == 302
    row.refresh_from_db()
    assert (row.description, row.version) == ("mine", 4)
    assert len(emitted("commodity.updated")) == 3


@pytest.mark.parametrize(("version", "status"), [("", 428), ("one", 400), ("-1", 400), ("1e3", 400)])
def test_a_page_without_its_version_changes_nothing(staff, commodity, version, status):
    row = commodity()
    answer = staff.fill(page_of(row), description="mine", _version=version)
    assert answer.status_code == status
    row.refresh_from_db()
    assert row.description == "On the market."


def test_a_fault_does_not_move_the_version_that_the_page_showed(staff, commodity):
    row = commodity()
    form = staff.form(page_of(row))
    staff.fill(page_of(row), description="theirs")
    answer = staff.post(page_of(row), {**form, "hsn_code": "52"})
    assert answer.status_code == 400
    assert controls(answer)["_version"] == form["_version"]
    assert staff.post(page_of(row), {**controls(answer), "hsn_code": "5201"}).status_code == 412


def test_the_same_values_are_no_event(staff, commodity, emitted):
    row = commodity()
    before = len(emitted("commodity.updated"))
    assert staff.fill(page_of(row)).status_code == 302
    row.refresh_from_db()
    assert row.version == 2
    assert len(emitted("commodity.updated")) == before


def test_who_lacks_the_capability_sees_no_form_and_a_forged_post_is_403(user, staff_client_for, commodity):
    row = commodity()
    staff = staff_client_for(user("INTERNAL"))
    assert 'name="_save"' not in staff.get(page_of(row)).content.decode()
    assert staff.get(ADD).status_code == 403
    assert staff.post(ADD, {**TYPED, "_key": "0123456789abcdef"}).status_code == 403
    assert staff.post(page_of(row), {"_key": "0123456789abcdef", "_version": "2"}).status_code == 403


def test_an_archived_commodity_has_no_form(staff, commodity):
    row = commodity()
    staff.fill(page_of(row), status="ARCHIVED")
    page = staff.get(page_of(row))
    assert 'name="_save"' not in page.content.decode()
    answer = staff.post(
        page_of(row), {"_key": "0123456789abcdef", "_version": "3", "name": "Back", "category": "FIBRE"}
    )
    assert answer.status_code == 409


@pytest.mark.django_db(transaction=True)
def test_ten_threads_on_one_form_have_one_effect(staff, emitted):
    form = {**staff.form(ADD), **TYPED}
    cookies = staff.cookies

    def send(_: int) -> int:
        from erp.admin.testing import StaffClient

        browser = StaffClient()
        browser.cookies = cookies
        try:
            return browser.post(ADD, form).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(send, range(10)))
    assert set(statuses) <= {302, 409}
    assert 302 in statuses
    assert Commodity.objects.count() == len(emitted("commodity.created")) == 1
    assert staff.post(ADD, form).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_while_the_first_runs_the_page_asks_again(staff):
    form = {**staff.form(ADD), **TYPED}
    person = staff.session["_auth_user_id"]
    twin = Request(f"user:{person}", "POST", "admin/commodity.commodity/commodity.create", form["_key"][0])
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [scope_key(twin.scope)])
        answer = staff.post(ADD, form)
    finally:
        other.close()
    assert answer.status_code == 409
    assert "being processed" in answer.content.decode()
    again = controls(answer)
    assert again["_key"] == form["_key"]
    assert not Commodity.objects.exists()
    assert staff.post(ADD, again).status_code == 302
