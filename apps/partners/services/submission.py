"""Submission of a file, answers of the applicant, and the end of a file without a decision."""

from collections.abc import Sequence
from typing import Any, Final

from django.db import IntegrityError

from apps.partners import capabilities, events
from apps.partners.models import (
    KycCheck,
    OnboardingRound,
    Partner,
    PartyLink,
    TaxRegistration,
    Vehicle,
)
from apps.partners.services import links
from apps.partners.services.checklist import checklist
from apps.partners.services.checks import ask_registries, assess_if_complete
from apps.partners.services.onboarding import (
    PROFILE_ERRORS,
    PROFILE_ROWS,
    AnswersMissing,
    NeedsAmendment,
    allowed_changes,
    answer_items,
    save_profile,
)
from apps.partners.services.rules import (
    DuplicateRegistration,
    InvalidState,
    add_editor,
    lock_partner_of,
    role_names,
    roles_of,
)
from erp import clock
from erp.access import Actor
from erp.errors import FieldError, RuleBroken
from erp.services import Refusal, attempt, emit, refuse, service

CHUNK: Final = 200  # rounds of one sweep


class Incomplete(RuleBroken):
    """Something is missing in the file."""


class LicenceRequired(RuleBroken):
    """This service needs its licence."""


_LICENCES: Final = {"financer": "nbfc_license", "shipping_agent": "cha_license"}


@service(
    requires=capabilities.CREATE,
    emits=[
        events.OnboardingSubmitted,
        events.DuplicateDetected,
        events.RelatedPartyDetected,
        events.OnboardingAssessed,
    ],
    raises=[
        *PROFILE_ERRORS,
        InvalidState,
        Incomplete,
        LicenceRequired,
        DuplicateRegistration,
        NeedsAmendment,
    ],
    lock_via=lock_partner_of,
    writes_on_refusal=[*PROFILE_ROWS, PartyLink],
)
def submit(
    round: OnboardingRound,
    *,
    actor: Actor,
    declaration: bool,
    terms_version: str,
    notice_version: str,
    consent_purposes: Sequence[str],
    profile: dict[str, Any] | None = None,
) -> OnboardingRound | Refusal:
    """Submit the file. The registries are asked behind; their outage never fails a submission.

    ``profile`` replaces the whole profile before. A GST registration that another partner has claimed is refused
    without naming it; staff see both files.
    """
    if round.status != OnboardingRound.Status.DRAFT:
        raise InvalidState.of_status(round)
    partner = round.partner
    if profile is not None:
        save_profile(partner, profile, pointer="/profile", only=allowed_changes(round))
    _require_complete(round)
    duplicate = _claim(partner, round)
    if duplicate is not None:
        return duplicate
    round.submitted_at = clock.now()
    round.notice_version, round.consent_purposes = notice_version, sorted(consent_purposes)
    asked = _hand_in(round, actor)
    emit(
        events.OnboardingSubmitted(
            partner_id=partner.pk,
            round_id=round.pk,
            kind=round.kind,
            roles=role_names(roles_of(partner)),
            country=partner.country,
            checks=asked,
            notice_version=notice_version,
            consent_purposes=sorted(consent_purposes),
        )
    )
    assess_if_complete(round)
    return round


def _hand_in(round: OnboardingRound, actor: Actor) -> int:
    """Give the file to staff, look for related parties, and ask the registries; return how many are asked."""
    round.status, round.expires_at = OnboardingRound.Status.VERIFICATION_PENDING, None
    round.save()
    add_editor(round, actor)
    partner = round.partner
    if partner.status == Partner.Status.DRAFT:
        partner.status = Partner.Status.PENDING
    partner.raise_version()
    partner.save()
    links.refresh(partner)
    return ask_registries(round)


def _require_complete(round: OnboardingRound) -> None:
    """Raise Incomplete with every item of the checklist that is missing, or LicenceRequired."""
    missing = [item for item in checklist(round, clock.today()) if not item.done]
    names = {item.item for item in missing}
    for role in roles_of(round.partner):
        licence = _LICENCES.get(role.service_kind or "")
        if licence in names:
            raise LicenceRequired(
                errors=[FieldError("/documents", licence, "Upload the licence of this service.")]
            )
    if missing:
        raise Incomplete(
            errors=[
                FieldError(f"/checklist/{item.item}", "missing", f"Missing: {item.title}.")
                for item in missing
            ]
        )


