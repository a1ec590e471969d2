"""Changes of rights at run time: proposed by one person and approved by another."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import Model

from apps.accounts import capabilities, events
from apps.accounts.models import (
    AccessPolicy,
    CapabilityChange,
    CapabilityGrant,
    Operation,
    PolicyDeviation,
    RoleMembership,
    Scope,
    User,
)
from apps.accounts.services.grants import active_grant, apply_grant
from apps.accounts.services.policy import locked_policy, policy_version
from apps.accounts.services.roles import (
    AUDITOR,
    INTERNAL,
    ROLE_ERRORS,
    RoleNotAllowed,
    RolesIncompatible,
    check_compatible,
    check_rank,
    check_roles,
    granted_to,
    held_by,
    rights_of,
    set_roles,
)
from erp import access, clock, locks
from erp.access import OWN, Actor
from erp.approvals import ApprovalKind, Base
from erp.errors import Conflict, FieldError, Forbidden, Invalid, RuleBroken
from erp.services import emit, service

_Kind, _Status = CapabilityChange.Kind, CapabilityChange.Status


class GrantToSelf(RuleBroken):
    """You cannot propose rights for yourself."""


class ChangePending(Conflict):
    """The same change is already waiting for approval."""


class ChangeDecided(Conflict):
    """The change has already been decided."""


class ChangeWithoutEffect(Conflict):
    """No change needed: this is already the current value."""


class NotProposer(Forbidden):
    """Only the person who proposed a change can withdraw it."""


PROPOSAL_ERRORS = (*ROLE_ERRORS, GrantToSelf, ChangePending, ChangeWithoutEffect)


@service(
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[events.CapabilityChangeProposed],
    raises=PROPOSAL_ERRORS,
    reauthenticate=True,
)
def propose_capability_change(
    *,
    actor: Actor,
    kind: str,
    operation: str,
    reason: str,
    role: str | None = None,
    user: User | None = None,
    capability: str | None = None,
    scope: str | None = None,
    object_type: str | None = None,
    object_id: UUID | None = None,
    grant_expires_at: datetime | None = None,
) -> CapabilityChange:
    """Propose a change of rights. It takes effect when another person approves it.

    ``role_capability`` needs role, capability and scope; ``user_role`` user and role; ``single_grant`` user and
    capability, optionally one row (``object_type`` as ``label.Model``) and an expiry. Raises GrantToSelf,
    ChangePending, ChangeWithoutEffect, RoleNotAllowed, RoleRequired, RolesIncompatible.
    """
    change = CapabilityChange(
        kind=kind,
        operation=operation,
        reason=reason.strip(),
        role=role,
        user=user,
        capability=capability,
        scope=scope,
        object_type=object_type and _normalized_type(object_type),
        object_id=object_id,
        grant_expires_at=grant_expires_at,
        proposed_by_id=actor.pk,
        base_version=1,
    )
    _check_shape(change)
    if user is not None:
        if user.pk == actor.pk:
            raise GrantToSelf
        check_rank(actor, user)
    change.base_version = user.rights_version if user is not None else policy_version()
    same = CapabilityChange.objects.filter(
        kind=kind,
        role=role,
        user=user,
        capability=capability,
        scope=scope,
        object_type=change.object_type,
        object_id=object_id,
        status=_Status.PROPOSED,
    )
    if same.exists():
        raise ChangePending
    _check_effect(change)
    change.save()
    _emit_change(events.CapabilityChangeProposed, change, by=actor)
    return change


@service(
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[events.CapabilityChangeProposed],
    raises=PROPOSAL_ERRORS,
    lock_via=None,
    reauthenticate=True,
)
def propose_role(user: User, *, actor: Actor, role: str, operation: str, reason: str) -> CapabilityChange:
    """Propose to add a role to a member of staff, or to remove one. It takes effect when approved."""
    change: CapabilityChange = propose_capability_change(
        actor=actor, kind=_Kind.USER_ROLE, user=user, role=role, operation=operation, reason=reason
    )
    return change


@service(
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[events.CapabilityChangeProposed],
    raises=PROPOSAL_ERRORS,
    lock_via=None,
    reauthenticate=True,
)
def propose_grant(
    user: User,
    *,
    actor: Actor,
    capability: str,
    operation: str,
    reason: str,
    object_type: str | None = None,
    object_id: UUID | None = None,
    grant_expires_at: datetime | None = None,
) -> CapabilityChange:
    """Propose to grant one capability to this user, or to revoke it. It takes effect when approved."""
    change: CapabilityChange = propose_capability_change(
        actor=actor,
        kind=_Kind.SINGLE_GRANT,
        user=user,
        capability=capability,
        operation=operation,
        reason=reason,
        object_type=object_type,
        object_id=object_id,
        grant_expires_at=grant_expires_at,
    )
    return change


@service(
    label="Propose change of a role",
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[events.CapabilityChangeProposed],
    raises=[ChangePending, ChangeWithoutEffect, RolesIncompatible],
    reauthenticate=True,
)
def propose_matrix_change(
    *, actor: Actor, role: str, capability: str, scope: str, operation: str, reason: str
) -> CapabilityChange:
    """Propose to add a capability to a role, or to remove one. It takes effect when approved."""
    change: CapabilityChange = propose_capability_change(
        actor=actor,
        kind=_Kind.ROLE_CAPABILITY,
        role=role,
        capability=capability,
        scope=scope,
        operation=operation,
        reason=reason,
    )
    return change


def _check_shape(change: CapabilityChange) -> None:
    """Raise Invalid with all errors of the fields of the change."""
    needed = {
        _Kind.ROLE_CAPABILITY: ("role", "capability", "scope"),
        _Kind.USER_ROLE: ("role", "user"),
        _Kind.SINGLE_GRANT: ("user", "capability"),
    }[_Kind(change.kind)]
    optional = ("object_type", "object_id", "grant_expires_at") if change.kind == _Kind.SINGLE_GRANT else ()
    faults = []
    for name in ("role", "user", "capability", "scope", "object_type", "object_id", "grant_expires_at"):
        value = getattr(change, name)
        if value is None and name in needed:
            faults.append(FieldError(f"/{name}", "required", "This field is required."))
        elif value is not None and name not in (*needed, *optional):
            faults.append(
                FieldError(f"/{name}", "not_here", "Leave this field empty for this kind of change.")
            )
    if not 10 <= len(change.reason) <= 1000:
        faults.append(FieldError("/reason", "invalid", "Enter a reason of 10 to 1000 characters."))
    if change.role is not None and change.role not in access.registry.roles:
        faults.append(FieldError("/role", "does_not_exist", "There is no such role."))
    if change.capability is not None and change.capability not in access.registry.capabilities:
        faults.append(FieldError("/capability", "does_not_exist", "There is no such capability."))
    if (change.object_type is None) != (change.object_id is None):
        faults.append(FieldError("/object_id", "required", "Enter both the record type and the record ID."))
    elif change.object_type is not None:
        faults += _errors_of_row(change)
    until = change.grant_expires_at
    if until is not None and (change.operation != Operation.ADD or until <= clock.now()):
        faults.append(
            FieldError(
                "/grant_expires_at",
                "invalid",
                "Enter a future time, and only for a new grant.",
            )
        )
    if faults:
        raise Invalid(f"{len(faults)} fields need attention.", errors=faults)


def _model(object_type: str) -> type[Model] | None:
    try:
        return apps.get_model(object_type)
    except (LookupError, ValueError):
        return None


def _normalized_type(object_type: str) -> str:
    """The model's label in its own case, so that grants on one row do not differ by case; otherwise unchanged."""
    model = _model(object_type)
    return model._meta.label if model is not None else object_type


