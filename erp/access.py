"""Capabilities: who may do what, checked in the same way in every channel (core §5).

A capability's name is a Django permission string. Roles are groups; a group holds ``label.codename`` for rows
everywhere and ``label.codename@own`` for rows of the holder's own partner; django-guardian holds single grants
on one row. ``sync`` brings permissions and groups in line with the code's matrix and the run-time deviations.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models

from erp import clock, metrics
from erp.errors import CapabilityMissing, ReauthenticationRequired

OWN: Final = "@own"
SYSTEM_ROLE: Final = "SYSTEM"


@dataclass(frozen=True)
class Capability:
    """A permission for one operation.

    ``everywhere`` lists the roles that hold it on every row they can see, ``own`` those that hold it on rows of
    their own partner; anyone else needs a single grant. ``on`` names the model (of the same app) it is about;
    empty for operations without a row, such as viewing technical rows.
    """

    name: str
    on: str
    label: str
    everywhere: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        registry.add(self)

    @property
    def app_label(self) -> str:
        """The module's label: the part before the dot."""
        return self.name.split(".")[0]

    @property
    def codename(self) -> str:
        """Django's codename: the part after the dot."""
        return self.name.split(".")[1]

    def grantable_on(self) -> "tuple[type[models.Model], ...]":
        """Models on whose rows it can be granted: the one it is about, and those that scope rows of it."""
        from django.apps import apps

        if not self.on:
            return ()
        model = apps.get_model(self.app_label, self.on)
        return (model, *(model.scope_models() if hasattr(model, "scope_models") else ()))

    def __str__(self) -> str:
        return self.name


class Deviation(NamedTuple):
    """A change of the matrix at run time: a role gains or loses a capability."""

    role: str
    capability: str
    scope: Literal["everywhere", "own"]
    operation: Literal["add", "remove"]


class Grant(NamedTuple):
    """A capability that one user holds: on one row (``label.model`` in lower case, and key), or in general: both empty.

    A grant that is no longer ``live`` overrides guardian's row, which may be deleted later.
    """

    capability: str
    model: str
    key: str
    live: bool = True


@dataclass
class CapabilityRegistry:
    """Every capability and role that the code declares."""

    capabilities: dict[str, Capability] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    deviations: Callable[[], Iterable[Deviation]] = field(default=lambda: ())
    grants: Callable[[Any], Iterable[Grant]] = field(default=lambda user: ())
    sealed: bool = False

    def add(self, capability: Capability) -> None:
        """Register a capability. Raises an error for a second one of the same name."""
        if capability.name.count(".") != 1 or not all(capability.name.split(".")):
            raise ImproperlyConfigured(f"{capability.name}: a capability is called label.verb")
        if capability.name in self.capabilities:
            raise ImproperlyConfigured(f"{capability.name} is declared twice")
        self.capabilities[capability.name] = capability

    def get(self, name: str) -> Capability:
        """The capability of that name; unknown names are an error."""
        try:
            return self.capabilities[name]
        except KeyError:
            raise ImproperlyConfigured(f"{name} is not a capability") from None

    def declare_roles(self, roles: dict[str, str], *, tiers: Iterable[Iterable[str]] = ()) -> None:
        """Name the roles (name → what it is), once, in the module that owns users.

        ``tiers`` order the roles of staff from the lowest up; roles of one tier rank the same.
        """
        self.roles.update(roles)
        self.ranks.update({role: rank for rank, tier in enumerate(tiers) for role in tier})

    def seal(self) -> None:
        """Check the declarations once every module is loaded."""
        from django.apps import apps

        for capability in self.capabilities.values():
            unknown = {*capability.everywhere, *capability.own} - {*self.roles, SYSTEM_ROLE}
            if unknown:
                raise ImproperlyConfigured(
                    f"{capability.name} names unknown roles: {', '.join(sorted(unknown))}"
                )
            if capability.on:
                apps.get_model(capability.app_label, capability.on)
        self.sealed = True