def _claim(partner: Partner, round: OnboardingRound) -> Refusal | None:
    """Claim the GST registrations of the file; the database decides between two files at once."""
    wanted = list(TaxRegistration.objects.filter(partner=partner, claimed=False).order_by("gstin_hash"))
    try:
        with attempt():
            for registration in wanted:
                registration.claimed = True
                registration.save()
    except IntegrityError:
        hashes = [registration.gstin_hash for registration in wanted]
        other = (
            TaxRegistration.objects.filter(claimed=True, gstin_hash__in=hashes)
            .exclude(partner=partner)
            .first()
        )
        if other is None:
            raise
        emit(
            events.DuplicateDetected(
                partner_id=partner.pk, round_id=round.pk, other_partner_id=other.partner_id
            )
        )
        links.link(
            partner.pk, other.partner_id, PartyLink.Kind.GSTIN
        )  # neither is approved until it is decided
        return refuse(DuplicateRegistration())
    return None


@service(
    requires=capabilities.CREATE,
    emits=[
        events.OnboardingResubmitted,
        events.DuplicateDetected,
        events.RelatedPartyDetected,
        events.OnboardingAssessed,
    ],
    raises=[
        *PROFILE_ERRORS,
        InvalidState,
        Incomplete,
        LicenceRequired,
        DuplicateRegistration,
        NeedsAmendment,
        AnswersMissing,
    ],
    lock_via=lock_partner_of,
    writes_on_refusal=[*PROFILE_ROWS, PartyLink],
    label="Answer",
)
def respond(
    round: OnboardingRound,
    *,
    actor: Actor,
    answers: Sequence[dict[str, Any]],
    profile: dict[str, Any] | None = None,
) -> OnboardingRound | Refusal:
    """Answer every question of staff. Only what changed is asked of the registries again."""
    if round.status != OnboardingRound.Status.INFO_REQUESTED:
        raise InvalidState.of_status(round)
    partner = round.partner
    if profile is not None:
        save_profile(partner, profile, pointer="/profile", only=allowed_changes(round))
    _require_complete(round)
    duplicate = _claim(partner, round)
    if duplicate is not None:
        return duplicate
    answer_items(round, answers)
    asked = _hand_in(round, actor)
    emit(events.OnboardingResubmitted(partner_id=partner.pk, round_id=round.pk, rechecks=asked))
    assess_if_complete(round)
    return round


@service(
    requires=capabilities.CREATE,
    emits=[events.OnboardingWithdrawn],
    raises=[InvalidState],
    lock_via=lock_partner_of,
)
def withdraw(round: OnboardingRound, *, actor: Actor, reason: str = "") -> OnboardingRound:
    """Withdraw the file. A withdrawn renewal leaves the partner as it was."""
    asked_for = round.kind == OnboardingRound.Kind.AD_HOC and not (actor.is_staff or actor.is_system)
    if not round.is_open or asked_for:  # a renewal that staff asked for is theirs to end
        raise InvalidState.of_status(round)
    end_round(round, OnboardingRound.Status.WITHDRAWN)
    emit(events.OnboardingWithdrawn(partner_id=round.partner_id, round_id=round.pk, kind=round.kind))
    return round


@service(
    requires=capabilities.OPERATE,
    emits=[events.OnboardingExpired],
    lock_via=lock_partner_of,
)
def expire_round(round: OnboardingRound, *, actor: Actor) -> OnboardingRound:
    """End a file that nobody went on with in time."""
    due = round.expires_at is not None and round.expires_at <= clock.now()
    if due and round.status in OnboardingRound.EDITABLE:
        end_round(round, OnboardingRound.Status.EXPIRED)
        emit(events.OnboardingExpired(partner_id=round.partner_id, round_id=round.pk, kind=round.kind))
    return round


def end_round(round: OnboardingRound, status: str) -> None:
    """End a round without approval; the first one ends the partner's application and frees its registrations."""
    round.status = status
    round.expires_at = None
    round.save()
    for check in KycCheck.objects.filter(round=round, status=KycCheck.Status.PENDING):
        check.next_attempt_at = None  # nobody waits for the answer
        check.save()
    partner = round.partner
    if partner.status in (Partner.Status.DRAFT, Partner.Status.PENDING):
        rejected = status == OnboardingRound.Status.REJECTED
        partner.status = Partner.Status.REJECTED if rejected else Partner.Status.CLOSED
        partner.save()
        free_claims(partner)
        links.regroup(partner.pk)


def free_claims(partner: Partner) -> None:
    """Let other partners claim the GST registrations and the vehicles."""
    for vehicle in Vehicle.objects.filter(partner=partner, status=Vehicle.Status.ACTIVE):
        vehicle.status = Vehicle.Status.INACTIVE
        vehicle.save()
    for registration in TaxRegistration.objects.filter(partner=partner, claimed=True):
        registration.claimed = False
        registration.save()
