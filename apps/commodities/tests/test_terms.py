"""Lists of terms: one shape, six tables, and the contradictions of each."""

import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import IntegrityError, connections, transaction

from apps.commodities.events import terms as events
from apps.commodities.models.terms import TERMS, DeliveryTerms, PassingTerms, PaymentTerms, TradeType
from apps.commodities.services import terms
from apps.commodities.services import terms as services
from apps.commodities.tests.examples_terms import BODIES, row
from erp.access import SYSTEM
from erp.events import readers_of, seen_by
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
every_list = pytest.mark.parametrize("kind", list(BODIES))


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


@every_list
def test_new_terms_are_an_event_with_the_name_of_their_list(staff, assert_emitted, kind):
    made = staff.write(f"/api/v1/{kind}", {"code": "USUAL", **BODIES[kind]})
    created = made.json()
    assert (made.status_code, created["status"], created["version"]) == (201, "ACTIVE", 1), made.content
    assert made["Location"] == f"/api/v1/{kind}/{created['id']}"
    event = assert_emitted(
        events.TradeTermsCreated, terms_id=created["id"], kind=kind, code="USUAL", name=BODIES[kind]["name"]
    )
    assert (event.aggregate_type, str(event.aggregate_id)) == ("trade_terms", created["id"])
    assert staff.read(f"/api/v1/{kind}?search=USUAL").json()["results"] == [
        staff.read(made["Location"]).json()
    ]


@every_list
def test_an_update_event_has_old_and_new_values_and_equal_values_emit_none(
    staff, emitted, assert_emitted, kind
):
    path = staff.write(f"/api/v1/{kind}", {"code": "USUAL", **BODIES[kind]})["Location"]
    same = staff.write(path, {**BODIES[kind], "status": "ACTIVE"}, method="PUT", if_match=1)
    assert (same.status_code, same["ETag"]) == (200, '"1"'), same.content
    assert emitted("trade_terms.updated") == []
    body = {**BODIES[kind], "name": "Another name", "status": "ARCHIVED"}
    assert staff.write(path, body, method="PUT", if_match=1).status_code == 200
    assert_emitted(
        events.TradeTermsUpdated,
        kind=kind,
        version=2,
        changes={
            "name": {"old": BODIES[kind]["name"], "new": "Another name"},
            "status": {"old": "ACTIVE", "new": "ARCHIVED"},
        },
    )


@every_list
def test_code_and_name_are_unique_per_list_in_any_spelling(staff, kind):
    staff.write(f"/api/v1/{kind}", {"code": "USUAL", **BODIES[kind], "name": "Mill  Pass"})
    for taken in ({"code": "USUAL", "name": "Other"}, {"code": "OTHER", "name": "mill pass"}):
        answer = staff.write(f"/api/v1/{kind}", {**BODIES[kind], **taken})
        assert (answer.status_code, answer.json()["code"]) == (409, "commodity.duplicate"), taken
    other = next(each for each in BODIES if each != kind)
    assert staff.write(f"/api/v1/{other}", {"code": "USUAL", **BODIES[other]}).status_code == 201


@every_list
def test_omitted_fields_get_defaults_and_partners_read_but_do_not_write(staff, user, client_for, kind):
    buyer = client_for(user("BUYER"))
    body = {"code": "USUAL", **BODIES[kind]}
    answer = buyer.write(f"/api/v1/{kind}", body)
    assert (answer.status_code, answer.json()["capability"]) == (403, "commodity.manage_terms")
    path = staff.write(f"/api/v1/{kind}", body)["Location"]
    assert buyer.read(path).json()["sort_order"] == body.get("sort_order", 100)
    staff.write(path, {**BODIES[kind], "status": "ARCHIVED"}, method="PUT", if_match=1)
    assert buyer.read(f"/api/v1/{kind}").json()["results"] == []
    assert buyer.read(path).json()["status"] == "ARCHIVED"