registry = CapabilityRegistry()


@runtime_checkable
class Actor(Protocol):
    """Who acts: a user, or SYSTEM."""

    @property
    def pk(self) -> Any: ...
    @property
    def is_superuser(self) -> bool: ...
    @property
    def is_active(self) -> bool: ...
    @property
    def is_staff(self) -> bool: ...
    @property
    def is_system(self) -> bool: ...
    @property
    def partner_id(self) -> Any: ...
    @property
    def organization_id(self) -> Any: ...


class System:
    """The actor of tasks, handlers and commands: no user row, no group; passes every check."""

    pk = id = None
    is_superuser = False
    is_active = True
    is_system = True
    is_staff = False
    partner_id: UUID | None = None
    organization_id: UUID | None = None

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Always."""
        return True

    def __str__(self) -> str:
        return SYSTEM_ROLE

    __repr__ = __str__


SYSTEM: Final = System()


def remember_permissions(user: Any, names: Iterable[str]) -> None:
    """Take ``names`` for the permissions of the user's roles: whoever read the user has read them, too."""
    user._role_permissions = frozenset(names)


def _permissions_of(user: Any) -> frozenset[str]:
    """``label.codename`` and ``label.codename@own`` of the user's groups: one query a request."""
    if not hasattr(user, "_role_permissions"):
        from django.contrib.auth.models import Permission

        user._role_permissions = frozenset(
            f"{label}.{codename}"
            for label, codename in Permission.objects.filter(group__user=user)
            .values_list("content_type__app_label", "codename")
            .distinct()
        )
    rights: frozenset[str] = user._role_permissions
    return rights


def _grants_of(user: Any) -> frozenset[tuple[str, str, str]]:
    """Single grants as (label.codename, label.model of the row, primary key); general ones name no row."""
    if not hasattr(user, "_single_grants"):
        from guardian.models import UserObjectPermission

        found = {
            (f"{label}.{codename}", f"{row_label}.{row_model}", key)
            for label, codename, row_label, row_model, key in UserObjectPermission.objects.filter(
                user=user
            ).values_list(
                "permission__content_type__app_label",
                "permission__codename",
                "content_type__app_label",
                "content_type__model",
                "object_pk",
            )
        }
        for name, model, key, live in registry.grants(user):
            (found.add if live else found.discard)((name, model, key))
        user._single_grants = frozenset(found)
    grants: frozenset[tuple[str, str, str]] = user._single_grants
    return grants


def actor_of(request: Any) -> Actor:
    """Return the signed-in user who sent the request."""
    user: Actor = request.user
    return user


def person_of(actor: Actor) -> Actor:
    """The person behind an actor: the member of staff during a view as a partner, else the actor."""
    person: Actor = getattr(actor, "viewed_by", actor)
    return person


def _passes_always(actor: Actor) -> bool | None:
    """Return True for SYSTEM and superusers, False for anonymous and inactive users, None if permissions decide."""
    if getattr(actor, "is_system", False):
        return True
    if not getattr(actor, "is_authenticated", False) or not actor.is_active:
        return False
    return True if actor.is_superuser else None


def holds_everywhere(actor: Actor, capability: Capability | str) -> bool:
    """Return whether ``actor`` holds the capability on every row. For querysets and pages."""
    name, always = str(capability), _passes_always(actor)
    return (
        (name in _permissions_of(actor) or (name, "", "") in _grants_of(actor)) if always is None else always
    )


def holds_own(actor: Actor, capability: Capability | str) -> bool:
    """Whether ``actor`` holds the capability on rows of its own partner, by a role."""
    always = _passes_always(actor)
    return str(capability) + OWN in _permissions_of(actor) if always is None else always