def _errors_of_row(change: CapabilityChange) -> list[FieldError]:
    """Errors of the row of a grant, which must be of a model that the capability can be granted on."""
    model = _model(change.object_type or "")
    known = access.registry.capabilities.get(change.capability or "")
    if known is not None and model not in known.grantable_on():
        names = " or ".join(each._meta.label for each in known.grantable_on()) or "no record"
        return [FieldError("/object_type", "unfit", f"{known} can be granted on: {names}.")]
    try:
        exists = model is not None and model._default_manager.filter(pk=change.object_id).exists()
    except (ValidationError, ValueError, TypeError):
        exists = False
    return [] if exists else [FieldError("/object_id", "does_not_exist", "There is no record with this ID.")]


def _check_effect(change: CapabilityChange) -> None:
    """Raise ChangeWithoutEffect, or the reason why the rights after the change are not allowed."""
    adds = change.operation == Operation.ADD
    if change.kind == _Kind.USER_ROLE:
        assert change.user is not None
        held = held_by(change.user)
        if (change.role in held) == adds:
            raise ChangeWithoutEffect
        after = _roles_after(change, held)
        if AUDITOR in after and granted_to(change.user):
            raise RoleNotAllowed("An auditor cannot have single grants. Revoke them first.")
        if change.user.user_type != User.Type.INTERNAL:
            raise RoleNotAllowed(
                "Only internal users get roles by proposal; external users get them from their partner."
            )
        check_roles(change.user.user_type, after)
        check_compatible(rights_of(after) | granted_to(change.user), whose=str(change.user))
    elif change.kind == _Kind.SINGLE_GRANT:
        assert change.user is not None
        if (active_grant(change) is not None and adds) or (active_grant(change) is None and not adds):
            raise ChangeWithoutEffect
        if adds:
            if AUDITOR in held_by(change.user):
                raise RoleNotAllowed("An auditor cannot have single grants.")
            names = rights_of(held_by(change.user)) | granted_to(change.user) | {change.capability or ""}
            check_compatible(names, whose=str(change.user))
    else:
        table = access.matrix()
        right = _right(change)
        if (right in table[change.role or ""]) == adds:
            raise ChangeWithoutEffect
        if adds:
            table[change.role or ""].add(right)
            _check_matrix(change.role or "", table)


