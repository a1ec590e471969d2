"""``bootstrap``, ``seed_demo`` and ``verify_ledger``: from nothing to a system that works, and never twice."""

import json
import shlex
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command, load_command_class

from apps.accounts.models import User
from apps.availability.models import Reservation
from apps.availability.services import stock as availability
from apps.commodities.models.commissions import Commission
from apps.commodities.models.tax import HsnCode, TaxRate
from apps.commodities.models.terms import TERMS
from apps.notifications.models import Template
from apps.organization.models import DocumentSeries, FinancialYear, Organization
from apps.organization.tests import factories
from erp import access, clock
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
OURS = {
    "name": "Kapas House",
    "legal_name": "Kapas House LLP",
    "legal_form": "llp",
    "pan": "ZZZFK4321L",
    "llpin": "ZZZ1001",
    "line1": "Mandvi",
    "city": "Mumbai",
    "state_code": "27",
    "pin_code": "400003",
    "admin_email": "Owner@kapas.in",
    "admin_name": "Kanti Owner",
}


def run(command: str, *arguments: str, **options: Any) -> tuple[int, Any]:
    out, code = StringIO(), 0
    try:
        call_command(command, *arguments, json=True, stdout=out, **options)
    except SystemExit as left:
        code = int(str(left.code))
    return code, json.loads(out.getvalue())


def test_an_empty_database_gets_its_first_organization_with_year_and_series():
    code, output = run("bootstrap", **OURS)
    company = Organization.objects.get()
    assert (code, company.llpin, company.base_currency) == (0, "ZZZ-1001", "INR")
    year = FinancialYear.objects.on(clock.today()).get()
    assert year.organization == company
    types = {"trade", "contract_note", "proforma_invoice", "settlement_statement", "claim"}
    assert {series.document_type for series in year.document_series.all()} == types
    texts = [f"text {text}" for text in Template.objects.order_by("pk")]
    assert texts
    assert set(texts) <= set(output["changed"])
    assert f"financial year {year.code}" in output["changed"]
    assert access.sync(check=True) == []
    assert factories.number(company).document_number == f"TRD-{year.code}-000001"


def test_a_second_run_changes_nothing():
    run("bootstrap", **OURS)
    before = EventOutbox.objects.count()
    code, output = run("bootstrap", **{**OURS, "name": "Another", "pan": "ZZZFK9999L"})
    assert (code, output["changed"], EventOutbox.objects.count()) == (0, [], before)
    assert Organization.objects.get().name == "Kapas House"


def test_the_first_administrator_is_invited_by_a_link_printed_once(client_for):
    output = run("bootstrap", **OURS)[1]
    invited = User.objects.get(user_type="SUPER_ADMIN")
    assert (invited.email, invited.full_name, invited.status) == ("owner@kapas.in", "Kanti Owner", "invited")
    page, _, token = output["invitation"].partition("#")
    assert page.endswith("/invitation")
    body = {"token": token, "password": "nine bales of long staple", "terms_version": "1", "is_adult": True}
    assert client_for(None).write("/api/v1/auth/invitations/accept", body).status_code == 204
    invited.refresh_from_db()
    assert (invited.status, invited.is_superuser) == ("active", True)
    again = run("bootstrap", **{**OURS, "admin_email": "other@kapas.in"})[1]
    assert again["changed"] == []
    assert "invitation" not in again
    assert User.objects.filter(user_type="SUPER_ADMIN").count() == 1


def test_without_an_administrator_nothing_is_made():
    with pytest.raises(CommandError, match="--admin-email"):
        run("bootstrap", **{**OURS, "admin_email": ""})
    assert not Organization.objects.exists()


def test_a_dry_run_reports_and_stores_nothing():
    _, output = run("bootstrap", dry_run=True, **OURS)
    assert output["dry_run"]
    assert "organization Kapas House" in output["changed"]
    assert not Organization.objects.exists()
    assert not EventOutbox.objects.exists()


def test_the_example_of_the_help_works():
    (example,) = load_command_class("config", "bootstrap").examples
    _, output = run("bootstrap", *shlex.split(example))
    assert "organization Kapas House" in output["changed"]


def test_environment_variables_replace_flags(monkeypatch):
    for name, value in OURS.items():
        monkeypatch.setenv(f"BOOTSTRAP_{name.upper()}", value)
    run("bootstrap", name="Named by flag")
    assert Organization.objects.get().name == "Named by flag"


