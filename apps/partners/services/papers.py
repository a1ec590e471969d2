"""Papers: uploaded, verified or rejected by another person, and expired by their date (partners §4.3)."""

from datetime import date
from typing import Any, Final
from uuid import UUID

from apps.partners import capabilities, events
from apps.partners.models import (
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerLocation,
    PartnerOwner,
    TaxRegistration,
    Vehicle,
)
from apps.partners.services import permissions
from apps.partners.services.rules import (
    InvalidState,
    lock_partner_of,
    require_another_person,
    sees_clear,
    touch,
)
from erp import access, clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid, RuleBroken
from erp.files import Upload
from erp.services import emit, service
from erp.uploads import services as uploads

PURPOSE: Final = "partner.document"
FILES_A_DAY: Final = 60
PAPERS_A_ROUND: Final = 200
_Status = PartnerDocument.Status
_TARGETS: Final[dict[str, Any]] = {
    PartnerDocument.Target.LOCATION: PartnerLocation,
    PartnerDocument.Target.VEHICLE: Vehicle,
    PartnerDocument.Target.BANK_ACCOUNT: PartnerBankAccount,
    PartnerDocument.Target.OWNER: PartnerOwner,
}


class DocumentDuplicate(Conflict):
    """This file was uploaded before."""

    constraints = ("document_once",)


class TooManyDocuments(Conflict):
    """No more papers can be uploaded today."""


class DocumentExpired(RuleBroken):
    """The paper isn't valid any more."""


class DocumentTypeNotApplicable(RuleBroken):
    """This type of paper doesn't fit what it is about."""


class NotActive(Conflict):
    """The partner isn't active."""


class DocumentNotClean(Conflict):
    """The scan for malware isn't done, or refused the file."""


class DocumentValueMismatch(RuleBroken):
    """The number on the paper isn't the number entered."""


UPLOAD_ERRORS: Final = (
    InvalidState, DocumentDuplicate, TooManyDocuments, DocumentExpired, DocumentTypeNotApplicable,
)  # fmt: skip


@service(
    requires=capabilities.CREATE,
    emits=[events.DocumentUploaded],
    raises=UPLOAD_ERRORS,
    lock_via=lock_partner_of,
    label="Upload paper",
)
def add_document(
    round: OnboardingRound,
    *,
    actor: Actor,
    file: Upload,
    document_type: str,
    target_type: str = PartnerDocument.Target.PARTNER,
    target_id: UUID | None = None,
    number: str | None = None,
    issue_date: date | None = None,
    expiry_date: date | None = None,
    replaces: PartnerDocument | None = None,
) -> PartnerDocument:
    """Upload a paper to a file. Type and SHA-256 come from the content, never from the file's name."""
    ended = (
        OnboardingRound.Status.REJECTED, OnboardingRound.Status.WITHDRAWN, OnboardingRound.Status.EXPIRED,
    )  # fmt: skip
    partner_side = (*OnboardingRound.EDITABLE, OnboardingRound.Status.APPROVED)
    if round.status in ended or not (actor.is_staff or actor.is_system or round.status in partner_side):
        raise InvalidState.of_status(round)
    document = PartnerDocument(
        round=round,
        document_type=document_type,
        target_type=target_type,
        issue_date=issue_date,
        expiry_date=expiry_date,
        replaces=replaces,
    )
    document.number = number
    return _store(document, target_id, file, actor)


@service(
    requires=capabilities.UPDATE,
    emits=[events.DocumentUploaded],
    raises=[*UPLOAD_ERRORS, NotActive],
    label="Upload paper",
)
def upload_document(
    partner: Partner,
    *,
    actor: Actor,
    file: Upload,
    document_type: str,
    target_type: str = PartnerDocument.Target.PARTNER,
    target_id: UUID | None = None,
    number: str | None = None,
    issue_date: date | None = None,
    expiry_date: date | None = None,
    replaces: PartnerDocument | None = None,
) -> PartnerDocument:
    """Upload a later paper of an active or suspended partner, such as a renewed licence."""
    if partner.status not in (Partner.Status.ACTIVE, Partner.Status.SUSPENDED):
        raise NotActive
    rounds = OnboardingRound.objects.filter(partner=partner, status=OnboardingRound.Status.APPROVED)
    round = rounds.order_by("-number").first()
    if round is None:
        raise InvalidState.of_status(partner, "The partner has no approved file.")
    document = PartnerDocument(
        round=round,
        document_type=document_type,
        target_type=target_type,
        issue_date=issue_date,
        expiry_date=expiry_date,
        replaces=replaces,
    )
    document.number = number
    return _store(document, target_id, file, actor)