CONTRADICTIONS = [
    ("delivery-terms", {"basis": "CIF", "includes_insurance": False}, "/includes_insurance"),
    ("delivery-terms", {"basis": "CIP", "includes_freight": False}, "/includes_freight"),
    ("delivery-terms", {"basis": "CFR", "includes_freight": False}, "/includes_freight"),
    ("delivery-terms", {"basis": "CPT", "includes_freight": False}, "/includes_freight"),
    ("delivery-terms", {"basis": "DAP", "includes_freight": False}, "/includes_freight"),
    ("delivery-terms", {"basis": "DPU", "includes_freight": False}, "/includes_freight"),
    ("delivery-terms", {"basis": "DDP", "includes_freight": False}, "/includes_freight"),
    ("delivery-terms", {"basis": "EXW", "includes_insurance": False}, "/includes_freight"),
    ("delivery-terms", {"basis": "FCA", "includes_freight": False}, "/includes_insurance"),
    ("delivery-terms", {"basis": "FAS", "includes_freight": False}, "/includes_insurance"),
    ("delivery-terms", {"basis": "FOB", "includes_insurance": False}, "/includes_freight"),
    ("delivery-terms", {"late_slabs": [{"days": 5, "annual_percent": "18"}]}, "/late_slabs/0/days"),
    ("weighment-terms", {"tare_value": None}, "/tare_value"),
    ("weighment-terms", {"tare_method": "ACTUAL"}, "/tare_value"),
    ("weighment-terms", {"tare_method": "PERCENT", "tare_value": "100.5"}, "/tare_value"),
    ("weighment-terms", {"franchise_kind": "NONE"}, "/franchise_percent"),
    ("weighment-terms", {"franchise_percent": None}, "/franchise_percent"),
    ("payment-terms", {"lc_kind": None, "usance_days": None}, "/lc_kind"),
    ("payment-terms", {"instrument": "TT", "usance_days": None, "lc_kind": "SIGHT"}, "/lc_kind"),
    ("payment-terms", {"lc_kind": "SIGHT"}, "/usance_days"),
    ("payment-terms", {"usance_days": None}, "/usance_days"),
    (
        "payment-terms",
        {"carrying_slabs": [{"days": None, "annual_percent": "1"}, {"days": None, "annual_percent": "2"}]},
        "/carrying_slabs/0/days",
    ),
]


@pytest.mark.parametrize(("kind", "change", "pointer"), CONTRADICTIONS)
def test_fields_that_contradict_are_refused_and_named(staff, kind, change, pointer):
    answer = staff.write(f"/api/v1/{kind}", {"code": "ODD", **BODIES[kind], **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "commodity.fields_contradict")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("kind", "field", "wrong"),
    [
        ("payment-terms", "advance_percent", "101"),
        ("payment-terms", "advance_percent", "1e3"),
        ("payment-terms", "advance_percent", "NaN"),
        ("payment-terms", "advance_percent", "\uff11\uff15"),
        ("payment-terms", "advance_percent", 15),
        ("payment-terms", "usance_days", 0),
        ("payment-terms", "instrument", "BARTER"),
        ("delivery-terms", "insurance_percent", "99.9"),
        ("delivery-terms", "free_days", 121),
        ("delivery-terms", "late_slabs", [{"days": None, "annual_percent": "60.5"}]),
        ("passing-terms", "bales_per_sample", 0),
        ("passing-terms", "claim_days", True),
        ("weighment-terms", "franchise_percent", "5.1"),
        ("trade-types", "name", "x"),
        ("trade-types", "nature", None),
        ("bargain-types", "description", "x" * 501),
    ],
)
def test_malformed_numbers_and_slabs_are_refused(staff, kind, field, wrong):
    answer = staff.write(f"/api/v1/{kind}", {"code": "ODD", **BODIES[kind], field: wrong})
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")
    assert answer.json()["errors"][0]["pointer"].startswith(f"/{field}")


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (DeliveryTerms, {"includes_insurance": False}),
        (DeliveryTerms, {"late_slabs": [{"days": 5, "annual_percent": "18"}]}),
        (DeliveryTerms, {"free_days": 121}),
        (PassingTerms, {"bales_per_sample": 0}),
        (PaymentTerms, {"lc_kind": None, "usance_days": None}),
        (PaymentTerms, {"usance_days": None}),
        (PaymentTerms, {"advance_percent": Decimal(101)}),
        (TradeType, {"code": "small"}),
    ],
)
def test_the_database_enforces_the_rules_too(model, change):
    terms = row(model.kind)
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        model.objects.filter(pk=terms.pk).update(**change)


