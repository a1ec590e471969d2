"""One successful request per endpoint of partners."""

from datetime import timedelta
from itertools import count
from uuid import uuid4

from apps.partners.models import (
    Amendment,
    CreditAccount,
    CreditLimit,
    ExposureEntry,
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerEmployee,
    PartnerLocation,
    PartnerRole,
    PartyLink,
    TradePermission,
    Vehicle,
)
from apps.partners.services import papers
from apps.partners.services.amendments import request_amendment
from apps.partners.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.api.examples import Example, Sample
from erp.models import unguarded_writes
from erp.services import caused_by


def _profile(**fields):
    """A profile whose numbers are of one PAN that no other example has."""
    made = {}

    def part(name, shown):
        def make(world, target):
            if name == "pan" or "pan" not in made:
                made["pan"] = factories.pan()
            return made["pan"] if name == "pan" else factories.gstin(made["pan"])

        return Sample(shown, make)

    return {
        "roles": ["seller"],
        "legal_name": "Shree Somnath Ginning & Pressing",
        "legal_form": "partnership",
        "pan": part("pan", "ZZZFS1001A"),
        "gstin": part("gstin", "24ZZZFS1001A1ZK"),
        "address": dict(factories.ADDRESS),
        "contact": {"name": "Asha Patel", "email": "office@somnath.example", "phone": "+919876543210"},
        "owners": [{"name": "Test Person", "kind": "partner"}],
        **fields,
    }


def _file(status="draft", **fields):
    """A file of an applicant in a status."""
    return lambda world: factories.file_of(status, applicant=world.user("APPLICANT"), **fields)


def _staff_file(status, **fields):
    return lambda world: factories.file_of(status, **fields).partner


def _applicant(world, target):
    return target.partner.applicant if hasattr(target, "partner") else target.applicant


def _staff(role):
    return lambda world, target: world.user(f"INTERNAL_{role}" if role else "INTERNAL")


def _admin(world, target):
    return world.user("PARTNER_ADMIN", of=target)


def _partner(world):
    return factories.file_of("approved").partner


def _lorry_owner(world):
    partner = factories.ready_partner(roles=())
    with unguarded_writes():
        PartnerRole(
            partner=partner, role="service_provider", service_kind="transporter", transporter_kind="lorry_owner",
            live=True,
        ).save()  # fmt: skip
    return partner


def _question(world, target):
    with unguarded_writes():
        item = target.items.create(partner=target.partner, text="Which year?", due_at=clock.now())
    return [{"item_id": str(item.pk), "text": "2025-26."}]


def _document(world):
    return factories.document_of(factories.file_of("under_review"), "itr")


def _account(world):
    partner = factories.file_of("approved").partner
    return PartnerBankAccount.objects.get(partner=partner)


def _cheque(world, target):
    round = target.partner.rounds.get()
    return str(factories.document_of(round, "bank_proof", status="verified").pk)


def _employee(world):
    partner = factories.ready_partner()
    person = world.user("SELLER", of=partner)
    with unguarded_writes():
        employee = PartnerEmployee(
            partner=partner, user=person, name="Meena Shah", email=person.email, phone="+919876543211",
            roles=["SELLER"], status="active",
        )  # fmt: skip
        employee.save()
    return employee


def _amendment(world):
    partner = _whole(world)
    return request_amendment(
        partner,
        actor=SYSTEM,
        changes=[{"target": "partner", "field": "legal_name", "value": f"Works {_text()}"}],
        reason="The deed of partnership was changed.",
    )


def _amendment_of_whole(world, viewer):
    with unguarded_writes():
        Amendment(
            partner=_whole(world), tier="low", status="applied", reason="For a list.", effective_date=clock.today(),
            expires_at=clock.now(),
        ).save()  # fmt: skip


def _suspended(world):
    return factories.ready_partner(
        status="suspended", suspension_code="other", suspension_reason="For a test."
    )


def _credit(world):
    return CreditAccount.objects.get(partner=factories.ready_partner())