def _store(document: PartnerDocument, target_id: UUID | None, file: Upload, actor: Actor) -> PartnerDocument:
    """Check a paper against its file of the partner, and store it with the uploaded file."""
    round, replaces = document.round, document.replaces
    partner = document.partner = round.partner
    document.target_id = _target(document, target_id)
    if document.expiry_date is not None and document.expiry_date < clock.today():
        raise DocumentExpired(errors=[FieldError("/expiry_date", "expired", "This day has passed.")])
    same = (partner.pk, document.document_type, document.target_id)
    if replaces is not None and (replaces.partner_id, replaces.document_type, replaces.target_id) != same:
        raise DocumentTypeNotApplicable(
            errors=[FieldError("/replaces", "type", "It replaces a paper of the same type only.")]
        )
    _check_amounts(round, actor)
    stored = uploads.create(actor=actor, file=file, purpose=PURPOSE, used_by="partner.partnerdocument")
    document.revision = 1 if replaces is None else replaces.revision + 1
    document.file, document.filename, document.media_type = stored, file.name, file.media_type
    document.size, document.sha256, document.uploaded_by_id = stored.size, file.sha256, actor.pk
    document.save()
    touch(partner, actor, round if round.is_open else None)
    emit(
        events.DocumentUploaded(
            partner_id=partner.pk,
            round_id=round.pk,
            document_id=document.pk,
            document_type=document.document_type,
            target_type=document.target_type,
            revision=document.revision,
            expiry_date=document.expiry_date,
        )
    )
    return document


def _target(document: PartnerDocument, target_id: UUID | None) -> UUID:
    """The row that the paper is about, one of the partner's. Raises Invalid, DocumentTypeNotApplicable."""
    of_vehicle = document.document_type in PartnerDocument.VEHICLE_PAPERS
    if of_vehicle != (document.target_type == PartnerDocument.Target.VEHICLE):
        raise DocumentTypeNotApplicable(
            errors=[
                FieldError("/target_type", "type", "Papers of a vehicle belong to a vehicle, others don't.")
            ]
        )
    if document.target_type == PartnerDocument.Target.PARTNER:
        key: UUID = document.partner.pk
        return key
    rows = _TARGETS[document.target_type].objects.filter(partner=document.partner, pk=target_id)
    if target_id is None or not rows.exists():
        raise Invalid(errors=[FieldError("/target_id", "does_not_exist", "The partner has no such row.")])
    return target_id


def _check_amounts(round: OnboardingRound, actor: Actor) -> None:
    papers = PartnerDocument.objects.filter(round=round)
    since = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    outside = not (actor.is_staff or actor.is_system)
    today = PartnerDocument.objects.filter(uploaded_by_id=actor.pk, created_at__gte=since)
    if papers.count() >= PAPERS_A_ROUND or (outside and today.count() >= FILES_A_DAY):
        raise TooManyDocuments


