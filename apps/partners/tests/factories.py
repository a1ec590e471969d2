"""Files of partners in every state, made by the services, with fictitious but well-formed numbers."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from stdnum import luhn

from apps.accounts.models import User
from apps.organization.tests.factories import pan as any_pan
from apps.partners.models import (
    CreditAccount,
    IdentifierKey,
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerLocation,
    PartnerOwner,
    PartnerRole,
    TaxRegistration,
    TradePermission,
)
from apps.partners.services import decisions, onboarding, papers, parts, submission
from apps.partners.tasks import run_check
from erp import clock
from erp.access import SYSTEM
from erp.encryption import keyed_hash
from erp.files import PDF, Upload
from erp.models import unguarded_writes
from erp.uploads.models import FileContent, StoredFile
from erp.uploads.tasks import scan

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Check characters that make the sandbox of the GST registry answer otherwise than well.
_PLAYED = frozenset("TVRMSXQPN")
SELLER_PAPERS = ("pan_card", "gst_certificate", "cancelled_cheque", "trade_license")
ADDRESS = {
    "line1": "Station Road", "city": "Gondal", "district": "Rajkot", "state_code": "24", "postal_code": "360311",
}  # fmt: skip


def pan() -> str:
    """A partnership's PAN that no other call returns, with which the sandbox finds nothing wrong."""
    return any_pan()


def gstin(number: str, state: str = "24") -> str:
    """A GSTIN of the PAN, with which the sandbox finds nothing wrong."""
    for entity in "123456789ABCDEFG":
        start = f"{state}{number}{entity}Z"
        check = luhn.calc_check_digit(start, _ALPHABET)
        if check not in _PLAYED:
            return start + check
    raise AssertionError("no such GSTIN")


def paper(name: str = "paper") -> Upload:
    """A file that no other call with another name returns."""
    return Upload(f"{name}.pdf", PDF, f"%PDF-1.4 {name}".encode())


def profile(number: str = "", **fields: Any) -> dict[str, Any]:
    """The profile of an Indian seller as a request carries it."""
    number = number or pan()
    return {
        "roles": ["seller"],
        "legal_name": f"Shree {uuid4().hex[:8]} Ginning",
        "legal_form": "partnership",
        "pan": number,
        "gstin": gstin(number),
        "address": dict(ADDRESS),
        "contact": {"name": "Asha Patel", "email": f"{number.lower()}@example.com", "phone": "+919876543210"},
        "owners": [{"name": "Test Person", "kind": "partner"}],
        **fields,
    }


def draft(actor: Any = SYSTEM, **fields: Any) -> OnboardingRound:
    """A file that was just started, by an applicant or by staff."""
    made: OnboardingRound = onboarding.start_onboarding(actor=actor, profile=profile(**fields))
    return made


def complete(
    round: OnboardingRound, actor: Any = SYSTEM, kinds: tuple[str, ...] = SELLER_PAPERS
) -> OnboardingRound:
    """Add what the checklist asks for: papers, principal place, bank account."""
    for kind in kinds:
        papers.add_document(round, actor=actor, file=paper(f"{round.pk}-{kind}"), document_type=kind)
    partner = round.partner
    parts.add_location(
        partner, actor=actor, code="HQ", name="Head office", kind="principal", address=dict(ADDRESS)
    )
    number = str(partner.pk.int)[-12:]
    parts.add_bank_account(
        partner, actor=actor, holder=partner.legal_name, bank_name="Demo Bank", number=number[:8] + "1234",
        number_again=number[:8] + "1234", account_type="current", purpose="both", ifsc="ZZZB0000261",
    )  # fmt: skip
    return OnboardingRound.objects.get(pk=round.pk)


