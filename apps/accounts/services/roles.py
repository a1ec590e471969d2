"""Roles by type of user, and separation of approving, paying and administering (accounts §5.3)."""

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
    """The role is not allowed for this type of user."""


class RoleRequired(RuleBroken):
    """A user needs a role. To remove all rights, deactivate the user."""


class RolesIncompatible(RuleBroken):
    """Approving trades, settling them and administering users must be held by different people."""


ROLE_ERRORS = (RoleNotAllowed, RoleRequired, RolesIncompatible)


def is_super(actor: Actor) -> bool:
    """Whether the actor is a super administrator or SYSTEM."""
    return actor.is_superuser or actor.is_system


def check_rank(actor: Actor, user: User) -> None:
    """Raise RoleNotAllowed if ``user`` is a super administrator and the actor is not."""
    if user.is_superuser and not is_super(actor):
        raise RoleNotAllowed("Only a super administrator can change another one.")


def check_roles(user_type: str, roles: frozenset[str]) -> None:
    """Raise RoleNotAllowed or RoleRequired where the roles do not suit the type of user, or RolesIncompatible."""
    if not roles and user_type != User.Type.SUPER_ADMIN:
        raise RoleRequired
    fits = {
        User.Type.SUPER_ADMIN: not roles,
        User.Type.INTERNAL: roles == {AUDITOR} or (INTERNAL in roles and roles - {INTERNAL} <= STAFF_ROLES),
        User.Type.EXTERNAL: roles <= PARTNER_ROLES,
        User.Type.APPLICANT: roles == {APPLICANT},
    }
    if not fits[User.Type(user_type)]:
        raise RoleNotAllowed(f"{', '.join(sorted(roles))}: not allowed for a user of type {user_type}.")
    if len(roles & capabilities.ROLES_APART) > 1:
        raise RolesIncompatible(f"{' and '.join(sorted(roles & capabilities.ROLES_APART))}.")


def check_compatible(names: Iterable[str], *, whose: str) -> None:
    """Raise RolesIncompatible for incompatible capabilities; ``whose`` names their holder in the message."""
    held = {name.removesuffix(OWN) for name in names}
    sides = [sorted(side & held) for side in capabilities.APART if side & held]
    if len(sides) > 1:
        raise RolesIncompatible(f"{whose}: {' and '.join(side[0] for side in sides)}.")


def rights_of(roles: Iterable[str], table: dict[str, set[str]] | None = None) -> set[str]:
    """The capabilities of the roles, by the current matrix or by ``table``."""
    table = access.matrix() if table is None else table
    return {right for role in roles for right in table.get(role, ())}


def granted_to(user: User) -> set[str]:
    """Capabilities of the user's live single grants."""
    return set(CapabilityGrant.objects.live().filter(user=user).values_list("capability", flat=True))


def held_by(user: User) -> frozenset[str]:
    """Current roles of the user, read from the database."""
    return frozenset(RoleMembership.objects.filter(user=user).values_list("role__name", flat=True))


def set_roles(
    user: User, roles: frozenset[str], *, by: Any, change_id: UUID | None = None
) -> tuple[list[str], list[str]]:
    """Set the user's roles; return the added and removed ones. The caller has locked the user and saves it.

    Raises RoleNotAllowed, RoleRequired, RolesIncompatible.
    """
    check_roles(user.user_type, roles)
    check_compatible(rights_of(roles) | granted_to(user), whose=str(user))
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
