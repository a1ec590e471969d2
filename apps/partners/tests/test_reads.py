"""Reads of partners: pages that use an index, what expires, timelines, filters of staff."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from io import BytesIO

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pypdf import PdfReader

from apps.partners.analytics import analytics
from apps.partners.models import (
    CreditAccount,
    CreditLimit,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerOwner,
    TaxRegistration,
)
from apps.partners.models.credit import Level
from apps.partners.services import amendments, credit, decisions
from apps.partners.tests import factories
from erp import clock
from erp.models import unguarded_writes
from erp.services import caused_by
from erp.trail.models import Export

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("", {}),
        ("", {"status": "active"}),
        ("", {"state_code": "24"}),
        ("", {"ordering": "legal_name"}),
        ("", {"ordering": "kyc_expiry_date"}),
        ("", {"updated_after": "2026-01-01T00:00:00Z"}),
        ("/onboarding", {}),
        ("/onboarding", {"status": "under_review"}),
        ("/documents", {}),
        ("/documents", {"status": "uploaded"}),
        ("/employees", {}),
        ("/bank-accounts", {}),
        ("/amendments", {}),
        ("/amendments", {"status": "pending"}),
        ("/{id}/documents", {}),
        ("/{id}/exposure", {}),
    ],
)
def test_a_page_reads_an_index_in_its_own_order(client_for, user, path, query):
    firm = factories.ready_partner()
    plan = _plan(client_for(user("INTERNAL")), path.format(id=firm.pk), query)
    assert not [line for line in plan if "Seq Scan" in line or line.strip(" ->").startswith("Sort")], plan


def test_a_search_for_a_name_reads_the_index_of_trigrams(client_for, user):
    plan = _plan(client_for(user("INTERNAL")), "", {"search": "ginning"}, without=("seqscan", "indexscan"))
    assert any("partner_search" in line for line in plan), plan


def test_kyc_that_ends_soon_is_listed_for_staff_by_its_day(client_for, user):
    today = clock.today()
    later, soon = (factories.ready_partner(kyc_expiry_date=today + timedelta(days=n)) for n in (40, 0))
    factories.ready_partner(kyc_expiry_date=today - timedelta(days=1))
    factories.ready_partner(kyc_expiry_date=today + timedelta(days=41))
    client = client_for(user("INTERNAL"))
    rows = client.read("/api/v1/partners/kyc/expiring", {"days": "40"}).json()["results"]
    assert [(row["id"], row["days_left"]) for row in rows] == [(str(soon.pk), 0), (str(later.pk), 40)]
    for days in ("0", "366", "1.5", "many"):
        answer = client.read("/api/v1/partners/kyc/expiring", {"days": days})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/query/days")
    own = client_for(user("PARTNER_ADMIN", of=soon))
    assert own.read("/api/v1/partners/kyc/expiring").json()["code"] == "capability.missing"


def test_the_list_is_filtered_by_kyc_as_its_dates_say(client_for, user):
    today = clock.today()
    by_state = {
        state: str(factories.ready_partner(kyc_expiry_date=today + timedelta(days=days)).pk)
        for state, days in (("valid", 0), ("grace", -30), ("lapsed", -31))
    }
    by_state["none"] = str(factories.file_of("draft").partner_id)
    client = client_for(user("INTERNAL"))
    for state, pk in by_state.items():
        rows = client.read("/api/v1/partners", {"kyc": state}).json()["results"]
        assert [(row["id"], row["kyc"]) for row in rows] == [(pk, state)]


def test_filters_by_figures_of_staff_find_nothing_for_others(client_for, user):
    applicant = user("APPLICANT")
    round = factories.file_of("under_review", applicant=applicant)
    with unguarded_writes():
        Partner.objects.filter(pk=round.partner_id).update(risk_category="medium")
        OnboardingRound.objects.filter(pk=round.pk).update(submitted_at=clock.now() - timedelta(hours=49))
    asked = [
        ("", {"risk_category": "medium"}),
        ("", {"route": "manager"}),
        ("/onboarding", {"route": "manager"}),
        ("/onboarding", {"overdue": "true"}),
    ]
    for reader, number in ((user("INTERNAL"), 1), (applicant, 0)):
        found = [client_for(reader).read(f"/api/v1/partners{path}", query) for path, query in asked]
        assert [len(answer.json()["results"]) for answer in found] == [number] * 4


def test_a_timeline_shows_calls_with_their_changes_and_no_values(client_for, user):
    applicant = user("APPLICANT")
    round = factories.reviewed(applicant)
    firm = round.partner
    manager = user("INTERNAL_MANAGER")
    decisions.approve(Partner.objects.get(pk=firm.pk), actor=manager)
    lines = client_for(manager).read(f"/api/v1/partners/{firm.pk}/timeline").json()["results"]
    approval, started = lines[0], lines[-1]
    assert (approval["action"], approval["by"], approval["actor_id"]) == (
        "partner.approve", "staff", str(manager.pk),
    )  # fmt: skip
    assert (started["action"], started["by"]) == ("partner.start_onboarding", "partner")
    assert {"partner", "onboarding_round", "partner_role", "tax_registration"} <= {
        change["type"] for change in started["changes"]
    }
    shown = {name for change in approval["changes"] for name in change["changed"]}
    assert {"status", "code", "kyc_expiry_date"} <= shown
    assert firm.pan not in str(lines)

    applicant.refresh_from_db()
    own = client_for(applicant).read(f"/api/v1/partners/{firm.pk}/timeline").json()["results"]
    assert [(line["action"], line["by"], line["actor_id"]) for line in own[:1]] == [
        ("partner.approve", "staff", None)
    ]
    of_file = client_for(applicant).read(f"/api/v1/partners/onboarding/{round.pk}/timeline")
    assert "partner.submit" in {line["action"] for line in of_file.json()["results"]}
    other = client_for(user("PARTNER_ADMIN", of=factories.ready_partner()))
    for path in (f"{firm.pk}/timeline", f"onboarding/{round.pk}/timeline"):
        assert other.read(f"/api/v1/partners/{path}").status_code == 404


def test_the_partner_learns_neither_score_nor_route_from_a_timeline(client_for, user):
    applicant = user("APPLICANT")
    round = factories.reviewed(applicant)
    applicant.refresh_from_db()
    with caused_by("score"), unguarded_writes():
        firm = Partner.objects.get(pk=round.partner_id)
        firm.trust_score, firm.risk_category = 12, "critical"
        firm.save()
    names = {}
    for reader in (user("INTERNAL"), applicant):
        for path in (f"{firm.pk}/timeline", f"onboarding/{round.pk}/timeline"):
            lines = client_for(reader).read(f"/api/v1/partners/{path}", {"limit": "200"}).json()["results"]
            names.setdefault(reader, set()).update(
                name for line in lines for change in line["changes"] for name in change["changed"]
            )
    staff, partner = names.values()
    assert {"trust_score", "risk_category", "route", "score_parts", "name_score"} <= staff
    assert not partner & {
        "trust_score", "risk_category", "route", "score_parts", "name_score", "note", "result", "provider",
        "decided_by_id",
    }  # fmt: skip


def test_the_partner_learns_of_no_proposed_or_refused_limit_from_a_timeline(client_for, user):
    firm = factories.ready_partner()
    account = CreditAccount.objects.get(partner=firm)
    limit = credit.set_credit_limit(
        account, actor=user("INTERNAL_FINANCE"), amount=Decimal(2_000_000), currency="INR",
        valid_from=clock.today(), reason="Good payer for three years.",
    )  # fmt: skip
    read = client_for(user("PARTNER_ADMIN", of=firm)).read
    for status, shown in (("proposed", False), ("refused", False), ("approved", True)):
        with unguarded_writes():
            CreditLimit.objects.filter(pk=limit.pk).update(status=status)
        text = str(read(f"/api/v1/partners/{firm.pk}/timeline", {"limit": "200"}).json()["results"])
        assert (str(limit.pk) in text) is shown, status
        assert "proposed_by_id" not in text
    staff = client_for(user("INTERNAL")).read(f"/api/v1/partners/{firm.pk}/timeline").json()["results"]
    assert "proposed_by_id" in str(staff)


def test_a_timeline_shows_parts_that_were_removed(client_for, user):
    applicant = user("APPLICANT")
    firm = factories.reviewed(applicant).partner
    with caused_by("part"), unguarded_writes():
        owner = PartnerOwner(partner=firm, name="One", kind="director")
        owner.save()
        key = str(owner.pk)
    with caused_by("removal"), unguarded_writes():
        owner.delete()
    applicant.refresh_from_db()
    for reader in (user("INTERNAL"), applicant):
        lines = client_for(reader).read(f"/api/v1/partners/{firm.pk}/timeline", {"limit": "200"}).json()
        changes = [change for line in lines["results"] for change in line["changes"] if change["id"] == key]
        assert [(each["type"], each["operation"]) for each in changes] == [
            ("partner_owner", "added"), ("partner_owner", "removed"),
        ]  # fmt: skip


def test_analytics_count_every_partner_once_and_agree_with_the_rows(
    client_for, user, django_assert_num_queries
):
    today, now = clock.today(), clock.now()
    for days in (91, 90, 31, 30, 8, 7, 0, -1, -30, -31):
        factories.ready_partner(
            kyc_expiry_date=today + timedelta(days=days), status="suspended" if days == 7 else "active"
        )
    factories.file_of("draft")
    for hours, route, status in (
        (2, "auto", "approved"),
        (10, "manager", "rejected"),
        (50, "manager", "approved"),
    ):
        round = factories.file_of("draft")
        with unguarded_writes():
            OnboardingRound.objects.filter(pk=round.pk).update(
                status=status, route=route, submitted_at=now - timedelta(hours=hours), decided_at=now,
                reason_code="name_mismatch" if status == "rejected" else None,
            )  # fmt: skip
    client = client_for(user("INTERNAL"))
    found = client.read("/api/v1/partners/analytics").json()
    assert found["kyc"] == {
        "over_90_days": 1, "days_31_to_90": 2, "days_8_to_30": 2, "days_0_to_7": 2, "grace": 2, "lapsed": 1,
    }  # fmt: skip
    counted = {each["value"]: each["count"] for each in found["by_status"]}
    assert sum(found["kyc"].values()) == counted["active"] + counted["suspended"] == 10
    assert found["funnel"] == {
        "started": 4, "submitted": 3, "reviewed": 4, "approved": 2, "rejected": 1, "withdrawn": 0, "expired": 0,
        "open": 1,
    }  # fmt: skip
    assert found["decisions"][:2] == [
        {
            "route": "auto",
            "decided": 1,
            "median_hours": "2.0",
            "over_target": 1,
            "over_target_percent": "100.0",
        },
        {
            "route": "manager",
            "decided": 2,
            "median_hours": "30.0",
            "over_target": 1,
            "over_target_percent": "50.0",
        },
    ]
    assert found["decisions"][2]["median_hours"] is None
    reasons = {each["value"]: each["count"] for each in found["rejection_reasons"]}
    assert (reasons["name_mismatch"], sum(reasons.values())) == (1, 1)
    assert len(found["trend"]) == 12
    assert found["trend"][-1].pop("month") == f"{today:%Y-%m}"
    found["trend"][-2].pop("month")  # some were submitted in it where today is one of the first of a month
    assert Counter(found["trend"][-1]) + Counter(found["trend"][-2]) == {
        "started": 4, "submitted": 3, "approved": 2, "rejected": 1,
    }  # fmt: skip
    assert {"value": "seller", "count": 10} in found["by_role"]
    with django_assert_num_queries(15):
        analytics(today)


def test_the_use_of_credit_is_counted_in_sql_as_the_account_says_itself():
    exposures = (0, 1, 49, 50, 74, 75, 89, 90, 99, 100, 150)
    for number, exposure in enumerate(exposures * 2):
        account = CreditAccount.objects.get(partner=factories.ready_partner())
        with unguarded_writes():
            CreditAccount.objects.filter(pk=account.pk).update(
                holds=exposure, margin=10 if exposure == 1 else 0, on_hold=exposure == 74 and number > 10
            )
            if number < len(exposures) or exposure == 74:
                CreditLimit(
                    partner_id=account.pk, account=account, amount=90, collateral_value="20.01", collateral_rate="0.5",
                    valid_from=clock.today(), status="approved", base_version=1, reason="For a test.",
                ).save()  # fmt: skip
    day = clock.today()
    accounts = CreditAccount.objects.with_level(day).select_related("partner")
    assert [each.used for each in accounts] == [str(each.level(each.limit)) for each in accounts]
    assert {each.used for each in accounts} == set(Level.values)


@pytest.mark.parametrize(("role", "status"), [("AUDITOR", 403), ("PARTNER_ADMIN", 403), ("INTERNAL", 200)])
def test_analytics_are_for_holders_of_their_capability(client_for, user, role, status):
    reader = user(role, **({"of": factories.ready_partner()} if role == "PARTNER_ADMIN" else {}))
    assert client_for(reader).read("/api/v1/partners/analytics").status_code == status


def test_the_partner_reads_why_an_amendment_was_rejected_and_not_the_note_of_an_approval(client_for, user):
    firm = factories.ready_partner()
    person, director = user("PARTNER_ADMIN", of=firm), user("INTERNAL_DIRECTOR")

    def note(name, decide, **said):
        changes = [{"target": "partner", "target_id": None, "field": "legal_name", "value": name}]
        made = amendments.request_amendment(
            firm, actor=person, changes=changes, reason="A new name of the firm."
        )
        decide(made, actor=director, **said)
        path = f"/api/v1/partners/amendments/{made.pk}"
        return [client_for(reader).read(path).json()["decision_note"] for reader in (person, director)]

    why = "The certificate names another firm."
    assert note("First", amendments.reject_amendment, reason_code="unproven", reason=why) == [why, why]
    assert note("Second", amendments.approve_amendment, note="Seen by us.") == [None, "Seen by us."]


def test_the_kyc_register_is_a_pdf_masked_as_reads_and_the_same_for_the_same_data(client_for, user):
    firm = factories.approved(legal_name="श्री सोमनाथ उद्योग")
    account = CreditAccount.objects.get(partner=firm)
    with unguarded_writes():
        CreditLimit(
            partner_id=firm.pk, account=account, amount="2479684.66", valid_from=clock.today(), status="approved",
            base_version=1, reason="For a test.",
        ).save()  # fmt: skip
    path = f"/api/v1/partners/{firm.pk}/kyc-register"
    registration = TaxRegistration.objects.get(partner=firm)
    number = PartnerBankAccount.objects.get(partner=firm).number
    for role, clear in (("AUDITOR", False), ("INTERNAL_COMPLIANCE", True)):
        client = client_for(user(role))
        first = client.read(path)
        assert (first.status_code, first["Content-Type"]) == (200, "application/pdf")
        assert first["Content-Disposition"] == f'attachment; filename="kyc-register-{firm.code.lower()}.pdf"'
        assert client.read(path).content == first.content
        pages = PdfReader(BytesIO(first.content)).pages
        text = "".join(page.extract_text() for page in pages)
        assert "₹24,79,684.66" in text
        assert "श्री" in text
        assert "Trade licence" in text
        assert "Page 1 of" in text
        for secret in (firm.pan, registration.gstin, firm.contact_email, firm.contact_phone):
            assert (secret in text) is clear, secret
        assert number not in text
    assert [(each.filters["partner"], each.lines) for each in Export.objects.all()] == [(str(firm.pk), 1)] * 4
    assert client_for(user("INTERNAL")).read(path).status_code == 403
    assert client_for(user("PARTNER_ADMIN", of=firm)).read(path).status_code == 403


def _plan(client, path, query, without=("seqscan", "sort")):
    """The plan of the statement that reads the page, where some steps cost the most."""
    with CaptureQueriesContext(connection) as captured:
        assert client.read(f"/api/v1/partners{path}", query).status_code == 200
    page = [each["sql"] for each in captured if "LIMIT 51" in each["sql"]][-1]
    with connection.cursor() as cursor:
        for step in without:
            cursor.execute(f"SET LOCAL enable_{step} = off")
        cursor.execute("EXPLAIN (COSTS OFF) " + page)
        return [line for (line,) in cursor.fetchall()]
