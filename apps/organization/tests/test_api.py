"""Organizations over HTTP: identity, registrations, visibility and refusals."""

import threading
from uuid import uuid4

import pytest
from django.db import connection

from apps.organization.models import AllocatedNumber, GstRegistration, Organization
from apps.organization.serializers import AddGstRegistrationInput, OrganizationCreateInput
from apps.organization.tests import factories
from apps.organization.tests.examples import IDENTITY, PLACE
from erp.access import SYSTEM
from erp.api.fields import RowField
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
BASE = "/api/v1/organizations"
PARTS = ("gst-registrations", "bank-accounts", "financial-years", "document-series", "document-numbers")


@pytest.fixture
def director(user, client_for):
    return client_for(user("INTERNAL_DIRECTOR"))


@pytest.fixture
def company(organization):
    return organization()


def put(client, path, body, **fields):
    """PUT with the row's own version."""
    tag = client.read(path)["ETag"]
    return client.write(path, body, **{"method": "PUT", "if_match": tag, **fields})


def status_and_code(answer):
    return answer.status_code, answer.json()["code"]


def pointers(answer):
    return {(fault["pointer"], fault["code"]) for fault in answer.json().get("errors", [])}


def events():
    return EventOutbox.objects.count()


@pytest.mark.parametrize(
    "name",
    [
        "  DEMO  cotton\u00a0exchange",
        "Demo Cotton\u200d Exchange",
        "De\u00admo Cotton Exchange\ufe0f",
        "Demo Сotton Ехchange",  # Cyrillic
        "Dеmο Cotton Exchange",  # Cyrillic and Greek
        "Demo Cօttօn Exchange",  # Armenian
        "Ｄｅｍｏ Cotton Exchange",
    ],
)
def test_an_organization_with_the_same_name_in_another_spelling_is_refused(director, name):
    assert director.write(BASE, IDENTITY).status_code == 201
    spelled = IDENTITY | {"name": name, "pan": "ZZZCD5006E"}
    assert status_and_code(director.write(BASE, spelled)) == (409, "organization.name_taken")
    other = director.write(BASE, spelled | {"name": "Demo Exchange"}).json()
    path = f"{BASE}/{other['id']}"
    refused = put(director, path, spelled | {"status": "active"})
    assert status_and_code(refused) == (409, "organization.name_taken")


def test_an_update_of_a_name_reports_the_name_alone(director, company):
    path = f"{BASE}/{company.pk}"
    body = IDENTITY | {"name": "Another Exchange", "pan": company.pan, "status": "active"}
    body |= {"legal_form": company.legal_form, "cin": company.cin}
    assert put(director, path, body).status_code == 200
    changed = EventOutbox.objects.filter(event_type="organization.updated").latest("id").payload["changed"]
    assert "name_key" not in [change["field"] for change in changed]
    assert "name" in [change["field"] for change in changed]


@pytest.mark.parametrize("field", ["name", "legal_name", "city", "invoice_footer"])
@pytest.mark.parametrize(
    "text", ["\u200b\u2060", "Cotton\uffff", "Cotton\ufdd0", "Cot\u202eton", "Cot\u0007ton"]
)
def test_text_of_an_organization_cannot_contain_invisible_characters(director, field, text):
    answer = director.write(BASE, IDENTITY | {field: text})
    assert answer.status_code == 400
    assert [pointer for pointer, _ in pointers(answer)] == [f"/{field}"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"pan": "ZZZFD5005E"}, 422, "organization.pan_form_mismatch"),
        ({"cin": None}, 422, "organization.cin_required"),
        ({"cin": "U51909MH2015PLC999001"}, 422, "organization.cin_form_mismatch"),
        ({"legal_form": "llp", "pan": "ZZZFD5005E", "cin": None}, 422, "organization.llpin_required"),
        ({"pin_code": "641004"}, 422, "organization.pin_state_mismatch"),
        ({"iec": "ZZZFS1001A"}, 422, "organization.iec_mismatch"),
        ({"lut_number": "AD270324000001X"}, 422, "organization.lut_incomplete"),
        ({"lut_valid_until": "2027-03-31"}, 422, "organization.lut_incomplete"),
        ({"iec": "ZZZCD5005E"}, 201, None),
        ({"iec": "0312345678", "pin_code": "900056"}, 201, None),
        ({"pan": "zzz cd5005-e", "lut_number": "A1", "lut_valid_until": "2027-03-31"}, 201, None),
    ],
)
def test_legal_form_and_numbers_must_fit_together(director, change, status, code):
    answer = director.write(BASE, {**IDENTITY, **change})
    assert answer.status_code == status, answer.content
    if code:
        assert answer.json()["code"] == code
        assert answer.json()["errors"]
        assert not Organization.objects.exists()
    else:
        assert answer.json()["pan"] == "ZZZCD5005E"