def _check_matrix(role: str, table: dict[str, set[str]]) -> None:
    """Raise RolesIncompatible where the role, or one of its members, would hold incompatible capabilities."""
    check_compatible(table[role], whose=role)
    held: dict[UUID, set[str]] = {}
    holders = RoleMembership.objects.filter(role__name=role).values("user_id")
    for user_id, name in RoleMembership.objects.filter(user_id__in=holders).values_list(
        "user_id", "role__name"
    ):
        held.setdefault(user_id, set()).add(name)
    granted = CapabilityGrant.objects.live().filter(user_id__in=holders).values_list("user_id", "capability")
    extra: dict[UUID, set[str]] = {}
    for user_id, name in granted:
        extra.setdefault(user_id, set()).add(name)
    for combination in {
        (frozenset(roles), frozenset(extra.get(user_id, ()))) for user_id, roles in held.items()
    }:
        check_compatible(
            rights_of(combination[0], table) | combination[1], whose=" and ".join(combination[0])
        )


def _roles_after(change: CapabilityChange, held: frozenset[str]) -> frozenset[str]:
    """Roles after the change. AUDITOR replaces INTERNAL, and its removal restores INTERNAL."""
    role = change.role or ""
    if change.operation == Operation.ADD:
        return frozenset({AUDITOR}) if role == AUDITOR and held == {INTERNAL} else held | {role}
    return frozenset({INTERNAL}) if role == AUDITOR else held - {role}


def _right(change: CapabilityChange) -> str:
    return f"{change.capability}{OWN if change.scope == Scope.OWN else ''}"


@service(
    label="Withdraw",
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[events.CapabilityChangeWithdrawn],
    raises=[ChangeDecided, NotProposer],
)
def withdraw_capability_change(change: CapabilityChange, *, actor: Actor) -> CapabilityChange:
    """Withdraw a proposal.

    Raises ChangeDecided, NotProposer.
    """
    if actor.pk not in (None, change.proposed_by_id):
        raise NotProposer
    _close(change, _Status.WITHDRAWN, approval_id=change.approval_id)
    _emit_change(events.CapabilityChangeWithdrawn, change, by=actor)
    return change


@service(
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[
        events.CapabilityChangeRefused,
        events.CapabilityChangeStaled,
        events.CapabilityChangeWithdrawn,
    ],
)
def end_capability_change(change: CapabilityChange, *, actor: Actor, request: Any) -> CapabilityChange:
    """End a pending proposal with the status of its approval request."""
    if change.status == _Status.PROPOSED:
        _close(change, _Status(request.status), approval_id=request.pk)
        _emit_change(_ENDINGS.get(request.status, events.CapabilityChangeRefused), change, by=actor)
    return change


_ENDINGS: dict[str, Any] = {
    _Status.STALE: events.CapabilityChangeStaled,
    _Status.WITHDRAWN: events.CapabilityChangeWithdrawn,
}


@service(
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[
        events.CapabilityChanged,
        events.RolesChanged,
        events.CapabilityGranted,
        events.CapabilityRevoked,
    ],
    raises=[*ROLE_ERRORS, ChangeDecided, ChangeWithoutEffect],
)
def apply_capability_change(
    change: CapabilityChange, *, actor: Actor, request: Any = None
) -> CapabilityChange:
    """Apply an approved change. SYSTEM needs no request.

    Raises ChangeDecided, ChangeWithoutEffect, RoleNotAllowed, RoleRequired, RolesIncompatible.
    """
    if change.status != _Status.PROPOSED:
        raise ChangeDecided
    policy = locked_policy()
    change.user = User.objects.locked().get(pk=change.user_id) if change.user_id is not None else None
    _check_effect(change)
    _close(change, _Status.APPLIED, approval_id=request and request.pk)
    if change.user is None:
        _apply_to_matrix(change)
        policy.raise_version()
        policy.save()
    else:
        if change.kind == _Kind.USER_ROLE:
            _apply_to_user(change, change.user, actor)
        else:
            apply_grant(change, change.user)
        change.user.save()
    _emit_change(events.CapabilityChanged, change, by=actor)
    return change