@service(
    requires=capabilities.VERIFY_KYC,
    emits=[events.DocumentVerified, events.PermissionsChanged],
    raises=[InvalidState, DocumentNotClean, DocumentExpired, DocumentValueMismatch],
    lock_via=lock_partner_of,
    label="Verify paper",
)
def verify_document(
    document: PartnerDocument,
    *,
    actor: Actor,
    expiry_date: date | None = None,
    number: str | None = None,
) -> PartnerDocument:
    """Verify a paper: what it says is what was entered. Whoever uploaded it can't verify it."""
    _require_undecided(document, actor)
    if document.scan_status != "clean":
        raise DocumentNotClean
    last = expiry_date or document.expiry_date
    if last is not None and last < clock.today():
        raise DocumentExpired(errors=[FieldError("/expiry_date", "expired", "This day has passed.")])
    entered = _entered_number(document)
    if number is not None and entered is not None and plain(number) != plain(entered):
        raise DocumentValueMismatch(errors=[FieldError("/number", "mismatch", DocumentValueMismatch.title)])
    if number is not None:
        document.number = number
    document.expiry_date = last
    document.status, document.decided_by_id, document.decided_at = _Status.VERIFIED, actor.pk, clock.now()
    document.save()
    if document.replaces is not None and document.replaces.status == _Status.VERIFIED:
        document.replaces.status = _Status.SUPERSEDED
        document.replaces.save()
    partner = Partner.objects.get(pk=document.partner_id)
    permissions.recompute(partner)
    emit(
        events.DocumentVerified(
            partner_id=document.partner_id,
            document_id=document.pk,
            document_type=document.document_type,
            target_type=document.target_type,
            expiry_date=document.expiry_date,
            by_system=actor.is_system,
        )
    )
    return document


def _require_undecided(document: PartnerDocument, actor: Actor) -> None:
    if document.status != _Status.UPLOADED:
        raise InvalidState.of_status(document, "The paper is decided already; a correction is a new upload.")
    require_another_person(actor, document.uploaded_by_id)


def plain(text: str) -> str:
    """A number without spaces and hyphens, in capitals."""
    return "".join(text.upper().split()).replace("-", "")


def _entered_number(document: PartnerDocument) -> str | None:
    """What was entered in the file of what the paper proves."""
    partner, kind = document.partner, PartnerDocument.Type
    number: str | None = document.number
    if document.document_type == kind.PAN_CARD:
        number = partner.pan
    elif document.document_type == kind.IEC:
        number = partner.iec
    elif document.document_type == kind.GST_CERTIFICATE:
        main = TaxRegistration.objects.filter(partner=partner, is_main=True).first()
        number = main.gstin if main is not None else None
    elif document.target_type == PartnerDocument.Target.BANK_ACCOUNT:
        number = PartnerBankAccount.objects.get(pk=document.target_id).number
    return number


@service(
    requires=capabilities.VERIFY_KYC,
    emits=[events.DocumentRejected],
    raises=[InvalidState],
    lock_via=lock_partner_of,
    label="Reject paper",
)
def reject_document(
    document: PartnerDocument, *, actor: Actor, reason_code: str, reason: str = ""
) -> PartnerDocument:
    """Reject a paper, with a reason that the partner reads."""
    _require_undecided(document, actor)
    document.status, document.decided_by_id, document.decided_at = _Status.REJECTED, actor.pk, clock.now()
    document.reject_code, document.reject_reason = reason_code, reason or None
    document.save()
    emit(
        events.DocumentRejected(
            partner_id=document.partner_id,
            document_id=document.pk,
            document_type=document.document_type,
            reason_code=reason_code,
        )
    )
    return document


def may_read_content(actor: Actor, document: PartnerDocument) -> bool:
    """Whether the actor may read the file, which shows numbers in clear; before the scan only its uploader may."""
    if document.uploaded_by_id is not None and document.uploaded_by_id == actor.pk:
        return True
    sees = sees_clear(actor, document) or access.may(actor, capabilities.VERIFY_KYC, document)
    return sees and document.scan_status == "clean"


@service(
    requires=capabilities.OPERATE,
    emits=[events.DocumentExpired, events.PermissionsChanged],
    lock_via=lock_partner_of,
)
def expire_document(document: PartnerDocument, *, actor: Actor) -> PartnerDocument:
    """End a paper whose last day has passed; permissions and roles that rest on it end with it."""
    over = document.expiry_date is not None and document.expiry_date < clock.today()
    if document.status == _Status.VERIFIED and over:
        document.status = _Status.EXPIRED
        document.save()
        permissions.recompute(Partner.objects.get(pk=document.partner_id))
        emit(
            events.DocumentExpired(
                partner_id=document.partner_id,
                document_id=document.pk,
                document_type=document.document_type,
                target_type=document.target_type,
                target_id=document.target_id,
            )
        )
    return document
