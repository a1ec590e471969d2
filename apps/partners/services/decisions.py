"""Approval and rejection of a partner's file (partners §4.1)."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from apps.accounts.models import User
from apps.accounts.services import joining, users
from apps.accounts.services import roles as roles_services
from apps.partners import capabilities, events
from apps.partners.models import (
    CreditAccount,
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerEmployee,
    PartnerRole,
    PartyLink,
    editors_of,
)
from apps.partners.services import people, permissions
from apps.partners.services.checklist import ROWS, checklist
from apps.partners.services.links import LinksOpen, is_linked, regroup, undecided_links
from apps.partners.services.rules import (
    InvalidState,
    entity_class,
    open_round,
    require_another_person,
    role_names,
    roles_of,
)
from apps.partners.services.submission import end_round
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Forbidden
from erp.services import Refusal, emit, refuse, service

KYC_DAYS: Final = {"low": 365, "medium": 365, "high": 180, "critical": 180}
FREIGHT_CAP: Final = 1_000_000  # rupees a month, of a transporter without GST registration
DIRECTOR: Final = "INTERNAL_DIRECTOR"


class ChecksOpen(Conflict):
    """A mandatory check isn't passed."""


class DocumentsOpen(Conflict):
    """A mandatory paper isn't verified."""


class RouteNotAllowed(Forbidden):
    """A director must decide on this file."""


APPROVAL_ERRORS: Final = (InvalidState, ChecksOpen, DocumentsOpen, LinksOpen, RouteNotAllowed)


@service(
    requires=capabilities.APPROVE,
    emits=[
        events.PartnerApproved,
        events.PermissionsChanged,
        events.EmployeeInvited,
        events.EmployeeLapsed,
        events.RelatedPartyDetected,
    ],
    raises=[
        *APPROVAL_ERRORS,
        joining.InvalidState,
        roles_services.RoleNotAllowed,
        roles_services.RoleRequired,
        roles_services.RolesIncompatible,
    ],
    writes_on_refusal=[PartyLink],
)
def approve(partner: Partner, *, actor: Actor, notes: str = "") -> Partner | Refusal:
    """Approve an application. Nobody who applied, created or edited the file can do it.

    The partner becomes active with a number, its roles become live, the applicant becomes its administrator and
    planned employees are invited, all in one transaction.
    """
    round = decided_round(partner, actor, OnboardingRound.Kind.ONBOARDING)
    if isinstance(round, Refusal):
        return round
    day = clock.today()
    partner.status = Partner.Status.ACTIVE
    partner.code = partner.code or Partner.next_code(partner.country)
    partner.kyc_verified_date = day
    partner.kyc_expiry_date = day + timedelta(days=KYC_DAYS[round.risk_category or "critical"])
    partner.trust_score, partner.risk_category = round.trust_score, round.risk_category
    if partner.no_gst_reason is not None:
        partner.freight_cap_month = FREIGHT_CAP
    partner.save()
    regroup(partner.pk)
    roles = roles_of(partner)
    for role in roles:
        role.live = True
        role.save()
    close_approved(round, actor, notes)
    if not CreditAccount.objects.filter(partner=partner).exists():
        # The bands of limits are in rupees: a firm doesn't choose another currency by its profile.
        currency = "INR" if partner.is_indian else partner.preferred_currency
        CreditAccount(id=partner.pk, partner=partner, currency=currency).save()
    permissions.recompute(partner)
    if partner.applicant is not None and partner.applicant.user_type == User.Type.APPLICANT:
        users.admit(
            User.objects.get(pk=partner.applicant.pk),
            actor=actor,
            partner_id=partner.pk,
            roles=["PARTNER_ADMIN", *groups_of(roles)],
        )
    for employee in PartnerEmployee.objects.filter(partner=partner, status="planned").order_by("id"):
        people.invite_planned(employee, actor)
    emit(
        events.PartnerApproved(
            partner_id=partner.pk,
            round_id=round.pk,
            code=partner.code or "",
            roles=role_names(roles),
            entity_class=entity_class(roles),
            country=partner.country,
            kyc_expiry_date=partner.kyc_expiry_date,
            approved_by=actor.pk,
        )
    )
    return partner


