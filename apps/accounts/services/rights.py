"""Rights that the business changes while the product runs: always proposed by one person, decided by another."""

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
    check_apart,
    check_rank,
    check_roles,
    granted_to,
    held_by,
    rights_of,
    set_roles,
)
from erp import access, clock, locks
from erp.access import OWN, Actor
from erp.approvals import Base, Kind
from erp.errors import Conflict, Fault, Forbidden, Invalid, RuleBroken
from erp.services import emit, service

_Kind, _Status = CapabilityChange.Kind, CapabilityChange.Status


class GrantToSelf(RuleBroken):
    """Nobody proposes rights for themselves."""


class ChangePending(Conflict):
    """The same change waits for a decision already."""


class ChangeDecided(Conflict):
    """The change was decided already."""


class ChangeWithoutEffect(Conflict):
    """No change needed: this is already the current value."""


class NotProposer(Forbidden):
    """Only who proposed a change withdraws it."""


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
    """Propose that a role, a user or a single grant changes; nothing happens before a second person agrees.

    ``role_capability`` names role, capability and scope; ``user_role`` user and role; ``single_grant`` user,
    capability and perhaps one row (``object_type`` as ``label.Model``) and an end. Raises GrantToSelf,
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
        object_type=object_type and _written(object_type),
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
    _tell(events.CapabilityChangeProposed, change, by=actor)
    return change


@service(
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[events.CapabilityChangeProposed],
    raises=PROPOSAL_ERRORS,
    lock_via=None,
    reauthenticate=True,
)
def propose_role(user: User, *, actor: Actor, role: str, operation: str, reason: str) -> CapabilityChange:
    """Propose that a member of staff gets or loses a role; a second person decides."""
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
    """Propose that one person gets or loses one capability, in general or on one row; a second person decides."""
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
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[events.CapabilityChangeProposed],
    raises=[ChangePending, ChangeWithoutEffect, RolesIncompatible],
    reauthenticate=True,
)
def propose_matrix_change(
    *, actor: Actor, role: str, capability: str, scope: str, operation: str, reason: str
) -> CapabilityChange:
    """Propose that a role gets or loses a capability; a second person decides."""
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
    """Raises Invalid with every fault of what the change names."""
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
            faults.append(Fault(f"/{name}", "required", "This is needed."))
        elif value is not None and name not in (*needed, *optional):
            faults.append(Fault(f"/{name}", "not_here", "This doesn't belong to such a change."))
    if not 10 <= len(change.reason) <= 1000:
        faults.append(Fault("/reason", "invalid", "Say why, in 10 to 1000 characters."))
    if change.role is not None and change.role not in access.registry.roles:
        faults.append(Fault("/role", "does_not_exist", "There is no such role."))
    if change.capability is not None and change.capability not in access.registry.capabilities:
        faults.append(Fault("/capability", "does_not_exist", "There is no such capability."))
    if (change.object_type is None) != (change.object_id is None):
        faults.append(Fault("/object_id", "required", "Name both the kind of row and its id."))
    elif change.object_type is not None:
        faults += _faults_of_row(change)
    until = change.grant_expires_at
    if until is not None and (change.operation != Operation.ADD or until <= clock.now()):
        faults.append(Fault("/grant_expires_at", "invalid", "An end lies ahead, and only a grant has one."))
    if faults:
        raise Invalid(f"{len(faults)} fields need attention.", errors=faults)


def _model(object_type: str) -> type[Model] | None:
    try:
        return apps.get_model(object_type)
    except (LookupError, ValueError):
        return None


def _written(object_type: str) -> str:
    """The one way to write a kind of row, so that no two grants on one row differ by case; else as it came."""
    model = _model(object_type)
    return model._meta.label if model is not None else object_type


def _faults_of_row(change: CapabilityChange) -> list[Fault]:
    """What is wrong with the row that a grant names: it must be one on which the capability is asked."""
    model = _model(change.object_type or "")
    known = access.registry.capabilities.get(change.capability or "")
    if known is not None and model not in known.grantable_on():
        names = " or ".join(each._meta.label for each in known.grantable_on()) or "no row"
        return [Fault("/object_type", "unfit", f"{known} is granted on {names}.")]
    try:
        exists = model is not None and model._default_manager.filter(pk=change.object_id).exists()
    except (ValidationError, ValueError, TypeError):
        exists = False
    return [] if exists else [Fault("/object_id", "does_not_exist", "There is no such row.")]


def _check_effect(change: CapabilityChange) -> None:
    """Raises ChangeWithoutEffect, or what stands against the state that the change would lead to."""
    adds = change.operation == Operation.ADD
    if change.kind == _Kind.USER_ROLE:
        assert change.user is not None
        held = held_by(change.user)
        if (change.role in held) == adds:
            raise ChangeWithoutEffect
        after = _roles_after(change, held)
        if AUDITOR in after and granted_to(change.user):
            raise RoleNotAllowed("An auditor holds no single grants: take them away first.")
        if change.user.user_type != User.Type.INTERNAL:
            raise RoleNotAllowed("Partners' people get their roles from the partner, applicants have one.")
        check_roles(change.user.user_type, after)
        check_apart(rights_of(after) | granted_to(change.user), whose=str(change.user))
    elif change.kind == _Kind.SINGLE_GRANT:
        assert change.user is not None
        if (active_grant(change) is not None and adds) or (active_grant(change) is None and not adds):
            raise ChangeWithoutEffect
        if adds:
            if AUDITOR in held_by(change.user):
                raise RoleNotAllowed("An auditor reads everything and gets no single grants.")
            names = rights_of(held_by(change.user)) | granted_to(change.user) | {change.capability or ""}
            check_apart(names, whose=str(change.user))
    else:
        table = access.matrix()
        right = _right(change)
        if (right in table[change.role or ""]) == adds:
            raise ChangeWithoutEffect
        if adds:
            table[change.role or ""].add(right)
            _check_matrix(change.role or "", table)


def _check_matrix(role: str, table: dict[str, set[str]]) -> None:
    """Raises RolesIncompatible where the role, or anybody who holds it, would hold what never comes together."""
    check_apart(table[role], whose=role)
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
        check_apart(rights_of(combination[0], table) | combination[1], whose=" and ".join(combination[0]))


def _roles_after(change: CapabilityChange, held: frozenset[str]) -> frozenset[str]:
    """Roles after the change. AUDITOR stands alone: it takes the place of INTERNAL, and gives it back."""
    role = change.role or ""
    if change.operation == Operation.ADD:
        return frozenset({AUDITOR}) if role == AUDITOR and held == {INTERNAL} else held | {role}
    return frozenset({INTERNAL}) if role == AUDITOR else held - {role}


def _right(change: CapabilityChange) -> str:
    return f"{change.capability}{OWN if change.scope == Scope.OWN else ''}"


@service(
    requires=capabilities.MANAGE_CAPABILITIES,
    emits=[events.CapabilityChangeWithdrawn],
    raises=[ChangeDecided, NotProposer],
)
def withdraw_capability_change(change: CapabilityChange, *, actor: Actor) -> CapabilityChange:
    """Take a proposal back. Raises ChangeDecided, NotProposer."""
    if actor.pk not in (None, change.proposed_by_id):
        raise NotProposer
    _close(change, _Status.WITHDRAWN, approval_id=change.approval_id)
    _tell(events.CapabilityChangeWithdrawn, change, by=actor)
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
    """End a proposal as its request ended; one that has ended already stays as it is."""
    if change.status == _Status.PROPOSED:
        _close(change, _Status(request.status), approval_id=request.pk)
        _tell(_ENDINGS.get(request.status, events.CapabilityChangeRefused), change, by=actor)
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
    """Make a change that a second person agreed to; the product itself needs no request.

    Raises ChangeDecided, and what stands against the change by now.
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
    _tell(events.CapabilityChanged, change, by=actor)
    return change