def test_name_and_pan_are_unique(director):
    assert director.write(BASE, IDENTITY).status_code == 201
    same_name = {**IDENTITY, "name": IDENTITY["name"].upper(), "pan": "ZZZCX5005E"}
    assert status_and_code(director.write(BASE, same_name)) == (409, "organization.name_taken")
    same_pan = {**IDENTITY, "name": "Another"}
    assert status_and_code(director.write(BASE, same_pan)) == (409, "organization.pan_taken")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("name", "x" * 10_000, "too_long"),
        ("name", "Cotton\u0000House", "malformed"),
        ("name", "x", "too_short"),
        ("pan", "ZZZXD5005E", "pan.holder_class"),
        ("pan", "ZZZCD0000E", "pan.format"),
        ("cin", "U51909MH2099PTC999001", "cin.format"),
        ("tan", "ZZZ01234A", "tan.length"),
        ("pin_code", "99", "pin_code.length"),
        ("state_code", "96", "not_a_choice"),
        ("phone", "022 2765", "phone.length"),
        ("email", "nobody", "email.format"),
        ("e_invoice_from", "2026-02-30", "invalid"),
        ("base_currency", "rupee", "format"),
        ("lut_valid_until", "soon", "invalid"),
    ],
)
def test_an_invalid_value_is_reported_with_its_field(director, name, value, code):
    before = events()
    answer = director.write(BASE, {**IDENTITY, name: value})
    assert answer.status_code == 400
    if code != "malformed":
        assert pointers(answer) == {(f"/{name}", code)}
    assert (events(), Organization.objects.count()) == (before, 0)


def test_an_update_reports_old_and_new_values_except_identifying_ones(director, company, emitted):
    path = f"{BASE}/{company.pk}"
    body = {
        **IDENTITY,
        "legal_form": "partnership",
        "pan": company.pan,
        "cin": None,
        "status": "active",
        "e_invoice_from": "2026-04-01",
    }
    answer = put(director, path, body)
    assert answer.status_code == 200, answer.content
    (row,) = emitted("organization.updated")
    changed = {change["field"]: (change["old"], change["new"]) for change in row.payload["changed"]}
    assert changed["e_invoice_from"] == (None, "2026-04-01")
    assert changed["name"] == changed["phone"] == changed["line1"] == (None, None)
    assert "pan" not in changed
    again = put(director, path, body)
    assert (again.status_code, again["ETag"]) == (200, answer["ETag"])
    emptied = put(director, path, {**body, "e_invoice_from": None, "email": None, "phone": None})
    assert (emptied.json()["e_invoice_from"], emptied.json()["email"]) == (None, None)
    assert len(emitted("organization.updated")) == 2


def test_pan_and_currency_of_an_organization_in_use_cannot_change(director, company):
    path = f"{BASE}/{company.pk}"
    body = {**IDENTITY, "legal_form": "partnership", "cin": None, "pan": "ZZZFX9999K", "status": "active"}
    assert put(director, path, body).status_code == 200
    factories.year(Organization.objects.get(pk=company.pk))
    for change in ({"pan": "ZZZFX9999L"}, {"base_currency": "USD"}):
        assert status_and_code(put(director, path, {**body, **change})) == (
            409,
            "organization.identity_in_use",
        )
    assert put(director, path, {**body, "city": "Pune"}).status_code == 200