def groups_of(roles: Sequence[PartnerRole]) -> list[str]:
    """Roles of users that go with roles of the partner."""
    return sorted({role.role.upper() for role in roles})


def close_approved(round: OnboardingRound, actor: Actor, notes: str) -> None:
    """Close a round as approved."""
    round.status, round.expires_at = OnboardingRound.Status.APPROVED, None
    round.decided_by_id, round.decided_at, round.note = actor.pk, clock.now(), notes or None
    round.save()


def decided_round(partner: Partner, actor: Actor, *kinds: str) -> OnboardingRound | Refusal:
    """The round under review that the actor may approve now, or the refusal with LinksOpen.

    Raises InvalidState, SelfApproval, RouteNotAllowed, ChecksOpen, DocumentsOpen.
    """
    round = open_round(partner)
    if round is None or round.kind not in kinds or round.status != OnboardingRound.Status.UNDER_REVIEW:
        raise InvalidState.of_status(partner, "There is no file under review.")
    settlers = KycCheck.objects.filter(round=round, settled_by__isnull=False).values_list(
        "settled_by_id", flat=True
    )
    require_another_person(actor, *settlers)
    require_another_person(
        actor, partner.created_by_id, partner.applicant_id, round.started_by_id, *editors_of(partner.pk)
    )
    if (undecided := undecided_links(partner)) is not None:
        return refuse(undecided)
    if (is_linked(partner) or round.route == OnboardingRound.Route.DIRECTOR) and not is_director(actor):
        raise RouteNotAllowed
    open_checks = KycCheck.objects.filter(round=round, mandatory=True).exclude(
        status__in=["passed", "waived"]
    )
    if faults := [
        FieldError(f"/checks/{check.pk}", check.status, f"{check}.")
        for check in open_checks.order_by("kind", "id")
    ]:
        raise ChecksOpen(errors=faults)
    _require_papers(round, clock.today())
    return round


def _require_papers(round: OnboardingRound, day: date) -> None:
    unverified = [
        FieldError(f"/checklist/{item.item}", "unverified", f"{item.title}: not verified, or expired.")
        for item in checklist(round, day)
        if item.item not in ROWS and not item.verified
    ]
    if unverified:
        raise DocumentsOpen(errors=unverified)


def is_director(actor: Actor) -> bool:
    """Whether the actor may decide files of the director's route."""
    return actor.is_superuser or actor.is_system or DIRECTOR in getattr(actor, "role_names", [])


@service(
    requires=capabilities.REJECT,
    emits=[events.PartnerRejected],
    raises=[InvalidState],
)
def reject(
    partner: Partner,
    *,
    actor: Actor,
    reason_code: str,
    reason: str,
    reapply_date: date | None = None,
) -> Partner:
    """Reject an application, with a reason that the applicant reads. Its GST registrations become free."""
    round = open_round(partner)
    decidable = (OnboardingRound.Status.VERIFICATION_PENDING, OnboardingRound.Status.UNDER_REVIEW)
    if round is None or round.kind != OnboardingRound.Kind.ONBOARDING or round.status not in decidable:
        raise InvalidState.of_status(partner, "There is no application to reject.")
    require_another_person(actor, partner.created_by_id, partner.applicant_id, *editors_of(partner.pk))
    round.partner = partner
    round.reason_code, round.reason = reason_code, reason
    round.decided_by_id, round.decided_at = actor.pk, clock.now()
    partner.reapply_date = reapply_date
    end_round(round, OnboardingRound.Status.REJECTED)
    emit(
        events.PartnerRejected(
            partner_id=partner.pk,
            round_id=round.pk,
            reason_code=reason_code,
            reapply_date=reapply_date,
            rejected_by=actor.pk,
        )
    )
    return partner