def submitted(actor: Any = SYSTEM, **fields: Any) -> OnboardingRound:
    """A complete file that was submitted and waits for the registries."""
    started = draft(actor, **fields)
    if actor is not SYSTEM:
        actor.refresh_from_db()  # it applies for the partner now
    round = complete(started, actor)
    submission.submit(
        round,
        actor=actor,
        declaration=True,
        terms_version="1",
        notice_version="1",
        consent_purposes=["essential"],
    )
    return OnboardingRound.objects.get(pk=round.pk)


def answer_checks(partner_id: UUID) -> None:
    """Ask the sandbox about every pending check of the partner."""
    for check in KycCheck.objects.filter(partner=partner_id, status="pending").order_by("id"):
        run_check(str(check.pk))


def verify_papers(partner_id: UUID, actor: Any = SYSTEM) -> None:
    """Scan and verify every paper of the partner."""
    scan()
    for document in PartnerDocument.objects.filter(partner=partner_id, status="uploaded").order_by("id"):
        papers.verify_document(document, actor=actor)


def reviewed(actor: Any = SYSTEM, **fields: Any) -> OnboardingRound:
    """A file under review whose papers are verified: it can be approved.

    Registries are asked outside transactions, so only tests with transactions of their own can ask them; others get
    the answers written.
    """
    round = submitted(actor, **fields)
    pass_checks(round)
    with unguarded_writes():
        for document in PartnerDocument.objects.filter(partner=round.partner_id):
            document.file.scan_status = "clean"
            document.file.save()
    for document in PartnerDocument.objects.filter(partner=round.partner_id).order_by("id"):
        papers.verify_document(document, actor=SYSTEM)
    return OnboardingRound.objects.get(pk=round.pk)


def pass_checks(round: OnboardingRound) -> None:
    """Record a good answer of every registry."""
    from apps.partners.clients.sandbox import PLAY
    from apps.partners.services import checks

    paths = {"gst": "/taxpayers", "pan": "/pans", "bank": "/penny-drops", "geocode": "/points"}
    for check in KycCheck.objects.filter(round=round, status="pending").order_by("id"):
        answer = PLAY[paths[check.kind]](paths[check.kind], checks.inputs_of(check))
        assert isinstance(answer, tuple)
        checks.record_check(
            check, actor=SYSTEM, input_hash=check.input_hash, provider="sandbox", answer=answer[1]
        )


def approved(**fields: Any) -> Partner:
    """A partner that came through onboarding."""
    round = reviewed(**fields)
    partner: Partner = decisions.approve(Partner.objects.get(pk=round.partner_id), actor=SYSTEM)
    return partner


def ready_partner(name: str = "", **fields: Any) -> Partner:
    """A partner as onboarding leaves one, written as it is: for the thousands of tests that need just any."""
    today = clock.today()
    roles = fields.pop("roles", ("seller", "buyer"))
    number = pan()
    values = {
        "legal_name": name or f"Firm {uuid4().hex[:8]}",
        "legal_form": "partnership",
        "status": Partner.Status.ACTIVE,
        "code": f"BP-{number[4:]}",
        "kyc_verified_date": today,
        "kyc_expiry_date": today + timedelta(days=365),
        **ADDRESS,
        **fields,
    }
    with unguarded_writes():
        partner = Partner(**values)
        partner.pan = number
        partner.save()
        PartnerRole.objects.bulk_create(
            [PartnerRole(partner=partner, role=role, live=True, usable_from=today) for role in roles]
        )
        TradePermission.objects.bulk_create(
            [
                TradePermission(partner=partner, name=permission, valid_from=today)
                for permission in ("domestic_buy_india", "domestic_sell_india")
            ]
        )
        CreditAccount(id=partner.pk, partner=partner).save()
    return Partner.objects.get(pk=partner.pk)