def test_an_organization_with_an_open_year_stays_active_and_nothing_can_be_added_to_an_inactive_one(
    director, organization
):
    busy, idle = organization(), organization()
    factories.year(busy)

    def body(of):
        base = {**IDENTITY, "legal_form": "partnership", "cin": None, "name": of.name, "pan": of.pan}
        return {**base, "status": "inactive"}

    assert status_and_code(put(director, f"{BASE}/{busy.pk}", body(busy))) == (409, "organization.year_open")
    stopped = put(director, f"{BASE}/{idle.pk}", body(idle))
    assert stopped.status_code == 200
    assert stopped.json()["allowed_actions"] == ["update"]
    answer = director.write(
        f"{BASE}/{idle.pk}/financial-years", {"start_date": "2026-04-01", "end_date": "2027-03-31"}
    )
    assert status_and_code(answer) == (409, "organization.inactive")


@pytest.fixture
def exchange(director):
    """The demo organization."""
    answer = director.write(BASE, IDENTITY)
    return f"{BASE}/{answer.json()['id']}/gst-registrations"


def registration(gstin="27ZZZCD5005E1ZF", **fields):
    return {"gstin": gstin, **PLACE, "branch_code": "MUM", "valid_from": "2024-04-01", **fields}


GUJARAT = {"city": "Rajkot", "state_code": "24", "pin_code": "360311", "branch_code": "RAJ"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (registration(), 201, None),
        (registration("24ZZZCD5005E1ZL", **GUJARAT), 201, None),
        (registration("24ZZZCD5005E1ZL"), 422, "organization.gstin_state_mismatch"),
        (registration("24ZZZFS1001A1ZK", **GUJARAT), 422, "organization.gstin_pan_mismatch"),
        (registration("33ZZZCK2002B1ZU"), 422, "organization.gstin_pan_mismatch"),
        (registration(pin_code="641004"), 422, "organization.pin_state_mismatch"),
    ],
)
def test_a_gstin_must_fit_pan_and_address(director, exchange, body, status, code):
    answer = director.write(exchange, body)
    assert answer.status_code == status, answer.content
    assert code is None or answer.json()["code"] == code


def test_a_mistyped_gstin_is_detected_by_its_check_character(director, exchange):
    answer = director.write(exchange, registration("27ZZZCD5005E1ZX"))
    assert (answer.status_code, pointers(answer)) == (400, {("/gstin", "gstin.checksum")})


def test_a_gstin_is_unique_and_its_owner_is_not_revealed(director, exchange, organization):
    assert director.write(exchange, registration()).status_code == 201
    twice = director.write(exchange, registration(branch_code="MU2"))
    assert status_and_code(twice) == (409, "organization.gstin_taken")
    other = f"{BASE}/{organization().pk}/gst-registrations"
    elsewhere = director.write(other, registration())
    assert status_and_code(elsewhere) == (422, "organization.gstin_pan_mismatch")
    assert exchange.split("/")[4] not in elsewhere.content.decode()
    second = director.write(exchange, registration("24ZZZCD5005E1ZL", **{**GUJARAT, "branch_code": "MUM"}))
    assert status_and_code(second) == (409, "organization.branch_code_taken")