ADDRESS = {**factories.ADDRESS, "line1": "Plot 7, GIDC"}
PAPER = {"file": factories.paper("licence"), "document_type": "itr"}
EXAMPLES = {
    "start_onboarding": Example(lambda world, target: world.user("APPLICANT"), _profile()),
    "save_draft": Example(_applicant, _profile(trade_name="Somnath Cotton"), _file()),
    "add_document": Example(_applicant, PAPER, _file()),
    "remove_part": Example(
        _applicant,
        {
            "target": "location",
            "target_id": lambda world, target: str(target.partner.locations.get().pk),
        },
        _file(),
    ),
    "submit": Example(
        _applicant,
        {"declaration": True, "terms_version": "1", "notice_version": "1", "consent_purposes": ["essential"]},
        _file(),
    ),
    "request_info": Example(
        _staff("MANAGER"),
        {"items": [{"text": "Which year is the licence of?"}], "due_days": 10},
        _file("under_review"),
    ),
    "respond": Example(
        _applicant,
        {
            "answers": Sample(
                [{"item_id": "01890a5d-ac96-774b-bcce-b302099a8057", "text": "2025-26."}], _question
            )
        },
        _file("info_requested"),
    ),
    "withdraw": Example(_applicant, {"reason": "We apply later."}, _file()),
    "approve": Example(_staff("MANAGER"), {"notes": "Complete."}, _staff_file("under_review")),
    "reject": Example(
        _staff("MANAGER"),
        {"reason_code": "incomplete", "reason": "The licence is of another firm."},
        _staff_file("under_review"),
    ),
    "suspend": Example(
        _staff("DIRECTOR"), {"reason_code": "non_payment", "reason": "Three invoices are overdue."}, _partner
    ),
    "reactivate": Example(_staff("DIRECTOR"), {"reason": "All invoices are paid."}, _suspended),
    "renew_kyc": Example(_admin, {"kind": "annual"}, _partner),
    "complete_renewal": Example(
        _staff("MANAGER"),
        {"round_id": lambda world, target: str(target.rounds.get().pk)},
        _staff_file("under_review", kind="kyc_annual"),
    ),
    "request_amendment": Example(
        _admin,
        {
            "changes": [
                {"target": "partner", "field": "legal_name", "value": "Somnath Ginning & Pressing Works"}
            ],
            "reason": "The deed of partnership was changed.",
        },
        _partner,
    ),
    "approve_amendment": Example(_staff("DIRECTOR"), {"note": "Deed seen."}, _amendment),
    "reject_amendment": Example(
        _staff("DIRECTOR"), {"reason_code": "unproven", "reason": "The deed is missing."}, _amendment
    ),
    "withdraw_amendment": Example(_staff(""), {}, _amendment),
    "set_credit_limit": Example(
        _staff("FINANCE"),
        {
            "amount": "2000000.00",
            "currency": "INR",
            "valid_from": Sample("2026-01-12", lambda world, target: str(clock.today() + timedelta(days=1))),
            "payment_terms_days": 15,
            "reason": "Good payer for three years.",
        },
        _credit,
    ),
    "upload_document": Example(_admin, PAPER, _partner),
    "verify_document": Example(_staff("COMPLIANCE"), {}, _document),
    "reject_document": Example(
        _staff("COMPLIANCE"), {"reason_code": "illegible", "reason": "The scan is too dark."}, _document
    ),
    "add_location": Example(
        _admin, {"code": "GODOWN", "name": "Godown", "kind": "warehouse", "address": ADDRESS}, _partner
    ),
    "add_vehicle": Example(
        _admin,
        {
            "number": Sample("GJ03BT4321", lambda world, target: f"GJ03BT{int(factories.pan()[5:9]):04d}"),
            "category": "truck",
            "owner_name": "Saurashtra Roadways",
            "capacity_tonnes": "16.00",
        },
        _lorry_owner,
    ),
    "invite_employee": Example(
        _admin,
        {
            "name": "Meena Shah",
            "email": Sample(
                "meena@somnath.example", lambda world, target: f"{factories.pan().lower()}@example.com"
            ),
            "phone": "+919876543211",
            "roles": ["SELLER"],
        },
        _partner,
    ),
    "deactivate_employee": Example(_staff(""), {}, _employee),
    "add_bank_account": Example(
        _admin,
        {
            "holder": "Shree Somnath Ginning",
            "bank_name": "Demo Bank",
            "number": "000098765432",
            "number_again": "000098765432",
            "account_type": "current",
            "purpose": "both",
            "ifsc": "ZZZB0000261",
        },
        _partner,
    ),
    "verify_bank_account": Example(_staff("FINANCE"), {"method": "cheque", "document_id": _cheque}, _account),
}


def _whole(world):
    """The partner whose parts are listed; the same one as long as a test runs."""
    found = Partner.objects.filter(trade_name="The whole").first()
    return found or factories.ready_partner(trade_name="The whole")


def _part(model, **fields):
    """A maker of parts of the whole, each with texts of its own."""

    def make(world, viewer):
        values = {name: value() if callable(value) else value for name, value in fields.items()}
        with unguarded_writes():
            row = model(partner=_whole(world), **values)
            row.save()
        return row

    return make


def _text():
    return uuid4().hex[:10]


def _round_of_whole(world, viewer):
    whole = _whole(world)
    with unguarded_writes():
        return OnboardingRound.objects.create(
            partner=whole, number=whole.rounds.count() + 1, kind="kyc_annual", status="approved"
        )


def _document_of_whole(world, viewer):
    return factories.document_of(_round_of_whole(world, viewer))


