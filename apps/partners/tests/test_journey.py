"""Journey A1–A7: firms apply, are checked, verified and approved, over HTTP and with the printed identifiers."""

import pytest

from apps.accounts.models import User
from apps.partners.models import KycCheck, OnboardingRound, Partner, PartnerDocument
from apps.partners.tasks import run_checks
from apps.partners.tests import factories
from erp import clock
from erp.files import PDF, Upload
from erp.uploads.tasks import scan

pytestmark = pytest.mark.django_db(transaction=True)
START = "/api/v1/partners/onboarding/start"
SOMNATH = {
    "roles": ["seller"],
    "legal_name": "Shree Somnath Ginning & Pressing",
    "legal_form": "partnership",
    "pan": "ZZZFS1001A",
    "gstin": "24ZZZFS1001A1ZK",
    "address": {"line1": "Station Road", "city": "Gondal", "state_code": "24", "postal_code": "360311"},
    "contact": {"name": "Test Person", "email": "office@somnath.example", "phone": "+919876543210"},
    "owners": [{"name": "Test Person", "kind": "partner"}],
}


def test_a_seller_applies_and_is_approved(user, client_for, emitted):
    applicant = user("APPLICANT")
    client = client_for(applicant)

    # A2: faults first, then the start
    faulty = client.write(START, {**SOMNATH, "gstin": "24ZZZFS1001A1ZX"})
    assert faulty.status_code == 400
    assert [(e["pointer"], e["code"]) for e in faulty.json()["errors"]] == [("/gstin", "gstin.checksum")]
    other = client.write(START, {**SOMNATH, "pan": "ZZZCK2002B"})
    assert (other.status_code, other.json()["code"]) == (422, "partner.pan_mismatch")
    started = client.write_twice(START, SOMNATH)
    assert started.status_code == 201
    round = started.json()
    path, partner_id = f"/api/v1/partners/onboarding/{round['id']}", round["partner_id"]
    assert (round["status"], round["partner_status"], len(round["checklist"])) == ("draft", "draft", 6)
    assert client.write(START, SOMNATH).json()["code"] == "partner.onboarding_open"

    # A3: papers
    fake = {"file": Upload("licence.pdf", PDF, b"MZ\x90\x00\x03 a program"), "document_type": "pan_card"}
    assert client.write(f"{path}/documents", fake).status_code == 415
    for kind in factories.SELLER_PAPERS:
        body = {"file": factories.paper(kind), "document_type": kind}
        if kind == "trade_license":
            body["expiry_date"] = "2199-12-31"
        assert client.write_twice(f"{path}/documents", body).status_code == 201
    assert sum(item["done"] for item in client.read(path).json()["checklist"]) == 4
    early = client.write(f"{path}/submit", SUBMIT)
    assert (early.status_code, len(early.json()["errors"])) == (422, 2)

    # A4: place, bank account, employee
    parts = f"/api/v1/partners/{partner_id}"
    place = {"code": "HQ", "name": "Gondal", "kind": "principal", "address": SOMNATH["address"]}
    wrong = {**place, "address": {**place["address"], "postal_code": "641004"}}
    assert client.write(f"{parts}/locations", wrong).json()["code"] == "partner.pin_state_mismatch"
    assert client.write_twice(f"{parts}/locations", place).status_code == 201
    account = {
        "holder": "Shree Somnath Ginning", "bank_name": "Demo Bank", "number": "000012345678",
        "number_again": "0000 1234 5678", "account_type": "current", "purpose": "both", "ifsc": "ZZZB0000261",
    }  # fmt: skip
    added = client.write_twice(f"{parts}/bank-accounts", account)
    assert (added.json()["status"], added.json()["last4"]) == ("pending_verification", "5678")
    assert b"12345678" not in added.content
    person = {
        "name": "Meena Shah",
        "email": "meena@somnath.example",
        "phone": "+919876543211",
        "roles": ["SELLER"],
    }
    assert client.write_twice(f"{parts}/employees", person).json()["status"] == "planned"
    assert all(item["done"] for item in client.read(path).json()["checklist"])

    # A5: submit; the registries answer behind
    sent = client.write_twice(f"{path}/submit", SUBMIT)
    assert (sent.status_code, sent.json()["status"]) == (202, "verification_pending")
    assert run_checks() >= 2
    assert {c.status for c in KycCheck.objects.filter(partner=partner_id)} == {"passed"}
    review = client.read(path).json()
    assert (review["status"], review["trust_score"], review["route"]) == ("under_review", None, None)

    # A6: papers and account verified, then approved by somebody else
    scan()
    compliance, finance, manager = (user(f"INTERNAL_{role}") for role in ("COMPLIANCE", "FINANCE", "MANAGER"))
    for document in PartnerDocument.objects.filter(partner=partner_id):
        answer = client_for(compliance).write_twice(
            f"/api/v1/partners/documents/{document.pk}/verify", {}, if_match=document.version
        )
        assert answer.status_code == 200, answer.content
    money = client_for(finance)
    bank = money.read(f"/api/v1/partners/bank-accounts/{added.json()['id']}")
    verified = money.write(
        f"/api/v1/partners/bank-accounts/{added.json()['id']}/verify",
        {"method": "penny_drop"},
        if_match=bank["ETag"],
    )
    assert verified.status_code == 200, verified.content
    assert verified.json()["is_primary"] is True
    desk = client_for(manager)
    stale = desk.read(parts)["ETag"]
    assert desk.write(f"{parts}/approve", {}).status_code == 428
    assert desk.write(f"{parts}/approve", {}, if_match='"1"').status_code == 412
    approved = desk.write_twice(f"{parts}/approve", {"notes": "Complete."}, if_match=stale)
    assert (approved.status_code, approved.json()["status"]) == (200, "active"), approved.content
    assert approved.json()["code"].startswith("BP-IN-")
    applicant.refresh_from_db()
    assert (applicant.user_type, str(applicant.partner_id)) == (User.Type.EXTERNAL, partner_id)
    assert User.objects.get(pk=applicant.pk).role_names == ["PARTNER_ADMIN", "SELLER"]
    assert client.read(f"{parts}/employees").json()["results"][0]["status"] == "invited"
    names = [p["name"] for p in client.read(f"{parts}/permissions").json()["results"]]
    assert names == ["domestic_sell_india"]

    told = [event.event_type for event in emitted("", aggregate_id=partner_id)]
    assert told.count("partner.document.uploaded") == told.count("partner.document.verified") == 4
    for one in (
        "partner.onboarding.started", "partner.onboarding.submitted", "partner.onboarding.assessed", "partner.approved",
        "partner.location.added", "partner.bank_account.added", "partner.bank_account.verified",
    ):  # fmt: skip
        assert told.count(one) == 1, one


