"""Which roles fit whom (accounts §5.3): by kind of user, and never deciding, paying and administering in one."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group

from apps.accounts import capabilities
from apps.accounts.models import CapabilityGrant, RoleMembership, User
from erp import access
from erp.access import OWN, Actor
from erp.errors import RuleBroken

INTERNAL, AUDITOR, APPLICANT = "INTERNAL", "AUDITOR", "APPLICANT"
STAFF_ROLES = frozenset(
    {
        "INTERNAL_MANAGER",
        "INTERNAL_DIRECTOR",
        "INTERNAL_FINANCE",
        "INTERNAL_COMPLIANCE",
        "INTERNAL_MASTERDATA",
    }
)
PARTNER_ROLES = frozenset({"PARTNER_ADMIN", "SELLER", "BUYER", "TRADER", "BROKER", "SERVICE_PROVIDER"})


class RoleNotAllowed(RuleBroken):
    """The role doesn't fit the kind of user."""


class RoleRequired(RuleBroken):
    """Nobody is without a role: deactivate the user instead."""


class RolesIncompatible(RuleBroken):
    """These never come together: who decides, who pays and who administers users are three people."""


ROLE_ERRORS = (RoleNotAllowed, RoleRequired, RolesIncompatible)


def is_super(actor: Actor) -> bool:
    """Whether it is a super administrator, or the product itself."""
    return actor.is_superuser or actor.is_system


def check_rank(actor: Actor, user: User) -> None:
    """Raises RoleNotAllowed where ``user`` is a super administrator and the actor none."""
    if user.is_superuser and not is_super(actor):
        raise RoleNotAllowed("Only a super administrator changes another.")


def check_roles(user_type: str, roles: frozenset[str]) -> None:
    """Raises RoleNotAllowed or RoleRequired where the roles don't fit the kind of user, or RolesIncompatible."""
    if not roles and user_type != User.Type.SUPER_ADMIN:
        raise RoleRequired
    fits = {
        User.Type.SUPER_ADMIN: not roles,
        User.Type.INTERNAL: roles == {AUDITOR} or (INTERNAL in roles and roles - {INTERNAL} <= STAFF_ROLES),
        User.Type.EXTERNAL: roles <= PARTNER_ROLES,
        User.Type.APPLICANT: roles == {APPLICANT},
    }
    if not fits[User.Type(user_type)]:
        raise RoleNotAllowed(f"{', '.join(sorted(roles))} doesn't fit a user of type {user_type}.")
    if len(roles & capabilities.ROLES_APART) > 1:
        raise RolesIncompatible(f"{' and '.join(sorted(roles & capabilities.ROLES_APART))}.")


def check_apart(names: Iterable[str], *, whose: str) -> None:
    """Raises RolesIncompatible where capabilities come together that never may; ``whose`` is for the words."""
    held = {name.removesuffix(OWN) for name in names}
    sides = [sorted(side & held) for side in capabilities.APART if side & held]
    if len(sides) > 1:
        raise RolesIncompatible(f"{whose}: {' and '.join(side[0] for side in sides)}.")


def rights_of(roles: Iterable[str], table: dict[str, set[str]] | None = None) -> set[str]:
    """What the roles hold by the matrix in force, or by another one."""
    table = access.matrix() if table is None else table
    return {right for role in roles for right in table.get(role, ())}


def granted_to(user: User) -> set[str]:
    """Capabilities of the user's single grants that no date has ended."""
    return set(CapabilityGrant.objects.live().filter(user=user).values_list("capability", flat=True))


def held_by(user: User) -> frozenset[str]:
    """Roles that the user holds now, read afresh."""
    return frozenset(RoleMembership.objects.filter(user=user).values_list("role__name", flat=True))


def set_roles(
    user: User, roles: frozenset[str], *, by: Any, change_id: UUID | None = None
) -> tuple[list[str], list[str]]:
    """Make these the user's roles; returns what was added and removed. The user's row is locked; saving is
    the caller's.

    Raises what ``check_roles`` and ``check_apart`` raise.
    """
    check_roles(user.user_type, roles)
    check_apart(rights_of(roles) | granted_to(user), whose=str(user))
    held = held_by(user)
    added, removed = sorted(roles - held), sorted(held - roles)
    if added or removed:
        RoleMembership.objects.filter(user=user, role__name__in=removed).delete()
        groups = {group.name: group for group in Group.objects.filter(name__in=added)}
        RoleMembership.objects.bulk_create(
            [
                RoleMembership(user=user, role=groups[role], granted_by_id=by.pk, change_id=change_id)
                for role in added
            ]
        )
        user.rights_version += 1
    return added, removed