@pytest.mark.parametrize(
    ("change", "over"),
    [
        ({"lc_kind": "SIGHT", "usance_days": None, "balance_days": 45}, False),
        ({"lc_kind": "SIGHT", "usance_days": None, "balance_days": 46}, True),
        ({"usance_days": 45, "balance_days": 0}, False),
        ({"usance_days": 46, "balance_days": 0}, True),
    ],
)
def test_terms_beyond_the_limit_for_small_suppliers_are_marked(staff, change, over):
    made = staff.write("/api/v1/payment-terms", {"code": "LONG", **BODIES["payment-terms"], **change})
    assert made.json()["over_msme_limit"] is over, made.content


def test_every_signed_in_user_gets_the_events_of_all_six_lists(user, client_for, deliver):
    for model in TERMS:
        row(model.kind)
    deliver()
    buyer = client_for(user("BUYER"))
    reported = buyer.read("/api/v1/events?type=trade_terms.created").json()["results"]
    assert {event["data"]["kind"] for event in reported} == set(BODIES)
    payload = EventOutbox.objects.filter(event_type="trade_terms.created").first().payload
    assert (
        seen_by(readers_of("trade_terms.created", 1, payload), "trade_terms.created", 1, payload) == payload
    )


def test_the_usual_terms_are_loaded_once_without_overwriting_changes_of_staff():
    assert services.load_terms(actor=SYSTEM) == sum(model.objects.count() for model in TERMS) == 64
    before = EventOutbox.objects.count()
    slow = PaymentTerms.objects.get(code="ADV15_D15")
    assert slow.carrying_slabs == [
        {"days": 15, "annual_percent": "15"},
        {"days": 15, "annual_percent": "18"},
        {"days": None, "annual_percent": "24"},
    ]
    assert PassingTerms.objects.get(code="LANDED").claim_days == 42
    assert list(PaymentTerms.objects.filter(code="D45")) == [
        terms for terms in PaymentTerms.objects.filter(code="D45") if not terms.over_msme_limit
    ]
    same = {name: getattr(slow, name) for name in terms.PAYMENT_TERMS.fields if name != "code"}
    terms.PAYMENT_TERMS.update(slow, actor=SYSTEM, **{**same, "balance_days": 20}, status="ACTIVE")
    assert services.load_terms(actor=SYSTEM) == 0
    assert EventOutbox.objects.count() == before + 1
    assert PaymentTerms.objects.get(code="ADV15_D15").balance_days == 20


@pytest.mark.django_db(transaction=True)
def test_of_twenty_posts_of_one_name_at_once_one_wins(staff):
    def post(number):
        try:
            name = "Mill pass" if number % 2 else "MILL  PASS"
            body = {"code": f"M{number}", **BODIES["passing-terms"], "name": name}
            return staff.write("/api/v1/passing-terms", body).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(post, range(20)))
    assert statuses == [201] + [409] * 19
    assert PassingTerms.objects.count() == 1


def test_slabs_are_entered_and_shown_as_rows_in_the_admin(user, staff_client_for):
    terms = row("delivery-terms")
    staff = staff_client_for(user("INTERNAL_MASTERDATA"))
    page = f"/admin/commodity/deliveryterms/{terms.pk}/change/"
    form = staff.form(page)
    last = max(int(name.split(".")[1]) for name in form if re.fullmatch(r"late_slabs\.\d+\.days", name))
    assert form[f"late_slabs.{last}.annual_percent"] == ["18"]
    others = {name: value for name, value in form.items() if not name.startswith("late_slabs.")}
    typed = {"late_slabs.0.days": "7", "late_slabs.0.annual_percent": "12.5 %"}
    typed |= {"late_slabs.1.days": "", "late_slabs.1.annual_percent": "18"}
    answer = staff.post(page, {**others, **typed}, follow=True)
    assert answer.status_code == 200
    terms.refresh_from_db()
    assert [slab["days"] for slab in terms.late_slabs] == [7, None]