def fields(name, legal_form, gstin, town, pin, **more):
    """What a firm of the journey sends to start."""
    serial = gstin[7:11]
    return {
        "legal_name": name,
        "legal_form": legal_form,
        "pan": gstin[2:12],
        "gstin": gstin,
        "address": {
            "line1": f"Plot {serial}", "city": town, "state_code": gstin[:2], "postal_code": pin,
        },
        "contact": {"name": "Test Person", "email": f"office@p{serial}.example", "phone": f"+91987654{serial}"},
        "owners": [{"name": "Test Person", "kind": "proprietor" if legal_form == "proprietorship" else "director"}],
        **more,
    }  # fmt: skip


OTHERS = {
    "kovai": (
        fields("Kovai Spinners Pvt Ltd", "private_limited", "33ZZZCK2002B1ZU", "Coimbatore", "641004", roles=["buyer"]),
        ("pan_card", "gst_certificate", "cancelled_cheque"),
        {"BUYER"},
    ),
    "mumbadevi": (
        fields(
            "Mumbadevi Cotton Brokers LLP", "llp", "27ZZZFM3003C1ZA", "Mumbai", "400002", roles=["broker"]
        ),
        ("pan_card", "cancelled_cheque"),
        {"BROKER"},
    ),
    "saurashtra": (
        fields(
            "Saurashtra Roadways", "proprietorship", "24ZZZPR4004D1ZL", "Rajkot", "360001",
            roles=["service_provider"], service_kinds=["transporter"], transporter_kind="lorry_owner",
        ),
        ("pan_card", "gst_certificate", "cancelled_cheque"),
        {"SERVICE_PROVIDER"},
    ),
}  # fmt: skip