@pytest.mark.parametrize(
    ("change", "output"),
    [
        ({"pan": ""}, "--pan"),
        ({"pan": "ZZZCK4321L"}, "--pan"),
        ({"pin_code": "641004"}, "--pin-code"),
        ({"year_start": "soon"}, "--year-start"),
        ({"year_start": "2001-04-01"}, "--end-date"),
    ],
)
def test_what_does_not_fit_is_named_by_its_flag(change, output):
    with pytest.raises(CommandError) as caught:
        run("bootstrap", **{**OURS, **change})
    assert output in str(caught.value)
    assert caught.value.returncode == 2
    assert not Organization.objects.exists()


@pytest.mark.parametrize("change", [{"pan": "ZZZCD5005E"}, {"admin_email": "owner@demo.example"}])
def test_the_demo_s_values_are_refused_in_production(settings, change):
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="not allowed in production"):
        run("bootstrap", **{**OURS, **change})


def test_the_demo_has_an_organization_with_years_up_to_today_and_its_staff_belong_to_it():
    code, _ = run("seed_demo")
    company = Organization.objects.get(pan="ZZZCD5005E")
    assert code == 0
    assert company.gst_registrations.get().is_primary
    codes = list(company.financial_years.order_by("start_date").values_list("code", flat=True))
    assert codes[0] == "2526"
    assert FinancialYear.objects.filter(organization=company).on(clock.today()).exists()
    assert DocumentSeries.objects.filter(document_type="trade").count() == len(codes)
    assert set(User.objects.filter(user_type="INTERNAL").values_list("organization_id", flat=True)) == {
        company.pk
    }
    before = EventOutbox.objects.count()
    assert run("seed_demo")[1]["added"] == []
    assert EventOutbox.objects.count() == before


def test_a_gap_in_a_series_is_reported(organization):
    company = organization()
    factories.year(company)
    factories.series(company, "contract_note")
    factories.number(company, "contract_note")
    code, report = run("verify_ledger")
    assert (code, report["passed"]) == (0, True)
    series = next(each for each in report["ledgers"] if each["ledger"] == "organization.document_series")
    assert (series["rows"], series["mismatches"]) == (1, [])
    with unguarded_writes():
        DocumentSeries.objects.update(last_number=5)
    code, report = run("verify_ledger")
    (series,) = [each for each in report["ledgers"] if each["mismatches"]]
    assert (code, report["passed"], series["mismatches"][0]["figures"]["allocated"]) == (1, False, 1)


def test_a_reservation_that_an_offer_does_not_count_is_reported(offer, user):
    live = offer()
    availability.reserve(live, actor=user("BUYER"), quantity=Decimal(10))
    assert run("verify_ledger")[0] == 0
    with unguarded_writes():
        Reservation.objects.update(quantity=9)
    code, report = run("verify_ledger")
    (ledger,) = [each for each in report["ledgers"] if each["mismatches"]]
    assert (code, ledger["ledger"]) == (1, "availability.reservations")
    figures = ledger["mismatches"][0]["figures"]
    assert (figures["reserved_quantity"], figures["reserved"]) == ("10.000", "9.000")


def test_the_demo_adds_missing_seller_data_to_existing_cotton(commodity):
    cotton = commodity(code="COTTON")
    assert "Commission on cotton" in run("seed_demo")[1]["added"]
    row = Commission.objects.get()
    assert (row.commodity, row.side, row.percent, row.partner_id) == (cotton, "SELLER", Decimal("0.25"), None)
    assert run("seed_demo")[1]["added"] == []


def test_what_the_product_knows_of_the_trade_is_loaded_once(emitted):
    run("bootstrap", **OURS)
    assert TaxRate.objects.filter(status="PUBLISHED").count() == 32
    assert HsnCode.objects.filter(code="52010015").exists()
    output = {event.payload["kind"] for event in emitted("trade_terms.created")}
    assert output == {model.kind for model in TERMS}


def test_the_code_of_a_demo_user_signs_in_and_is_refused_in_production(client_for, settings):
    password = run("seed_demo")[1]["password"]
    client, email = client_for(None), "manager@demo.example"
    login = client.write("/api/v1/auth/login", {"email": email, "password": password}).json()
    code = run("demo_code", email)[1]["code"]
    body = {"challenge_token": login["challenge_token"], "code": code}
    answer = client.write("/api/v1/auth/login/second-factor", body)
    assert answer.status_code == 200, answer.content
    assert run("demo_code", email)[1]["code"] != code, "each code works once"
    with pytest.raises(CommandError, match="no authenticator"):
        run("demo_code", "seller@demo.example")
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="not printed in production"):
        run("demo_code", email)
