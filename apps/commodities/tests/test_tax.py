"""Tax: a code that is known, a rate that two people publish, and the one that applies on a date."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, connections, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.commodities import tax
from apps.commodities.events import tax as events
from apps.commodities.models.tax import HsnCode, HsnMapping, TaxRate
from apps.commodities.services import rules
from apps.commodities.services import tax as tax_services
from apps.commodities.tests.examples_tax import rate
from erp.access import SYSTEM
from erp.errors import SelfApproval
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 28)


@pytest.fixture
def author(user):
    return user("INTERNAL_FINANCE")


@pytest.fixture
def director(user):
    return user("INTERNAL_DIRECTOR")


def draft(author, **fields):
    values = {"hsn": "5201", "rate_percent": Decimal(5), "source": "A notification", "valid_from": DAY}
    return tax_services.draft_tax_rate(actor=author, **{**values, **fields})


def decide(row, by):
    request = ApprovalRequest.objects.get(subject_id=row.pk, status="pending")
    approvals.approve(request, actor=by, subject_version=request.subject_version)


def test_the_usual_rates_are_loaded_once_without_overwriting_changes_of_staff():
    codes, rates = tax_services.load_hsn_codes(actor=SYSTEM), tax_services.load_tax_rates(actor=SYSTEM)
    assert (codes, rates) == (HsnCode.objects.count(), TaxRate.objects.count())
    assert rates == 32
    assert TaxRate.objects.get(hsn="9961").source == "Notification 11/2017-Central Tax (Rate)"
    linters = HsnCode.objects.get(code="140420")
    tax_services.update_hsn_code(linters, actor=SYSTEM, description="Linters", status="ARCHIVED")
    before = EventOutbox.objects.count()
    assert tax_services.load_hsn_codes(actor=SYSTEM) == tax_services.load_tax_rates(actor=SYSTEM) == 0
    assert EventOutbox.objects.count() == before
    assert HsnCode.objects.get(code="140420").description == "Linters"


def test_a_rate_is_found_by_date_longest_prefix_and_condition():
    tax_services.load_tax_rates(actor=SYSTEM)
    assert tax.tax_on("5201", date(2018, 1, 1)).rate_percent == 5
    assert tax.tax_on("52010015", DAY).valid_from == date(2025, 9, 22)
    assert tax.tax_on("10019910", DAY, "NOT_PREPACKED").rate_percent == 0
    assert tax.tax_on("1001", DAY, "PREPACKED").rate_percent == 5
    assert tax.tax_on("5201", DAY, "SEED_QUALITY").condition == "ANY"
    for condition in (None, "ANY", "SEED_QUALITY"):
        with pytest.raises(tax.ConditionNeeded) as needed:
            tax.tax_on("1001", DAY, condition)
        assert needed.value.members["conditions"] == ["NOT_PREPACKED", "PREPACKED"]
    for hsn, day in (("5201", date(2017, 6, 30)), ("1001", date(2022, 7, 17)), ("7214", DAY)):
        with pytest.raises(tax.NoTaxRate):
            tax.tax_on(hsn, day, "PREPACKED")
    rate(hsn="520100", rate_percent=Decimal(12))
    rate(hsn="52", rate_percent=Decimal(28))
    assert tax.tax_on("52010015", DAY).rate_percent == 12
    assert tax.tax_on("5201", DAY).rate_percent == 5


def test_a_rate_applies_on_its_last_day_and_drafts_and_withdrawn_ones_never(author):
    rate(hsn="5201", valid_to=date(2020, 3, 31))
    rate(hsn="5201", valid_from=date(2020, 4, 1), rate_percent=Decimal(12))
    draft(author, hsn="52010015")
    rate(hsn="520100", status="WITHDRAWN")
    assert tax.tax_on("52010015", date(2020, 3, 31)).rate_percent == 5
    assert tax.tax_on("52010015", date(2020, 4, 1)).rate_percent == 12


def test_the_tax_of_a_commodity_comes_with_the_id_of_the_rate(user, client_for, commodity):
    tax_services.load_tax_rates(actor=SYSTEM)
    wheat, cotton = commodity(hsn_code="10019910"), commodity()
    buyer = client_for(user("BUYER"))
    answer = buyer.read(f"/api/v1/commodities/{wheat.pk}/tax?on_date=2026-01-05&condition=NOT_PREPACKED")
    pinned = TaxRate.objects.on(date(2026, 1, 5)).get(hsn="1001", condition="NOT_PREPACKED")
    assert answer.json() == {
        "commodity_id": str(wheat.pk),
        "hsn_code": "10019910",
        "on_date": "2026-01-05",
        "tax_rate_id": str(pinned.pk),
        "hsn": "1001",
        "condition": "NOT_PREPACKED",
        "rate_percent": "0.0000",
        "valid_from": "2025-09-22",
        "valid_to": None,
        "source": "Notification 10/2025-Central Tax (Rate)",
    }
    assert buyer.read(f"/api/v1/commodities/{cotton.pk}/tax").json()["rate_percent"] == "5.0000"
    for path, status, code in (
        (f"{wheat.pk}/tax", 422, "commodity.condition_needed"),
        (f"{cotton.pk}/tax?on_date=2017-06-30", 422, "commodity.no_tax_rate"),
        (f"{cotton.pk}/tax?on_date=soon", 400, "request.invalid"),
        (f"{cotton.pk}/tax?condition=WET", 400, "request.invalid"),
        (f"{cotton.pk}/tax?day=1", 400, "request.unknown_field"),
        (f"{commodity(active=False).pk}/tax", 404, "resource.not_found"),
    ):
        refused = buyer.read(f"/api/v1/commodities/{path}")
        assert (refused.status_code, refused.json()["code"]) == (status, code), path


def test_rates_are_listed_by_code_condition_and_date_and_drafts_are_the_staff_s(user, client_for, author):
    tax_services.load_tax_rates(actor=SYSTEM)
    written = draft(author, hsn="5201", valid_from=date(2030, 1, 1))
    path = "/api/v1/tax-rates?hsn=5201&condition=ANY&on_date={}"
    buyer, staff = client_for(user("BUYER")), client_for(author)
    assert len(buyer.read(path.format("2018-01-01")).json()["results"]) == 1
    assert len(buyer.read(path.format("2030-01-01")).json()["results"]) == 1
    assert len(staff.read(path.format("2030-01-01")).json()["results"]) == 2
    assert buyer.read(f"/api/v1/tax-rates/{written.pk}").status_code == 404
    for day in ("2018-1-1", "soon", "2018-02-30"):
        refused = buyer.read(path.format(day))
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/query/on_date"), day


def test_a_rate_is_published_by_another_and_ends_the_one_before_on_its_eve(
    author, director, deliver, assert_emitted
):
    former = rate(hsn="5201")
    row = draft(author, rate_percent=Decimal(12))
    tax_services.submit_tax_rate(row, actor=author, reason="The council has decided.")
    with pytest.raises(SelfApproval), transaction.atomic():
        decide(row, author)
    decide(row, director)
    deliver()
    assert TaxRate.objects.get(pk=row.pk).status == "PUBLISHED"
    assert TaxRate.objects.get(pk=former.pk).valid_to == date(2026, 11, 27)
    assert_emitted(
        events.TAX_RATE.published,
        hsn="5201",
        condition="ANY",
        old_rate_percent="5.0000",
        new_rate_percent="12.0000",
    )
    assert tax.tax_on("5201", date(2026, 11, 27)) == former


def test_a_rate_that_begins_no_later_than_the_one_before_overlaps(author):
    rate(hsn="5201", valid_from=DAY)
    row = draft(author)
    with pytest.raises(rules.Overlap):
        tax_services.submit_tax_rate(row, actor=author, reason="The council has decided.")


def test_an_edit_returns_it_and_makes_the_approval_stale(author, director, deliver, user):
    row = draft(author)
    tax_services.submit_tax_rate(row, actor=author, reason="The council has decided.")
    other = user("INTERNAL_FINANCE")
    values = {"hsn": "5201", "source": "Another notification", "valid_from": DAY, "rate_percent": Decimal(12)}
    tax_services.edit_tax_rate(row, actor=other, **values)
    deliver()
    row = TaxRate.objects.get(pk=row.pk)
    assert (row.status, row.rate_percent, set(row.editors)) == ("DRAFT", 12, {author.pk, other.pk})
    tax_services.submit_tax_rate(row, actor=author, reason="The council has decided.")
    with pytest.raises(SelfApproval), transaction.atomic():
        decide(row, other)
    decide(row, director)
    deliver()
    with pytest.raises(rules.IllegalTransition), transaction.atomic():
        tax_services.edit_tax_rate(row, actor=author, **values)
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        TaxRate.objects.filter(pk=row.pk).update(rate_percent=Decimal(28))


@pytest.mark.django_db(transaction=True)
def test_of_twenty_overlapping_rates_published_at_once_one_is_published(author, director):
    rows = [draft(author, hsn="7214") for _ in range(20)]
    for row in rows:
        tax_services.submit_tax_rate(row, actor=author, reason="The council has decided.")

    def publish(row):
        try:
            decide(row, director)
        except approvals.Stale:
            pass
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publish, rows))
    statuses = sorted(TaxRate.objects.filter(hsn="7214").values_list("status", flat=True))
    assert statuses == ["PUBLISHED"] + ["SUBMITTED"] * 19
    assert connection.in_atomic_block is False


def test_the_hsn_code_of_a_commodity_must_be_active(user, client_for):
    staff = client_for(user("INTERNAL_MASTERDATA"))
    body = {"code": "TMT", "name": "TMT bars", "category": "METAL", "hsn_code": "7214"}
    refused = staff.write("/api/v1/commodities", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "commodity.hsn_unknown")
    row = tax_services.create_hsn_code(actor=SYSTEM, code="7214", description="Bars of iron or steel")
    made = staff.write("/api/v1/commodities", body)
    assert made.status_code == 201
    tax_services.update_hsn_code(row, actor=SYSTEM, description="Bars of iron or steel", status="ARCHIVED")
    del body["code"]
    updated = staff.write(made["Location"], {**body, "description": "Bars."}, method="PUT", if_match=1)
    assert updated.status_code == 200, updated.content
    moved = staff.write(made["Location"], {**body, "hsn_code": "7213"}, method="PUT", if_match=2)
    assert moved.json()["code"] == "commodity.hsn_unknown"


def test_an_hsn_mapping_is_stored_once_per_name_and_shown_only_to_staff(user, client_for, emitted):
    keeper = user("INTERNAL_MASTERDATA")
    mapping = tax_services.confirm_hsn_mapping(actor=keeper, name="Comber  Noil", hsn_code="5202")
    assert (mapping.name_key, mapping.confirmed_by) == ("comber noil", keeper.pk)
    tax_services.confirm_hsn_mapping(actor=SYSTEM, name="comber noil", hsn_code="5202")
    assert len(emitted("commodity.hsn_mapping.confirmed")) == 1
    tax_services.confirm_hsn_mapping(actor=SYSTEM, name="COMBER NOIL", hsn_code="5203")
    assert HsnMapping.objects.get().hsn_code == "5203"
    assert [e.payload["hsn_code"] for e in emitted("commodity.hsn_mapping.confirmed")] == ["5202", "5203"]
    with pytest.raises(tax_services.HsnUnknown):
        tax_services.confirm_hsn_mapping(actor=SYSTEM, name="Nothing", hsn_code="0000")
    staff, buyer = client_for(keeper), client_for(user("BUYER"))
    assert [row["name"] for row in staff.read("/api/v1/hsn-mappings").json()["results"]] == ["COMBER NOIL"]
    assert buyer.read("/api/v1/hsn-mappings").json()["results"] == []
    assert buyer.read(f"/api/v1/hsn-mappings/{mapping.pk}").status_code == 404


def test_staff_draft_and_submit_a_rate_in_the_admin(author, staff_client_for):
    staff = staff_client_for(author)
    page = "/admin/commodity/taxrate/add/"
    typed = {
        "hsn": "7214",
        "condition": "ANY",
        "rate_percent": "18",
        "source": "1/2017",
        "valid_from": "2017-07-01",
    }
    answer = staff.post(page, {**staff.form(page), **typed}, follow=True)
    assert answer.status_code == 200, answer.context["errors"]
    row = TaxRate.objects.get()
    assert (row.status, row.editors) == ("DRAFT", [author.pk])
    page = f"/admin/commodity/taxrate/{row.pk}/run/submit_tax_rate/"
    staff.post(page, {**staff.form(page), "reason": "The council has decided."}, follow=True)
    assert TaxRate.objects.get().status == "SUBMITTED"
