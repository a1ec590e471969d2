"""The risk desk in the staff portal: every page opens, and people decide what waits for them."""

from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.approvals.models import ApprovalRequest
from apps.risk.models import (
    CurrencyRate,
    PairBlock,
    ProviderCheck,
    RiskOverride,
    RiskPolicy,
    RiskStatus,
    ScreeningHit,
    ScreeningList,
    SurveillanceAlert,
)
from apps.risk.services import assessing, overrides, surveillance
from apps.risk.tests import factories
from erp import clock
from erp.access import SYSTEM

pytestmark = pytest.mark.django_db
URL = "/admin/risk"
REASON = "The buyer pays in advance from next week on."


def test_every_page_opens_and_queues_show_what_waits(deal, user, staff_client_for, partner):
    """§5.9: the manual queue, with alerts, hits and checks."""
    made = deal(limit=100_000_000)
    row = made.judge(1_000)
    factories.sanctions(("E1", "ENTITY", made.seller.legal_name))
    assessing.assess_partner(actor=SYSTEM, partner=made.seller, side="SELLER")
    surveillance.report_limit(actor=SYSTEM, partner_id=made.buyer.pk, level="high", utilisation=Decimal(92))
    factories.fact(made.buyer, made.seller, made.offer.commodity)
    client = staff_client_for(user("INTERNAL_COMPLIANCE"))
    for model in ("riskstatus", "riskassessment", "riskoverride", "surveillancealert", "pairblock", "screeninghit",
                  "providercheck", "riskpolicy", "screeninglist", "currencyrate", "tradefact"):  # fmt: skip
        assert client.get(f"{URL}/{model}/").status_code == 200, model
    page = client.get(f"{URL}/riskassessment/{row.pk}/change/").content.decode()
    assert "provider.missing" in page
    assert "Rating" in page
    hit = ScreeningHit.objects.get()
    assert made.seller.legal_name in client.get(f"{URL}/screeninghit/{hit.pk}/change/").content.decode()
    word = RiskStatus.objects.get()
    assert client.get(f"{URL}/riskstatus/{word.pk}/change/").status_code == 200
    home = client.get("/admin/").content.decode()
    for title in ("Alerts to look at", "Screening hits", "Providers that don&#x27;t answer"):
        assert title in home, title


def test_people_decide_in_the_portal(deal, user, staff_client_for, partner):
    made = deal(limit=100_000_000)
    made.judge(1_000)
    factories.sanctions(("E1", "ENTITY", made.seller.legal_name))
    assessing.assess_partner(actor=SYSTEM, partner=made.seller, side="SELLER")
    surveillance.report_limit(actor=SYSTEM, partner_id=made.buyer.pk, level="high", utilisation=Decimal(92))
    client = staff_client_for(user("INTERNAL_COMPLIANCE"))

    alert = SurveillanceAlert.objects.get()
    client.fill(f"{URL}/surveillancealert/{alert.pk}/run/take_alert/")
    client.fill(
        f"{URL}/surveillancealert/{alert.pk}/run/decide_alert/", status="CLEARED", note="The season begins."
    )
    assert SurveillanceAlert.objects.get().status == "CLEARED"

    hit = ScreeningHit.objects.get()
    client.fill(
        f"{URL}/screeninghit/{hit.pk}/run/decide_hit/",
        status="FALSE_POSITIVE",
        reason="Another town, other owners.",
    )
    assert ScreeningHit.objects.get().proposed_status == "FALSE_POSITIVE"

    check = ProviderCheck.objects.waiting().get()
    file = SimpleUploadedFile("grade.pdf", b"%PDF-1.4 grade B", content_type="application/pdf")
    client.fill(
        f"{URL}/providercheck/{check.pk}/run/answer_by_hand/", grade="B", as_of=clock.today().isoformat(),
        reason="Read out by the bureau on the phone.", evidence=file,
    )  # fmt: skip
    assert ProviderCheck.objects.get(pk=check.pk).grade == "B"

    client.fill(
        f"{URL}/pairblock/start/block_pair/", partner_id=str(made.buyer.pk), other_partner_id=str(made.seller.pk),
        reason="Complaint of a mill.",
    )  # fmt: skip
    block = PairBlock.objects.get()
    client.fill(f"{URL}/pairblock/{block.pk}/run/free_pair/", reason="The complaint was withdrawn.")
    assert PairBlock.objects.get().freed_at is not None

    client.fill(
        f"{URL}/riskpolicy/start/propose_policy/",
        body='{"warn_below": 80}',
        reason="More warnings in season.",
    )
    assert RiskPolicy.objects.get(status="PROPOSED").body["warn_below"] == 80

    client.fill(
        f"{URL}/currencyrate/start/record_rate/", currency="USD", date=clock.today().isoformat(), rate="88.5",
        source="RBI",
    )  # fmt: skip
    assert CurrencyRate.objects.get().rate == Decimal("88.5")

    content = b"reference,kind,names,country,identifiers\nX1,ENTITY,Somebody Else,,\n"
    client.fill(
        f"{URL}/screeninglist/start/load_list/", code="EU", snapshot_date=clock.today().isoformat(),
        source_name="EU list", content=SimpleUploadedFile("eu.csv", content, content_type="text/csv"),
    )  # fmt: skip
    loaded = ScreeningList.objects.get(code="EU")
    assert (loaded.entries, loaded.status) == (1, "LOADED")
    client.fill(
        f"{URL}/screeninglist/{loaded.pk}/run/activate_list/", reason="Compared with the page of the EU."
    )
    assert ApprovalRequest.objects.filter(kind="risk.list", subject_id=loaded.pk).exists()

    factories.policy(warn_below=80)
    row = made.judge(10)
    client.fill(
        f"{URL}/riskoverride/start/request_override/",
        **{"assessment_id": str(row.pk), "codes": "score.low", "reason_code": "COMMERCIAL", "reason": REASON,
           "max_value.amount": "300000", "max_value.currency": "INR"},
    )  # fmt: skip
    override = RiskOverride.objects.get()
    assert (override.codes, override.max_value) == (["score.low"], Decimal(300_000))
    assert ApprovalRequest.objects.filter(kind="risk.override").exists()
    assert "revoke" not in override.open_verbs()
    assert overrides.EVIDENCE == "risk.override"