def granted_keys(actor: Actor, capability: Capability | str, model: type[models.Model]) -> list[Any]:
    """Primary keys of the rows of ``model`` on which ``actor`` holds a single grant of the capability."""
    if _passes_always(actor) is not None:
        return []
    keys = []
    for name, label, key in _grants_of(actor):
        if name == str(capability) and label == model._meta.label_lower:
            with suppress(ValidationError):
                keys.append(model._meta.pk.to_python(key))
    return sorted(keys)


def rights_of(actor: Actor) -> frozenset[str]:
    """Every right that ``actor`` holds now: permissions of its roles, and single grants with their row."""
    if _passes_always(actor):
        return frozenset(registry.capabilities)
    return _permissions_of(actor) | {" ".join(grant).strip() for grant in _grants_of(actor)}


def may_enter(actor: Actor, capability: Capability | str) -> bool:
    """Return whether ``actor`` holds the capability in any scope. Only for the check at an endpoint before the row is
    known; it gives no access to a row."""
    if may_create(actor, capability):
        return True
    return _passes_always(actor) is None and any(held == str(capability) for held, _, _ in _grants_of(actor))


def may_create(actor: Actor, capability: Capability | str) -> bool:
    """Return whether ``actor`` may create a row; a grant on another row is not sufficient."""
    return holds_everywhere(actor, capability) or holds_own(actor, capability)


def may(actor: Actor, capability: Capability | str, row: models.Model) -> bool:
    """Whether ``actor`` holds the capability on ``row``: everywhere, as its own, or granted on one of its scopes."""
    if holds_everywhere(actor, capability):
        return True
    if holds_own(actor, capability) and row.belongs_to(actor):  # type: ignore[attr-defined]
        return True
    scopes = row.scopes() if hasattr(row, "scopes") else (row,)
    return any(scope.pk in granted_keys(actor, capability, type(scope)) for scope in scopes)


def _require(held: bool, capability: Capability | str) -> None:
    if not held:
        metrics.CAPABILITY_DENIED.labels(str(capability)).inc()
        raise CapabilityMissing(str(capability))


def authorize(actor: Actor, capability: Capability | str, row: models.Model | None) -> None:
    """Raise CapabilityMissing (403, naming it) unless ``may`` on ``row``, or ``may_create`` where there is none yet."""
    _require(may_create(actor, capability) if row is None else may(actor, capability, row), capability)


def authorize_entry(actor: Actor, capability: Capability | str) -> None:
    """Raise CapabilityMissing (403, naming it) unless ``may_enter``."""
    _require(may_enter(actor, capability), capability)


def require_reauthentication(actor: Actor) -> None:
    """Raise ReauthenticationRequired (401) unless the person confirmed their identity recently.

    Authentication sets ``current_session`` on the person. Tasks and commands have none, and are not checked.
    """
    session = getattr(actor, "current_session", None)
    if session is not None and not session.is_reauthenticated(clock.now()):
        raise ReauthenticationRequired


