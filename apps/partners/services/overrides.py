"""What two people may override: a mandatory check, and a trade permission until a day (partners §1, §5.5)."""

from collections.abc import Callable
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from apps.approvals import services as approvals
from apps.partners import capabilities, events
from apps.partners.models import KycCheck, Partner, PermissionOverride, TradePermission
from apps.partners.services import permissions
from apps.partners.services.checks import assess_if_complete, makers_of
from apps.partners.services.rules import (
    InvalidState,
    lock_partner_of,
    override_of,
    require_another_person,
)
from erp import clock
from erp.access import Actor
from erp.approvals import ApprovalKind
from erp.errors import FieldError, Invalid
from erp.services import emit, service

LONGEST_DAYS: Final = 366
_Status = PermissionOverride.Status


def _require_waivable(check: KycCheck) -> None:
    if check.status in (KycCheck.Status.PASSED, KycCheck.Status.WAIVED) or not (
        check.round is not None and check.round.is_open
    ):
        raise InvalidState.of_status(check, "Only a check of an open file that isn't passed can be waived.")


@service(
    requires=capabilities.OVERRIDE,
    emits=[events.OverrideRequested],
    raises=[InvalidState, approvals.PendingExists, approvals.ReasonMissing],
    lock_via=lock_partner_of,
    label="Waive",
    description="Go on without this check. A second person approves, and a director decides on the file.",
)
def waive_check(check: KycCheck, *, actor: Actor, reason: str) -> KycCheck:
    """Request to waive a check. Nobody who wrote to the file may; a second holder of the capability approves it."""
    _require_waivable(check)
    require_another_person(actor, *makers_of(check))
    request = approvals.request(
        actor=actor,
        kind=CHECK_WAIVER,
        subject_id=check.pk,
        subject_version=_question(check),
        reason=reason,
        diff=[
            ("partner", None, str(check.partner)),
            ("check", None, check.get_kind_display()),
            ("status", check.status, KycCheck.Status.WAIVED),
        ],
    )
    emit(events.OverrideRequested(**override_of(check, check.partner_id, request)))
    return check


def _question(check: KycCheck) -> int:
    """A number for what is asked and where it stands: attempts, which raise the row's version, change neither."""
    return int(sha256(f"{check.input_hash}:{check.status}".encode()).hexdigest()[:7], 16)


@service(
    requires=capabilities.OVERRIDE,
    emits=[events.CheckWaived, events.OnboardingAssessed],
    raises=[InvalidState],
    lock_via=lock_partner_of,
)
def apply_waiver(check: KycCheck, *, actor: Actor, request: Any) -> KycCheck:
    """Waive a check, in the transaction of its approval; the file goes on, on the director's route."""
    _require_waivable(check)
    check.status, check.waiver_approval_id = KycCheck.Status.WAIVED, request.pk
    check.answered_at, check.next_attempt_at = clock.now(), None
    check.save()
    emit(events.CheckWaived(partner_id=check.partner_id, check_id=check.pk, approval_id=request.pk))
    if check.round is not None:
        assess_if_complete(check.round)
    return check


def _locks_partner_of(model: type[KycCheck] | type[PermissionOverride]) -> Callable[[UUID], None]:
    """Lock the partner of a subject before it, as edits do."""

    def lock(subject_id: UUID) -> None:
        partner = model.objects.filter(pk=subject_id).values("partner")
        Partner.objects.locked().filter(pk__in=partner).first()

    return lock


CHECK_WAIVER = ApprovalKind(
    name="partner.check_waiver",
    title="Waiver of a check",
    subject="kyc_check",
    model="partner.KycCheck",
    capability=capabilities.OVERRIDE,
    locks=_locks_partner_of(KycCheck),
    version_of=_question,
    excludes=lambda request: [
        editor for check in KycCheck.objects.filter(pk=request.subject_id) for editor in makers_of(check)
    ],
    apply=apply_waiver,
)


@service(
    requires=capabilities.OVERRIDE,
    emits=[events.OverrideRequested],
    raises=[InvalidState, approvals.PendingExists, approvals.ReasonMissing],
    label="Give trade permission",
    description="Allow what the papers don't, until a day. A second person approves.",
)
def override_permission(
    partner: Partner, *, actor: Actor, name: str, valid_to: date, reason: str
) -> PermissionOverride:
    """Request a trade permission until a day, whatever the papers; a second holder of the capability approves it."""
    _require_trading(partner)
    today = clock.today()
    if not today <= valid_to <= today + timedelta(days=LONGEST_DAYS):
        raise Invalid(errors=[FieldError("/valid_to", "range", f"Today to {LONGEST_DAYS} days ahead.")])
    waits = PermissionOverride.objects.filter(partner=partner, name=name, status=_Status.PROPOSED)
    if waits.exists():
        raise approvals.PendingExists
    override = PermissionOverride(
        partner=partner, name=name, valid_to=valid_to, reason=reason, requested_by_id=actor.pk
    )
    request = approvals.request(
        actor=actor,
        kind=PERMISSION_OVERRIDE,
        subject_id=override.pk,
        subject_version=override.version,
        reason=reason,
        diff=[
            ("partner", None, str(partner)),
            ("permission", None, TradePermission.Name(name).label),
            ("valid_to", None, str(valid_to)),
        ],
    )
    override.approval_id = request.pk
    override.save()
    emit(events.OverrideRequested(**override_of(override, partner.pk, request)))
    return override


def _require_trading(partner: Partner) -> None:
    if partner.status not in (Partner.Status.ACTIVE, Partner.Status.SUSPENDED):
        raise InvalidState.of_status(partner)


@service(
    requires=capabilities.OVERRIDE,
    emits=[events.PermissionsChanged],
    raises=[InvalidState],
    lock_via=lock_partner_of,
)
def apply_override(override: PermissionOverride, *, actor: Actor, request: Any) -> PermissionOverride:
    """Give the permission, in the transaction of its approval."""
    partner = Partner.objects.get(pk=override.partner_id)
    _require_trading(partner)
    if override.valid_to < clock.today():
        raise InvalidState.of_status(override, "The last day of the permission has passed.")
    override.status, override.decided_by_id = _Status.APPROVED, actor.pk
    override.save()
    permissions.recompute(partner, override=override)
    return override


@service(requires=capabilities.OVERRIDE, emits=[events.OverrideEnded], lock_via=lock_partner_of)
def end_override(override: PermissionOverride, *, actor: Actor, request: Any) -> PermissionOverride:
    """End a proposal whose request was refused, withdrawn, expired or went stale."""
    if override.status == _Status.PROPOSED:
        override.status = _Status.REFUSED
        override.save()
        emit(events.OverrideEnded(**override_of(override, override.partner_id, request)))
    return override


PERMISSION_OVERRIDE = ApprovalKind(
    name="partner.permission_override",
    title="Override of a trade permission",
    subject="permission_override",
    model="partner.PermissionOverride",
    capability=capabilities.OVERRIDE,
    locks=_locks_partner_of(PermissionOverride),
    apply=apply_override,
    ended=end_override,
)


@service(requires=capabilities.OPERATE, emits=[events.PermissionsChanged])
def end_overridden(partner: Partner, *, actor: Actor) -> Partner:
    """Compute a partner's permissions anew after the last day of an override."""
    permissions.recompute(partner)
    return partner