def test_the_first_registration_is_primary_until_another_replaces_it(director, exchange, emitted):
    first = director.write(exchange, registration(is_primary=False)).json()
    assert first["is_primary"] is True
    second = director.write(exchange, registration("24ZZZCD5005E1ZL", **GUJARAT)).json()
    assert second["is_primary"] is False
    path = f"{exchange}/{second['id']}"
    body = {**PLACE, **GUJARAT, "valid_from": "2024-04-01", "is_primary": True, "status": "active"}
    moved = put(director, path, body)
    assert moved.status_code == 200, moved.content
    updated = [row.payload for row in emitted("organization.gst.updated")]
    assert [(each["gst_registration_id"], each["is_primary"], each["changed"]) for each in updated] == [
        (first["id"], False, ["is_primary"]),
        (second["id"], True, ["is_primary"]),
    ]
    for change in ({"is_primary": False}, {"status": "suspended"}, {"status": "cancelled"}):
        answer = put(director, path, {**body, **change})
        assert status_and_code(answer) == (409, "organization.primary_required"), change
    assert put(director, path, body)["ETag"] == moved["ETag"]
    fixed = put(director, path, {**body, "gstin": "24ZZZCD5005E1ZL"})
    assert status_and_code(fixed) == (400, "request.unknown_field")


def test_cancelling_is_final_and_closes_the_series(director, exchange, emitted):
    director.write(exchange, registration())
    second = director.write(exchange, registration("24ZZZCD5005E1ZL", **GUJARAT)).json()
    owner = Organization.objects.get()
    factories.year(owner)
    row = GstRegistration.objects.get(pk=second["id"])
    series = factories.series(owner, "tax_invoice", gst_registration=row, template="{BRANCH}{FY}{N:5}")
    path = f"{exchange}/{second['id']}"
    body = {**PLACE, **GUJARAT, "valid_from": "2024-04-01", "status": "cancelled"}
    assert put(director, path, {**body, "status": "suspended"}).status_code == 200
    assert put(director, path, body).status_code == 200
    series.refresh_from_db()
    assert series.status == "closed"
    assert emitted("organization.document_series.updated")[0].payload["changed"] == ["status"]
    back = put(director, path, {**body, "status": "active"})
    assert status_and_code(back) == (409, "organization.invalid_state")
    assert (back.json()["allowed"], put(director, path, body).status_code) == ([], 200)


