"""Notices to applicants and administrators of partners."""

from datetime import date
from typing import Any

from django.conf import settings

from apps.notifications.models import Category, Channel, Message, Notice, Values, verified_address
from apps.partners.models import (
    AmendmentChange,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
)


def _partner(message: Message) -> Partner:
    found: Partner = Partner.objects.get(pk=message.fact("partner_id"))
    return found


def _of_partner(message: Message) -> Values:
    return {"partner": str(_partner(message)), "link": settings.PUBLIC_URL}


def _info_requested(message: Message) -> Values | None:
    """None once the questions are answered."""
    round = OnboardingRound.objects.get(pk=message.fact("round_id"))
    if round.status != OnboardingRound.Status.INFO_REQUESTED:
        return None
    return {**_of_partner(message), "items": str(round.items.filter(answered_at=None).count())}


def _rejected(message: Message) -> Values:
    round = OnboardingRound.objects.get(pk=message.fact("round_id"))
    return {**_of_partner(message), "reason": round.reason or ""}


def _document(message: Message) -> Values:
    paper = PartnerDocument.objects.get(pk=message.fact("document_id"))
    reason = paper.reject_reason or paper.get_reject_code_display()
    return {**_of_partner(message), "what": paper.get_document_type_display(), "reason": str(reason)}


def _reminder(message: Message) -> Values:
    """What ends on which day; a paper is named, KYC is the firm's."""
    what: Any = "KYC"
    if message.context["subject_type"] == "document":
        what = PartnerDocument.objects.get(pk=message.fact("subject_id")).get_document_type_display()
    day = date.fromisoformat(message.context["expiry_date"])
    return {**_of_partner(message), "what": str(what), "day": f"{day.day} {day:%B %Y}"}


def _bank_account(message: Message) -> Values:
    account = PartnerBankAccount.objects.get(pk=message.fact("bank_account_id"))
    return {**_of_partner(message), "account": f"{account.bank_name} …{account.last4}"}


def _recipient(message: Message) -> str | None:
    """The user's address; of a message to no user, the partner's contact as it was before the change."""
    if message.user is not None:
        return verified_address(message)
    name = "contact_email" if message.channel == Channel.MAIL else "contact_phone"
    changes = AmendmentChange.objects.filter(amendment=message.context.get("amendment_id"), field=name)
    former = changes.filter(target=AmendmentChange.Target.PARTNER).first()
    found: str | None = former.old_value if former is not None else getattr(_partner(message), name)
    return found


_FIRM = frozenset({"partner", "link"})
INFO_REQUESTED = Notice(
    code="partner_info_requested",
    title="Questions about your application",
    category=Category.TRANSACTIONAL,
    variables=_FIRM | {"items"},
    values=_info_requested,
)
APPROVED = Notice(
    code="partner_approved",
    title="Approved partners",
    category=Category.TRANSACTIONAL,
    variables=_FIRM,
    values=_of_partner,
)
REJECTED = Notice(
    code="partner_rejected",
    title="Rejected applications",
    category=Category.TRANSACTIONAL,
    variables=_FIRM | {"reason"},
    values=_rejected,
)
DOCUMENT_REJECTED = Notice(
    code="partner_document_rejected",
    title="Rejected papers",
    category=Category.TRANSACTIONAL,
    variables=_FIRM | {"what", "reason"},
    values=_document,
)
EXPIRY = Notice(
    code="partner_expiry",
    title="Papers and KYC that end soon",
    category=Category.TRANSACTIONAL,
    variables=_FIRM | {"what", "day"},
    values=_reminder,
)
SUSPENDED = Notice(
    code="partner_suspended",
    title="Suspended partners",
    category=Category.TRANSACTIONAL,
    variables=_FIRM,
    values=_of_partner,
)
BANK_ACCOUNT = Notice(
    code="partner_bank_account",
    title="Bank accounts that were added or verified",
    category=Category.SECURITY,
    variables=_FIRM | {"account"},
    values=_bank_account,
    address=_recipient,
)
CONTACT = Notice(
    code="partner_contact_changed",
    title="Changed contacts of partners",
    category=Category.SECURITY,
    variables=_FIRM,
    values=_of_partner,
    address=_recipient,
)