def _entry(world, viewer):
    account = CreditAccount.objects.get(partner=_whole(world))
    with unguarded_writes():
        ExposureEntry(
            partner_id=account.pk, account=account, side="buy", bucket="hold", kind="take_hold", amount=1,
            asked_amount=1, source_type="reservation", source_id=uuid4(), entry_key=_text(),
        ).save()  # fmt: skip


_limits = count()


def _limit(world, viewer):
    account, day = (
        CreditAccount.objects.get(partner=_whole(world)),
        clock.today() + timedelta(days=next(_limits)),
    )
    with unguarded_writes():
        CreditLimit(
            partner_id=account.pk, account=account, amount=1, valid_from=day, valid_to=day, status="refused",
            base_version=1, reason="For a list.",
        ).save()  # fmt: skip


_location = _part(
    PartnerLocation,
    code=_text,
    name="Godown",
    kind="warehouse",
    **factories.ADDRESS,
)
_vehicle = _part(
    Vehicle, number=_text, category="truck", owner_name="Saurashtra Roadways", capacity_tonnes=16
)
_person = _part(
    PartnerEmployee,
    name="Meena Shah",
    email=lambda: f"{_text()}@example.com",
    phone="+919876543211",
    roles=["SELLER"],
)
_bank_account = _part(
    PartnerBankAccount, holder="Firm", bank_name="Demo Bank", last4="1234", ifsc="ZZZB0000261",
    account_type="current", purpose="both", number_hash=_text,
)  # fmt: skip


def _permission(world, viewer):
    held = TradePermission.objects.filter(partner=_whole(world)).values_list("name", flat=True)
    missing = [name for name in TradePermission.Name.values if name not in held]
    with unguarded_writes():
        for name in missing[:1]:
            TradePermission(partner=_whole(world), name=name, valid_from=clock.today()).save()


def _check(world, viewer):
    with unguarded_writes():
        KycCheck(partner=_whole(world), kind="geocode", subject_id=uuid4()).save()


def _file_of_whole(world):
    found = OnboardingRound.objects.filter(partner=_whole(world), kind="kyc_adhoc").first()
    if found is None:
        with unguarded_writes():
            found = OnboardingRound.objects.create(
                partner=_whole(world), number=99, kind="kyc_adhoc", status="approved"
            )
    return found


def _upload_to_file(world, viewer):
    """A paper uploaded by a request of its own, as the timeline tells requests apart."""
    with caused_by(str(uuid4())):
        papers.add_document(
            _file_of_whole(world), actor=SYSTEM, file=factories.paper(_text()), document_type="other"
        )


def _link(world, viewer):
    with unguarded_writes():
        low, high = sorted((_whole(world).pk, factories.ready_partner().pk))
        PartyLink(low_id=low, high_id=high, kind="phone", strength="warn", evidence=["phone"]).save()


_OF = "/api/v1/partners/<uuid:pk>"
_FILE = "/api/v1/partners/onboarding/<uuid:pk>"
WHOLES = {_FILE: _file_of_whole, _OF: _whole}
LISTS = {
    "/api/v1/partners/onboarding": ("INTERNAL_MANAGER", _round_of_whole),
    "/api/v1/partners/documents": ("INTERNAL_MANAGER", _document_of_whole),
    "/api/v1/partners/employees": ("INTERNAL_MANAGER", _person),
    "/api/v1/partners/bank-accounts": ("INTERNAL_MANAGER", _bank_account),
    f"{_OF}/rounds": ("INTERNAL_MANAGER", _round_of_whole),
    f"{_OF}/documents": ("INTERNAL_MANAGER", _document_of_whole),
    f"{_OF}/locations": ("INTERNAL_MANAGER", _location),
    f"{_OF}/vehicles": ("INTERNAL_MANAGER", _vehicle),
    f"{_OF}/employees": ("INTERNAL_MANAGER", _person),
    f"{_OF}/bank-accounts": ("INTERNAL_MANAGER", _bank_account),
    "/api/v1/partners/amendments": ("INTERNAL_MANAGER", _amendment_of_whole),
    f"{_OF}/amendments": ("INTERNAL_MANAGER", _amendment_of_whole),
    f"{_OF}/permissions": ("INTERNAL_MANAGER", _permission),
    f"{_OF}/credit-limits": ("INTERNAL_MANAGER", _limit),
    f"{_OF}/exposure": ("INTERNAL_MANAGER", _entry),
    f"{_OF}/checks": ("INTERNAL_MANAGER", _check),
    f"{_OF}/timeline": ("INTERNAL_MANAGER", _upload_to_file),
    f"{_FILE}/timeline": ("INTERNAL_MANAGER", _upload_to_file),
    "/api/v1/partners/kyc/expiring": (
        "INTERNAL_MANAGER",
        lambda world, viewer: factories.ready_partner(kyc_expiry_date=clock.today() + timedelta(days=3)),
    ),
    f"{_OF}/links": ("INTERNAL_MANAGER", _link),
}
