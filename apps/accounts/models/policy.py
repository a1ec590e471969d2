"""Rights beyond the default in code: proposed changes, deviations of the matrix, and single grants."""

from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.accounts.models.users import User
from erp import clock
from erp.access import Actor, Deviation, Grant, holds_everywhere, registry
from erp.models import Guarded, Model, QuerySet


class Scope(models.TextChoices):
    """On which rows a role holds a capability."""

    EVERYWHERE = "everywhere", "All rows"
    OWN = "own", "Own rows"


class Operation(models.TextChoices):
    """Whether a change adds or removes a right."""

    ADD = "add"
    REMOVE = "remove"


class _Administered(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Every row for those who manage capabilities or read the trail, none for others."""
        if holds_everywhere(user, "account.manage_capabilities") or holds_everywhere(user, "trail.view"):
            return self
        return self.none()


class AccessPolicy(Model):
    """The capability matrix as one row, whose version rises with every change of the matrix."""

    ONLY = UUID("01890000-0000-7000-8000-000000000001")

    objects: ClassVar[Any] = _Administered.as_manager()

    def __str__(self) -> str:
        return f"version {self.version}"


class PolicyDeviation(Guarded):
    """A difference of the matrix from the default in code; ``sync_capabilities`` leaves it in place."""

    role = models.CharField(max_length=40)
    capability = models.CharField(max_length=120)
    scope = models.CharField(max_length=10, choices=Scope)
    operation = models.CharField(max_length=6, choices=Operation)
    created_at = models.DateTimeField(default=clock.now)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["role", "capability", "scope"], name="policy_deviation_once")
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.role} {self.capability} ({self.scope})"


class CapabilityChange(Model):
    """A change of rights that one person proposes and another approves. It takes effect when it is approved."""

    class Kind(models.TextChoices):
        ROLE_CAPABILITY = "role_capability", "Capability of a role"
        USER_ROLE = "user_role", "Role of a user"
        SINGLE_GRANT = "single_grant", "Single grant"

    class Status(models.TextChoices):
        PROPOSED = "proposed"
        APPLIED = "applied"
        REFUSED = "refused"
        STALE = "stale"
        WITHDRAWN = "withdrawn"
        EXPIRED = "expired"

    kind = models.CharField(max_length=15, choices=Kind)
    role = models.CharField(  # noqa: DJ001 - absent, not empty: see the constraint
        max_length=40, null=True, help_text="Role to be changed, added or removed."
    )
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    capability = models.CharField(  # noqa: DJ001
        max_length=120, null=True, help_text="Capability to be granted or revoked."
    )
    scope = models.CharField(  # noqa: DJ001
        max_length=10,
        choices=Scope,
        null=True,
        help_text="All rows, or only the rows of the user's own partner.",
    )
    object_type = models.CharField(  # noqa: DJ001
        max_length=100,
        null=True,
        verbose_name="record type",
        help_text="For a grant on one record: its type, such as trade.Trade.",
    )
    object_id = models.UUIDField(
        null=True,
        verbose_name="record ID",
        help_text="For a grant on one record: its ID, as its page shows it.",
    )
    operation = models.CharField(max_length=6, choices=Operation, help_text="Add or remove the right.")
    grant_expires_at = models.DateTimeField(
        null=True,
        verbose_name="grant expires at",
        help_text="Date and time at which the grant ends. Leave empty for a grant without an end.",
    )
    reason = models.CharField(
        max_length=1000,
        help_text="Why the change is needed, in 10 to 1000 characters. The approver reads it.",
    )
    base_version = models.PositiveIntegerField()
    status = models.CharField(max_length=9, choices=Status, default=Status.PROPOSED)
    proposed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    approval_id = models.UUIDField(null=True)

    objects: ClassVar[Any] = _Administered.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "role", "user", "capability", "scope", "object_type", "object_id"],
                condition=Q(status="proposed"),
                nulls_distinct=False,
                name="capability_change_one_proposed",
            ),
            models.CheckConstraint(
                name="capability_change_says_what",
                condition=Q(
                    kind="role_capability",
                    role__isnull=False,
                    capability__isnull=False,
                    scope__isnull=False,
                    user=None,
                    object_id=None,
                )
                | Q(kind="user_role", role__isnull=False, user__isnull=False, capability=None, object_id=None)
                | Q(kind="single_grant", user__isnull=False, capability__isnull=False, role=None),
            ),
            models.CheckConstraint(
                name="capability_change_object_whole",
                condition=Q(object_type=None, object_id=None)
                | Q(object_type__isnull=False, object_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        what = {
            "role_capability": f"{self.role}: {self.capability} ({self.scope})",
            "user_role": f"{self.user}: role {self.role}",
            "single_grant": f"{self.user}: {self.capability}"
            + (f" on {self.object_type} {self.object_id}" if self.object_id else ""),
        }[self.kind]
        return f"{self.operation} {what}"

    def open_verbs(self) -> frozenset[str]:
        proposed = self.status == self.Status.PROPOSED
        return frozenset({"withdraw_capability_change"}) if proposed else frozenset()


class GrantQuerySet(_Administered):
    def live(self) -> Self:
        """Active grants that have not expired, whether or not the periodic task has closed them."""
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=clock.now()), status=CapabilityGrant.Status.ACTIVE
        )


class CapabilityGrant(Guarded):
    """A capability of one user, on one row or on all, with or without an expiry."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        EXPIRED = "expired"
        REVOKED = "revoked"

    id = models.UUIDField(primary_key=True)
    user = models.ForeignKey(User, models.PROTECT, related_name="grants")
    capability = models.CharField(max_length=120)
    object_type = models.CharField(max_length=100, null=True, verbose_name="record type")  # noqa: DJ001
    object_id = models.UUIDField(null=True, verbose_name="record ID")
    expires_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=1000)
    change = models.ForeignKey(CapabilityChange, models.PROTECT, related_name="+")
    status = models.CharField(max_length=7, choices=Status, default=Status.ACTIVE)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = GrantQuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "capability", "object_type", "object_id"],
                condition=Q(status="active"),
                nulls_distinct=False,
                name="capability_grant_one_active",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], condition=Q(status="active"), name="capability_grant_expiry")
        ]

    def __str__(self) -> str:
        where = f" on {self.object_type} {self.object_id}" if self.object_id else ""
        return f"{self.capability}{where}"


def _deviations() -> list[Deviation]:
    rows = PolicyDeviation.objects.order_by("pk").values_list("role", "capability", "scope", "operation")
    return [Deviation(*row) for row in rows]


def _grants(user: Any) -> list[Grant]:
    """The user's active grants; ``live`` is false for an expired one that the periodic task has not closed yet."""
    now = clock.now()
    rows = CapabilityGrant.objects.filter(user_id=user.pk, status=CapabilityGrant.Status.ACTIVE)
    return [
        Grant(name, (kind or "").lower(), str(key or ""), live=until is None or until > now)
        for name, kind, key, until in rows.values_list("capability", "object_type", "object_id", "expires_at")
    ]


registry.deviations = _deviations
registry.grants = _grants