def test_a_branch_code_in_document_numbers_cannot_change(director, exchange):
    director.write(exchange, registration())
    owner, row = Organization.objects.get(), GstRegistration.objects.get()
    path = f"{exchange}/{row.pk}"
    body = {**PLACE, "valid_from": "2024-04-01", "is_primary": True, "status": "active"}
    factories.year(owner)
    factories.series(owner, "tax_invoice", gst_registration=row, template="{BRANCH}/{FY}/{N:5}")
    assert put(director, path, {**body, "branch_code": "BOM"}).status_code == 200
    row.refresh_from_db()
    assert factories.number(owner, "tax_invoice", gst_registration=row).document_number.startswith("BOM/")
    answer = put(director, path, {**body, "branch_code": "MUM"})
    assert status_and_code(answer) == (409, "organization.branch_code_in_use")


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_primaries_leave_one_and_events_report_it(organization, user, client_for):
    company = organization()
    rows = [factories.registration(company, entity) for entity in "123"]
    client = client_for(user("INTERNAL_FINANCE", organization_id=company.pk))
    gate, answers = threading.Barrier(2), []

    def take(row):
        body = {**PLACE, "branch_code": row.branch_code, "valid_from": "2024-04-01", "status": "active"}
        path = f"{BASE}/{company.pk}/gst-registrations/{row.pk}"
        try:
            gate.wait(30)
            answers.append(
                client.write(path, {**body, "is_primary": True}, method="PUT", if_match=row.version)
            )
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(row,)) for row in rows[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {answer.status_code for answer in answers} <= {200, 412}
    primary = GstRegistration.objects.get(is_primary=True)
    reported_primary = [
        row.payload["gst_registration_id"]
        for row in EventOutbox.objects.filter(event_type="organization.gst.updated").order_by("sequence")
        if row.payload["is_primary"]
    ]
    assert reported_primary[-1] == str(primary.pk)


def test_staff_see_their_own_organization_and_directors_and_auditors_all(organization, user, client_for):
    own, other = organization("Own"), organization("Other")
    for roles, seen in (
        (("INTERNAL_FINANCE",), {"Own"}),
        (("INTERNAL",), {"Own"}),
        (("INTERNAL_DIRECTOR",), {"Own", "Other"}),
        (("AUDITOR",), {"Own", "Other"}),
        ((), {"Own", "Other"}),
    ):
        fields = {"organization_id": own.pk} if roles else {}
        client = client_for(user(*roles, **fields))
        assert {row["name"] for row in client.read(BASE).json()["results"]} == seen, roles
        status = client.read(f"{BASE}/{other.pk}").status_code
        assert status == (200 if "Other" in seen else 404)
    seller = client_for(user("SELLER"))
    assert status_and_code(seller.read(BASE)) == (403, "capability.missing")


def test_rows_of_another_organization_are_not_found(organization, user, client_for):
    own, other = organization(), organization()
    keeper = user("INTERNAL_FINANCE", organization_id=own.pk)
    client = client_for(keeper)
    row = factories.registration(other)
    factories.registration(own)
    year = factories.year(other)
    series = factories.series(other)
    account = factories.account(other, by=keeper)
    number = factories.number(other)
    children = dict(zip(PARTS, (row, account, year, series, number), strict=True))
    for part, child in children.items():
        for owner in (own, other):
            path = f"{BASE}/{owner.pk}/{part}/{child.pk}"
            assert status_and_code(client.read(path)) == (404, "resource.not_found")
            if part != "document-numbers":
                answer = client.write(path, {}, method="PUT", if_match=child.version)
                assert status_and_code(answer) == (404, "resource.not_found")
        assert status_and_code(client.read(f"{BASE}/{other.pk}/{part}")) == (404, "resource.not_found")
    assert status_and_code(client.write(f"{BASE}/{other.pk}", {}, method="PUT", if_match=1))[0] == 404
    assert status_and_code(client.write(f"{BASE}/{other.pk}/financial-years", {}))[0] == 404


def test_a_series_cannot_use_a_year_or_registration_of_another_organization(organization, user, client_for):
    own, other = organization(), organization()
    client = client_for(user())  # who sees both
    factories.registration(own)
    factories.year(own)
    theirs = {
        "financial_year_id": factories.year(other).pk,
        "gst_registration_id": factories.registration(other).pk,
    }
    ours = {
        "financial_year_id": own.financial_years.get().pk,
        "gst_registration_id": own.gst_registrations.get().pk,
    }
    for wrong in (*theirs, None):
        ids = {**ours, wrong: theirs[wrong]} if wrong else {**ours, "financial_year_id": uuid4()}
        body = {"document_type": "tax_invoice", "template": "A/{FY}/{N:5}"}
        body |= {name: str(value) for name, value in ids.items()}
        answer = client.write(f"{BASE}/{own.pk}/document-series", body)
        assert answer.status_code == 400
        assert pointers(answer) == {(f"/{wrong or 'financial_year_id'}", "does_not_exist")}
        words = {fault["detail"] for fault in answer.json()["errors"]}
        assert words == {RowField.default_error_messages["does_not_exist"]}


def test_no_endpoint_deletes(director, company):
    row = factories.registration(company)
    for path in (f"{BASE}/{company.pk}", f"{BASE}/{company.pk}/gst-registrations/{row.pk}"):
        for method in ("DELETE", "PATCH"):
            assert status_and_code(director.write(path, {}, method=method)) == (
                405,
                "request.method_not_allowed",
            )


@pytest.fixture
def numbered(company):
    factories.year(company)
    factories.series(company)
    return company


def test_a_document_gets_one_number(numbered, user, client_for):
    client = client_for(user("INTERNAL_FINANCE", organization_id=numbered.pk))
    path = f"{BASE}/{numbered.pk}/next-document-number/trade"
    year = numbered.financial_years.get()
    body = {
        "document_date": year.start_date.isoformat(),
        "reference_type": "paper",
        "reference_id": str(uuid4()),
    }
    key = uuid4().hex
    first = client.write(path, body, key=key)
    assert (first.status_code, first.json()["number"]) == (201, 1)
    assert client.write(path, body, key=key).content == first.content
    before = events()
    again = client.write(path, body)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (events(), AllocatedNumber.objects.count()) == (before, 1)
    other = client.write(path, {**body, "reference_id": str(uuid4())})
    assert (other.status_code, other.json()["number"]) == (201, 2)
    numbers = client.read(f"{BASE}/{numbered.pk}/document-numbers").json()["results"]
    assert [row["number"] for row in numbers] == [1, 2]
    found = client.read(f"{BASE}/{numbered.pk}/document-numbers?reference_id={body['reference_id']}")
    assert [row["document_number"] for row in found.json()["results"]] == [first.json()["document_number"]]
    assert status_and_code(client.write(path.replace("trade", "poem"), body)) == (404, "resource.not_found")


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"start_number": 0}, 400, "/start_number"),
        ({"start_number": 2**63}, 400, "/start_number"),
        ({"start_number": "1"}, 400, "/start_number"),
        ({"template": "{N:5}{N:5}"}, 422, "/template"),
        ({"template": "{X}{FY}{N:5}"}, 422, "/template"),
        ({"template": "trd-{FY}-{N:6}"}, 422, "/template"),
        ({"template": "TRD\u0000{FY}{N:6}"}, 400, "/template"),
        ({"template": "x" * 10_000}, 400, "/template"),
        ({"prefix": "lower"}, 400, "/prefix"),
        ({"document_type": "poem"}, 400, "/document_type"),
    ],
)
def test_an_invalid_definition_is_refused_without_effect(company, user, client_for, change, status, pointer):
    client = client_for(user("INTERNAL_FINANCE", organization_id=company.pk))
    year = factories.year(company)
    before = events()
    body = {"financial_year_id": str(year.pk), "document_type": "claim", "template": "C-{FY}-{N:6}"}
    answer = client.write(f"{BASE}/{company.pk}/document-series", {**body, **change})
    assert answer.status_code == status, answer.content
    assert pointer in {fault["pointer"] for fault in answer.json()["errors"]}
    assert (events(), company.document_series.count()) == (before, 0)