def _close(change: CapabilityChange, status: str, *, approval_id: UUID | None) -> None:
    if change.status != _Status.PROPOSED:
        raise ChangeDecided
    change.status, change.approval_id = status, approval_id
    change.save()


def _apply_to_matrix(change: CapabilityChange) -> None:
    """Store the difference from the default in code, and update the permissions of the role's group."""
    capability = access.registry.get(change.capability or "")
    default = capability.own if change.scope == Scope.OWN else capability.everywhere
    same = PolicyDeviation.objects.filter(role=change.role, capability=change.capability, scope=change.scope)
    same.delete()
    if (change.role in default) != (change.operation == Operation.ADD):
        PolicyDeviation(
            role=change.role or "",
            capability=change.capability or "",
            scope=change.scope or "",
            operation=change.operation,
        ).save()
    access.sync()


def _apply_to_user(change: CapabilityChange, user: User, actor: Actor) -> None:
    after = _roles_after(change, held_by(user))
    added, removed = set_roles(user, after, by=_proposer(change, actor), change_id=change.pk)
    emit(
        events.RolesChanged(
            user_id=user.pk,
            added=added,
            removed=removed,
            by=change.proposed_by_id,
            approval_id=change.approval_id,
        )
    )


def _proposer(change: CapabilityChange, actor: Actor) -> Any:
    return change.proposed_by or actor


def _emit_change(event: Any, change: CapabilityChange, *, by: Any) -> None:
    emit(
        event(
            change_id=change.pk,
            kind=change.kind,
            role=change.role,
            user_id=change.user_id,
            capability=change.capability,
            object_type=change.object_type,
            object_id=change.object_id,
            operation=change.operation,
            base_version=change.base_version,
            by=by.pk,
            approval_id=change.approval_id,
        )
    )


EVERY_MEMBER_OF_STAFF = "INTERNAL"  # excludes nobody: every approver is a member


def _lock(change_id: UUID) -> None:
    """Lock the matrix, then the user concerned: the order in which a change is applied."""
    locks.hold("account.access_policy")  # the row does not exist before the first change
    AccessPolicy.objects.locked().filter(pk=AccessPolicy.ONLY).first()
    concerned = CapabilityChange.objects.filter(pk=change_id).values("user_id")
    User.objects.locked().filter(pk__in=concerned).first()


def _base_of(change: CapabilityChange) -> Base:
    """Version of the rights of the user concerned, or of the matrix."""
    if change.user_id is not None:
        version = User.objects.values_list("rights_version", flat=True).get(pk=change.user_id)
        return Base("user", change.user_id, version)
    return Base("access_policy", AccessPolicy.ONLY, policy_version())


def _concerned(request: Any) -> Iterable[UUID]:
    """The user whose rights change; for a role, its current members."""
    change = CapabilityChange.objects.get(pk=request.subject_id)
    if change.user_id is not None:
        return [change.user_id]
    if change.role == EVERY_MEMBER_OF_STAFF:
        return []
    members: Iterable[UUID] = RoleMembership.objects.filter(role__name=change.role).values_list(
        "user_id", flat=True
    )
    return members


def _describe(change: CapabilityChange) -> dict[str, Any] | None:
    """The fields of the approval request; None if the change was withdrawn meanwhile."""
    if change.status != _Status.PROPOSED:
        return None
    adds = change.operation == Operation.ADD
    lines = {
        "role": change.role,
        "user": str(change.user) if change.user is not None else None,
        "right": change.capability,
        "scope": change.scope,
        "row": f"{change.object_type} {change.object_id}" if change.object_id else None,
        "until": change.grant_expires_at,
    }
    return {
        "maker": change.proposed_by,
        "reason": change.reason,
        "diff": [(name, None, text) if adds else (name, text, None) for name, text in lines.items() if text],
        "base": Base(
            "user" if change.user_id is not None else "access_policy",
            change.user_id or AccessPolicy.ONLY,
            change.base_version,
        ),
    }


CAPABILITY_CHANGE = ApprovalKind(
    name="capability.change",
    title="Change of rights",
    subject="capability_change",
    model="account.CapabilityChange",
    capability=capabilities.MANAGE_CAPABILITIES,
    reauthenticate=True,
    excludes=_concerned,
    locks=_lock,
    base_of=_base_of,
    apply=apply_capability_change,
    ended=end_capability_change,
    opened_by=events.CapabilityChangeProposed,
    closed_by=events.CapabilityChangeWithdrawn,
    describe=_describe,
)
