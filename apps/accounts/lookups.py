"""Capabilities of roles and users: the matrix, its deviations, and the source of each right."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db.models import Q

from apps.accounts.models import CapabilityGrant, PolicyDeviation, User
from erp import access
from erp.access import OWN, registry


class HeldCapability(NamedTuple):
    """A capability of a user, with scope and source."""

    capability: str
    reach: str
    source: str


class Cell(NamedTuple):
    """The scopes in which a role holds a capability, and whether they deviate from the default."""

    everywhere: bool
    own: bool
    deviates: bool
    audited: bool

    def __str__(self) -> str:
        return " ".join(name for name, held in (("all", self.everywhere), ("own", self.own)) if held)


# Capabilities that the audit prescribes; a deviation from them is shown in red.
AUDITED = frozenset(
    {
        "availability.approve",
        "availability.create",
        "availability.view_all",
        "partner.approve",
        "partner.reject",
        "partner.suspend",
        "requirement.approve",
        "requirement.create",
        "trade.approve",
        "trade.cancel",
        "trade.settle",
    }
)


def matrix() -> list[tuple[str, str, list[Cell]]]:
    """The current matrix: for each capability its name, label and a cell for each role, in their order."""
    table = access.matrix()
    changed = set(PolicyDeviation.objects.values_list("role", "capability"))
    return [
        (
            name,
            capability.label,
            [
                Cell(
                    name in table[role],
                    name + OWN in table[role],
                    (role, name) in changed,
                    name in AUDITED,
                )
                for role in registry.roles
            ],
        )
        for name, capability in sorted(registry.capabilities.items())
    ]


def rights_of(user: User) -> list[HeldCapability]:
    """All capabilities of the user, with their sources."""
    if user.is_superuser:
        return [HeldCapability("every capability", "all", "super administrator")]
    table = access.matrix()
    rights = [
        HeldCapability(right.removesuffix(OWN), "own" if right.endswith(OWN) else "all", f"role {role}")
        for role in user.role_names
        for right in table.get(role, ())
    ]
    for grant in CapabilityGrant.objects.live().filter(user=user):
        reach = f"{grant.object_type} {grant.object_id}" if grant.object_id else "all"
        until = f" until {grant.expires_at:%d %b %Y}" if grant.expires_at else ""
        rights.append(HeldCapability(grant.capability, reach, f"single grant{until}"))
    return sorted(rights)


def holders(capability: str, row: Any = None) -> Iterator[tuple[User, str]]:
    """Active users with the capability (on ``row``, or in any scope), each with its source."""
    table = access.matrix()
    everywhere = {role for role, rights in table.items() if capability in rights}
    own = {role for role, rights in table.items() if capability + OWN in rights}
    grants = CapabilityGrant.objects.live().filter(capability=capability)
    if row is not None:
        scopes = Q(object_id=None)
        for scope in row.scopes() if hasattr(row, "scopes") else (row,):
            scopes |= Q(object_type__iexact=scope._meta.label, object_id=scope.pk)
        grants = grants.filter(scopes)
    granted = set(grants.values_list("user_id", flat=True))
    people = (
        User.objects.filter(status=User.Status.ACTIVE)
        .filter(Q(is_superuser=True) | Q(groups__name__in=everywhere | own) | Q(pk__in=granted))
        .distinct()
        .prefetch_related("groups")
        .order_by("full_name", "pk")
    )
    for user in people:
        source = _source(user, everywhere, own, granted, row)
        if source:
            yield user, source


def _source(user: User, everywhere: set[str], own: set[str], granted: set[Any], row: Any) -> str:
    roles = set(user.role_names)
    if user.is_superuser:
        return "super administrator"
    if held := roles & everywhere:
        return f"role {sorted(held)[0]}"
    if (held := roles & own) and (row is None or row.belongs_to(user)):
        return f"role {sorted(held)[0]}, own rows"
    return "single grant" if user.pk in granted else ""