def test_dates_that_do_not_exist_are_refused(company, director):
    for body in (
        {"start_date": "2026-02-30", "end_date": "2027-03-31"},
        {"start_date": "2026-04-01", "end_date": "31.3.2027"},
    ):
        assert director.write(f"{BASE}/{company.pk}/financial-years", body).status_code == 400
    answer = director.read(f"{BASE}/{company.pk}/financial-years?on_date=2026-02-30")
    assert (answer.status_code, {pointer for pointer, _ in pointers(answer)}) == (400, {"/query/on_date"})


def test_the_year_of_a_date_is_found(company, director):
    from datetime import date

    factories.year(company, date(2024, 4, 1))
    factories.year(company, date(2025, 4, 1))
    for day, code in (("2025-03-31", "2425"), ("2025-04-01", "2526")):
        rows = director.read(f"{BASE}/{company.pk}/financial-years?on_date={day}").json()["results"]
        assert [row["code"] for row in rows] == [code]


def test_the_system_has_no_organization_and_sees_all(organization):
    organization()
    assert Organization.objects.visible_to(SYSTEM).count() == 1


@pytest.mark.parametrize(
    ("input", "field"),
    [
        (OrganizationCreateInput, "name"),
        (OrganizationCreateInput, "legal_name"),
        (AddGstRegistrationInput, "trade_name"),
    ],
)
def test_an_organizations_name_cannot_be_a_web_address(input, field):
    form = input(data={field: "Kapas at www.kapas.example"})
    assert not form.is_valid()
    assert [fault.code for fault in form.errors[field]] == ["web_address"]