def file_of(
    status: str = "draft", *, applicant: Any = None, kind: str = "onboarding", **fields: Any
) -> OnboardingRound:
    """A complete file in a status, written as it is: for tests that are about the step after it."""
    number, now = pan(), clock.now()
    decided = {"approved": "active", "rejected": "rejected", "withdrawn": "closed", "draft": "draft"}
    with unguarded_writes():
        partner = Partner(
            legal_name=f"Firm {uuid4().hex[:8]}",
            legal_form="partnership",
            status=decided.get(status, "pending") if kind == "onboarding" else "active",
            applicant=applicant,
            contact_name="Asha Patel",
            contact_email="office@firm.example",
            contact_phone="+919876543210",
            **ADDRESS,
            **({} if kind == "onboarding" and status != "approved" else _trading(number)),
        )
        partner.pan = number
        partner.save()
        PartnerRole(partner=partner, role="seller", live=kind != "onboarding").save()
        registration = TaxRegistration(
            partner=partner, state_code="24", form="REGULAR", is_main=True, claimed=status != "draft"
        )
        registration.gstin = gstin(number)
        registration.save()
        if applicant is not None:
            PartnerOwner(partner=partner, name=applicant.full_name, kind="partner").save()
            User.objects.filter(pk=applicant.pk).update(partner_id=partner.pk)
            applicant.partner_id = partner.pk
        round = OnboardingRound(
            partner=partner, number=1, kind=kind, status=status, route="manager", trust_score=60,
            risk_category="medium", submitted_at=None if status == "draft" else now,
            expires_at=now + timedelta(days=30) if status in ("draft", "info_requested") else None, **fields,
        )  # fmt: skip
        round.save()
        PartnerLocation(
            partner=partner, code="HQ", name="Head office", kind="principal", geo_status="located", **ADDRESS
        ).save()
        account = PartnerBankAccount(
            partner=partner, holder=partner.legal_name, bank_name="Demo Bank", last4="1234", ifsc="ZZZB0000261",
            account_type="current", purpose="both",
        )  # fmt: skip
        account.number = "000012341234"
        account.save()
        for type_ in SELLER_PAPERS:
            document_of(round, type_, status="uploaded" if status == "draft" else "verified")
        if status not in ("draft", "verification_pending"):
            KycCheck(
                partner=partner,
                round=round,
                kind="pan",
                subject_id=partner.pk,
                status="passed",
                mandatory=True,
            ).save()
    return OnboardingRound.objects.get(pk=round.pk)


def _trading(number: str) -> dict[str, Any]:
    today = clock.today()
    return {
        "code": f"BP-{number[4:]}",
        "kyc_verified_date": today,
        "kyc_expiry_date": today + timedelta(days=30),
    }


def document_of(
    round: OnboardingRound, kind: str = "other", status: str = "uploaded", **fields: Any
) -> PartnerDocument:
    """A paper of a file, written as it is, whose scan found nothing."""
    name = f"{kind}-{uuid4().hex[:8]}"
    file = paper(name)
    with unguarded_writes():
        stored = StoredFile(
            purpose="partner.document", name=file.name, media_type=file.media_type, size=len(file.content),
            sha256=file.sha256, scan_status="clean", used_by="partner.partnerdocument",
            expires_at=clock.now(),
        )  # fmt: skip
        stored.save()
        FileContent(file=stored, content=file.content).save()
        document = PartnerDocument(
            partner=round.partner, round=round, document_type=kind, file=stored, filename=file.name,
            media_type=file.media_type, size=stored.size, sha256=file.sha256, status=status,
            decided_at=clock.now() if status == "verified" else None,
            **{"target_id": round.partner_id, **fields},
        )  # fmt: skip
        document.save()
    return PartnerDocument.objects.get(pk=document.pk)


def on_file(firm: Partner, phone: str, days: int) -> None:
    """Put a telephone number of the partner on file since that many days."""
    with unguarded_writes():
        IdentifierKey.objects.update_or_create(
            partner=firm,
            kind="phone",
            hash=keyed_hash(phone, context="identifier.phone"),
            defaults={"since": clock.now() - timedelta(days=days)},
        )