def _close(change: CapabilityChange, status: str, *, approval_id: UUID | None) -> None:
    if change.status != _Status.PROPOSED:
        raise ChangeDecided
    change.status, change.approval_id = status, approval_id
    change.save()


def _apply_to_matrix(change: CapabilityChange) -> None:
    """Keep the difference to the code's default, and bring the role's group in line at once."""
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


def _tell(event: Any, change: CapabilityChange, *, by: Any) -> None:
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


EVERY_MEMBER_OF_STAFF = "INTERNAL"  # a role that nobody can be kept from deciding by


def _lock(change_id: UUID) -> None:
    """The matrix, then the user concerned: the order in which a change is applied."""
    locks.hold("account.access_policy")  # the row isn't there before the first change
    AccessPolicy.objects.locked().filter(pk=AccessPolicy.ONLY).first()
    concerned = CapabilityChange.objects.filter(pk=change_id).values("user_id")
    User.objects.locked().filter(pk__in=concerned).first()


def _base_of(change: CapabilityChange) -> Base:
    """The rights of the user concerned, or the matrix."""
    if change.user_id is not None:
        version = User.objects.values_list("rights_version", flat=True).get(pk=change.user_id)
        return Base("user", change.user_id, version)
    return Base("access_policy", AccessPolicy.ONLY, policy_version())


def _concerned(request: Any) -> Iterable[UUID]:
    """The user whose rights change; for a role's, its members as they are now."""
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
    """What the request says; None where the change was taken back meanwhile."""
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


CAPABILITY_CHANGE = Kind(
    name="capability.change",
    title="A change of rights",
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