def require_capability(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Check a capability in a plain function that takes ``actor`` by keyword; for reads that the audit lists."""
    capability = registry.get(name)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def guarded(*args: Any, actor: Actor, **kwargs: Any) -> Any:
            row = args[0] if args and isinstance(args[0], models.Model) else None
            authorize(actor, capability, row)
            return function(*args, actor=actor, **kwargs)

        guarded.capability = capability  # type: ignore[attr-defined]
        return guarded

    return decorate


class Backend:
    """The authentication backend: permissions of groups, of ownership, and single grants until they expire.

    Sign-in is a service of the accounts module, so ``authenticate`` always returns None.
    """

    def authenticate(self, request: Any, **credentials: Any) -> None:
        """Return None: users sign in through the service only."""
        return

    def get_user(self, user_id: Any) -> Any:
        """The active user of a session."""
        user = get_user_model()._default_manager.filter(pk=user_id).first()
        return user if user is not None and user.is_active else None

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Return whether the user holds the permission on ``obj``; without ``obj``, on every row."""
        return holds_everywhere(user_obj, perm) if obj is None else may(user_obj, perm, obj)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Whether the user holds anything of the app."""
        return any(may_enter(user_obj, c) for c in registry.capabilities.values() if c.app_label == app_label)


class Drift(NamedTuple):
    """One difference between the code's matrix (with deviations) and the database."""

    kind: Literal["permission", "role", "grant", "obsolete"]
    name: str
    operation: Literal["add", "remove"]


def matrix() -> dict[str, set[str]]:
    """Return the current matrix: role → permissions, the code's default with the run-time deviations."""
    table: dict[str, set[str]] = {role: set() for role in registry.roles}
    for capability in registry.capabilities.values():
        for role in capability.everywhere:
            if role != SYSTEM_ROLE:
                table[role].add(capability.name)
        for role in capability.own:
            table[role].add(capability.name + OWN)
    for role, name, scope, operation in registry.deviations():
        right = name + (OWN if scope == "own" else "")
        if role in table and name in registry.capabilities:
            (table[role].add if operation == "add" else table[role].discard)(right)
    return table


def simulate_roles(person: Any, roles: Iterable[str]) -> Any:
    """Return ``person``, who is not stored, with the permissions of these roles in the current matrix."""
    table = matrix()
    person._role_permissions = frozenset().union(*(table[role] for role in roles))
    person._single_grants = frozenset()
    return person


def sync(*, check: bool = False, prune: bool = False) -> list[Drift]:
    """Sync capabilities to permissions and roles to groups; return the differences.

    ``check`` changes nothing. Permissions that the code no longer declares are reported and removed only with
    ``prune``. Run-time deviations are part of the matrix and stay.
    """
    from django.db import transaction

    with transaction.atomic():
        return list(_sync(check=check, prune=prune))


def _sync(*, check: bool, prune: bool) -> Iterator[Drift]:
    from django.apps import apps
    from django.contrib.auth.models import Group, Permission
    from django.contrib.contenttypes.models import ContentType

    ContentType.objects.clear_cache()  # it may remember rows from before a flush or a restore
    permissions = {
        f"{p.content_type.app_label}.{p.codename}": p
        for p in Permission.objects.select_related("content_type").order_by("pk")
    }
    wanted: set[str] = set()
    for capability in registry.capabilities.values():
        rights = [(capability.name, capability.label)]
        if capability.own or any(
            d.capability == capability.name and d.scope == "own" for d in registry.deviations()
        ):
            rights.append((capability.name + OWN, f"{capability.label} (own)"))
        for right, label in rights:
            wanted.add(right)
            known = permissions.get(right)
            if known is not None and known.name == label:
                continue
            yield Drift("permission", right, "add")
            if not check:
                if capability.on:
                    model = apps.get_model(capability.app_label, capability.on)
                    content_type = ContentType.objects.get_for_model(model)
                else:
                    content_type, _ = ContentType.objects.get_or_create(
                        app_label=capability.app_label, model=""
                    )
                permissions[right], _ = Permission.objects.update_or_create(
                    codename=right.split(".")[1], content_type=content_type, defaults={"name": label}
                )
    ours = {capability.app_label for capability in registry.capabilities.values()}
    for right in sorted(right for right in permissions.keys() - wanted if right.split(".")[0] in ours):
        yield Drift("obsolete", right, "remove")
        if prune and not check:
            permissions[right].delete()

    groups = {g.name: g for g in Group.objects.prefetch_related("permissions__content_type")}
    for role, rights_of_role in matrix().items():
        group = groups.get(role)
        if group is None:
            yield Drift("role", role, "add")
            if check:
                continue
            group = Group.objects.create(name=role)
        held = {f"{p.content_type.app_label}.{p.codename}" for p in group.permissions.all()}
        for right in sorted(rights_of_role - held):
            yield Drift("grant", f"{role}: {right}", "add")
            if not check:
                group.permissions.add(permissions[right])
        for right in sorted((held - rights_of_role) & wanted):
            yield Drift("grant", f"{role}: {right}", "remove")
            if not check:
                group.permissions.remove(permissions[right])