def test_the_others_apply_and_credit_above_the_band_takes_two(user, client_for, emitted):
    """A7: Kovai, Mumbadevi and Saurashtra the same way; a limit of a crore for Kovai."""
    compliance, finance, manager, second = (
        user(f"INTERNAL_{role}") for role in ("COMPLIANCE", "FINANCE", "MANAGER", "MANAGER")
    )
    ids = {}
    for firm, (body, kinds, roles) in OTHERS.items():
        applicant = user("APPLICANT")
        client = client_for(applicant)
        started = client.write(START, body)
        assert started.status_code == 201, started.content
        path, parts = f"/api/v1/partners/onboarding/{started.json()['id']}", started.json()["partner_id"]
        ids[firm], parts = parts, f"/api/v1/partners/{parts}"
        place = {"code": "HQ", "name": "Head office", "kind": "principal", "address": body["address"]}
        assert client.write(f"{parts}/locations", place).status_code == 201
        number = f"00004321{body['pan'][5:9]}"
        account = {
            "holder": body["legal_name"], "bank_name": "Demo Bank", "number": number, "number_again": number,
            "account_type": "current", "purpose": "both", "ifsc": "ZZZB0000261",
        }  # fmt: skip
        assert client.write(f"{parts}/bank-accounts", account).status_code == 201
        papers = [{"document_type": kind} for kind in kinds]
        if firm == "saurashtra":
            truck = client.write(f"{parts}/vehicles", LORRY)
            assert (truck.status_code, truck.json()["number"]) == (201, "GJ03BT4321"), truck.content
            papers += [
                {"document_type": kind, "target_type": "vehicle", "target_id": truck.json()["id"]}
                for kind in ("vehicle_rc", "vehicle_insurance", "vehicle_fitness", "vehicle_permit")
            ]
        for paper in papers:
            file = factories.paper(f"{firm}-{paper['document_type']}")
            assert client.write(f"{path}/documents", {**paper, "file": file}).status_code == 201
        sent = client.write(f"{path}/submit", SUBMIT)
        assert sent.status_code == 202, sent.content
        run_checks()
        scan()
        for document in PartnerDocument.objects.filter(partner=ids[firm]):
            verify = f"/api/v1/partners/documents/{document.pk}/verify"
            assert client_for(compliance).write(verify, {}, if_match=document.version).status_code == 200
        desk = client_for(manager)
        approved = desk.write(f"{parts}/approve", {}, if_match=desk.read(parts)["ETag"])
        assert approved.status_code == 200, approved.content
        assert set(User.objects.get(pk=applicant.pk).role_names) == {"PARTNER_ADMIN", *roles}
    assert len(emitted("partner.vehicle.added", aggregate_id=ids["saurashtra"])) == 1
    assert not emitted("partner.related_party.detected")

    body = {
        "amount": "10000000.00", "currency": "INR", "valid_from": str(clock.today()), "payment_terms_days": 15,
        "reason": "Turnover of the last year and three references.",
    }  # fmt: skip
    money, other = client_for(finance), client_for(second)
    proposed = money.write_twice(f"/api/v1/partners/{ids['kovai']}/credit-limit", body)
    assert (proposed.status_code, proposed.json()["status"]) == (202, "proposed")
    request = f"/api/v1/approvals/{proposed.json()['approval_id']}"
    seen = other.read(request)
    note = {"subject_version": seen.json()["subject_version"], "note": "References seen."}
    own = money.write(f"{request}/approve", note, if_match=seen["ETag"])
    assert (own.status_code, own.json()["code"]) == (403, "approval.self"), own.content
    assert money.read(f"/api/v1/partners/{ids['kovai']}/credit").json()["limit"] == "0.00"
    granted = other.write_twice(f"{request}/approve", note, if_match=seen["ETag"])
    assert granted.status_code == 200, granted.content
    assert money.read(f"/api/v1/partners/{ids['kovai']}/credit").json()["limit"] == "10000000.00"
    for event, number in (
        ("partner.credit_limit_proposed", 1), ("partner.credit_limit_changed", 1), ("approval.granted", 1),
    ):  # fmt: skip
        assert len(emitted(event)) == number, event


LORRY = {
    "number": "GJ03BT4321", "category": "truck", "owner_name": "Saurashtra Roadways", "capacity_tonnes": "16.00",
}  # fmt: skip
SUBMIT = {
    "declaration": True,
    "terms_version": "1",
    "notice_version": "1",
    "consent_purposes": ["essential"],
}


def test_a_registry_that_is_down_delays_and_refuses_nothing(user, client_for):
    """The GST registry answers 503 for this number; the round waits, and goes on when a person settles the check."""
    number = "24ZZZCT9001H1ZV"
    round = factories.submitted(
        legal_name="Late Firm", legal_form="private_limited", pan="ZZZCT9001H", gstin=number
    )
    run_checks()
    round.refresh_from_db()
    assert round.status == OnboardingRound.Status.VERIFICATION_PENDING
    waiting = KycCheck.objects.get(partner=round.partner_id, kind="gst")
    assert (waiting.status, waiting.attempts, waiting.error_code) == ("pending", 1, "unavailable")
    assert waiting.next_attempt_at is not None
    from apps.partners.services import checks

    checks.settle_check(
        waiting, actor=user("INTERNAL_COMPLIANCE"), reason="Seen on the portal of the registry."
    )
    round.refresh_from_db()
    assert round.status == OnboardingRound.Status.UNDER_REVIEW
    assert Partner.objects.get(pk=round.partner_id).status == "pending"
