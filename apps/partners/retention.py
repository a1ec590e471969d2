"""What tables of partners hold about people, and when applications that led to nothing are erased."""

from apps.partners.models import Amendment, AmendmentChange, OnboardingRound, Partner, PartnerDocument
from apps.partners.models.partners import APPLICATION_KEPT, DRAFT_KEPT, RECOGNISED
from apps.partners.services.retention import PARTS, erase_application, forget_pan
from erp.retention import DELETE, Rule, declare, register

_ONBOARDING = "onboarding and KYC"
declare(
    Partner,
    category="firm, contact, tax numbers",
    purpose=_ONBOARDING,
    erased={
        "legal_name": "Erased firm", "trade_name": "", "contact_name": "", "contact_email": "", "contact_phone": "",
        "line1": "Erased", "line2": None, "city": "Erased", "district": None, "postal_code": "–", "state_code": None,
        "pan_encrypted": None, "pan_hash": None, "iec_encrypted": None, "iec_hash": None,
        "foreign_tax_id_encrypted": None, "foreign_tax_id_hash": None, "cin": None, "llpin": None, "tan": None,
        "udyam": None, "transporter_id": None, "declared_turnover": None, "applicant_id": None,
    },
)  # fmt: skip
declare(
    OnboardingRound,
    category="reasons and notes",
    purpose=_ONBOARDING,
    erased={"reason": None, "note": None},
)
declare(PartnerDocument, category="papers", purpose=_ONBOARDING, erased=DELETE)
for part in PARTS:
    declare(part, category="people, places, accounts, numbers", purpose=_ONBOARDING, erased=DELETE)
# Only approved partners have amendments, whose books are kept for eight years.
declare(Amendment, category="reasons", purpose="changes of partners", erased=DELETE)
declare(AmendmentChange, category="old and new values", purpose="changes of partners", erased=DELETE)
register(
    Rule(
        "partner.draft",
        "drafts that were never submitted",
        DRAFT_KEPT,
        "DPDP Act 2023 s.8(7): the purpose has ended",
        lambda now: Partner.objects.abandoned(now),
        erase_application,
    )
)
register(
    Rule(
        "partner.application",
        "rejected, withdrawn and expired applications",
        APPLICATION_KEPT,
        "DPDP Rules 2025 r.8: one year at least",
        lambda now: Partner.objects.refused(now),
        erase_application,
    )
)
register(
    Rule(
        "partner.recognition",
        "PAN hashes of firms refused for forged papers or sanctions",
        RECOGNISED,
        "DPDP Act 2023 s.7: a legal duty",
        lambda now: Partner.objects.forgettable(now),
        forget_pan,
    )
)
