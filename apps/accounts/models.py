"""Who a person is, how they sign in, and which roles they hold."""

from typing import Any, ClassVar, Self

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser, Group, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from erp.access import Actor, Deviation, may, registry
from erp.models import Guarded, Model, QuerySet

MOBILE = r"^\+[1-9][0-9]{7,14}$"


class UserQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """One's own row; every row for those who administer users or read the trail."""
        if may(user, "account.manage_users") or may(user, "trail.view"):
            return self
        return self.filter(pk=user.pk)

    def get_by_natural_key(self, username: str) -> "User":
        found: User = self.get(email=username.strip().lower())
        return found


class User(AbstractBaseUser, PermissionsMixin, Model):
    """A person. The four types differ in whose they are: nobody's, an organization's or a partner's."""

    class Type(models.TextChoices):
        SUPER_ADMIN = "SUPER_ADMIN"
        INTERNAL = "INTERNAL"
        EXTERNAL = "EXTERNAL"
        APPLICANT = "APPLICANT"

    class Status(models.TextChoices):
        PENDING = "pending"
        INVITED = "invited"
        ACTIVE = "active"
        DEACTIVATED = "deactivated"
        ERASED = "erased"

    class Locale(models.TextChoices):
        EN_IN = "en-IN"
        HI_IN = "hi-IN"
        GU_IN = "gu-IN"

    class Digest(models.TextChoices):
        IMMEDIATE = "immediate"
        DAILY = "daily"

    email = models.EmailField(max_length=254, unique=True, null=True)
    mobile = models.CharField(max_length=16, unique=True, null=True)  # noqa: DJ001 - absent is not empty
    full_name = models.CharField(max_length=200)
    user_type = models.CharField(max_length=11, choices=Type)
    status = models.CharField(max_length=11, choices=Status, default=Status.PENDING)
    # Organizations and partners lie above this module, so their ids stand here without a foreign key.
    organization_id = models.UUIDField(null=True, db_index=True)
    partner_id = models.UUIDField(null=True, db_index=True)
    email_verified_at = models.DateTimeField(null=True)
    mobile_verified_at = models.DateTimeField(null=True)
    pending_email = models.EmailField(max_length=254, null=True)
    locale = models.CharField(max_length=5, choices=Locale, default=Locale.EN_IN)
    notify_email = models.BooleanField(default=True)
    notify_sms = models.BooleanField(default=False)
    digest = models.CharField(max_length=9, choices=Digest, default=Digest.IMMEDIATE)
    terms_version = models.CharField(max_length=32, null=True)  # noqa: DJ001
    terms_accepted_at = models.DateTimeField(null=True)
    erased_at = models.DateTimeField(null=True)
    groups: Any = models.ManyToManyField(
        Group,
        through="RoleMembership",
        through_fields=("user", "role"),
        related_name="user_set",
        related_query_name="user",
    )
    user_permissions: Any = None  # rights come from roles and single grants only
    last_login = None

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar = ["full_name"]

    objects: ClassVar[Any] = UserQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="user_type_fits_ids",
                condition=Q(user_type__in=["SUPER_ADMIN", "APPLICANT"], organization_id=None, partner_id=None)
                | Q(user_type="INTERNAL", organization_id__isnull=False, partner_id=None)
                | Q(user_type="EXTERNAL", organization_id=None, partner_id__isnull=False),
            ),
            models.CheckConstraint(
                name="user_superuser_is_super_admin",
                condition=Q(is_superuser=True, user_type="SUPER_ADMIN")
                | (Q(is_superuser=False) & ~Q(user_type="SUPER_ADMIN")),
            ),
            models.CheckConstraint(
                name="user_has_address",
                condition=Q(email__isnull=False) | Q(mobile__isnull=False) | Q(erased_at__isnull=False),
            ),
            models.CheckConstraint(
                name="user_email_lower_case",
                condition=Q(email=None) | (Q(email=Lower("email")) & ~Q(email="")),
            ),
            models.CheckConstraint(
                name="user_mobile_e164", condition=Q(mobile=None) | Q(mobile__regex=MOBILE)
            ),
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Only an active user signs in or acts."""
        return bool(self.status == self.Status.ACTIVE)

    @property
    def is_staff(self) -> bool:
        """Who works in the admin."""
        return bool(self.user_type in (self.Type.SUPER_ADMIN, self.Type.INTERNAL))

    def belongs_to(self, user: Actor) -> bool:
        return self.pk is not None and bool(self.pk == user.pk)

    def get_full_name(self) -> str:
        """The name, as Django's pages ask for it."""
        return self.full_name

    def set_password(self, raw_password: str | None) -> None:
        """Hash with argon2id; saving is the calling service's."""
        self.password = make_password(raw_password)

    def get_session_auth_hash(self) -> str:
        """Sessions in the admin end with the password."""
        return super().get_session_auth_hash()


class RoleMembership(Guarded):
    """A role that a user holds now; the past is in the events."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.ForeignKey(Group, models.PROTECT, related_name="memberships")
    granted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    change_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "role"], name="role_membership_once")
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.role_id}"


class SessionQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        return self.filter(user_id=user.pk)

    def seen_by_staff(self, user: Actor) -> Self:
        """In the admin, who administers users or reads the trail sees every session."""
        if may(user, "account.manage_users") or may(user, "trail.view"):
            return self
        return self.visible_to(user)

    def live(self) -> Self:
        """Sessions that may still be used."""
        now = timezone.now()
        return self.filter(ended_at=None, expires_at__gt=now, absolute_expires_at__gt=now)


class Session(Guarded):
    """One sign-in and its family of tokens (``sid``)."""

    class Door(models.TextChoices):
        API = "api"
        ADMIN = "admin"

    class Method(models.TextChoices):
        PASSWORD = "password"  # noqa: S105
        OTP = "otp"

    class SecondFactor(models.TextChoices):
        NONE = "none"
        TOTP = "totp"
        RECOVERY_CODE = "recovery_code"

    class EndReason(models.TextChoices):
        SIGNED_OUT = "signed_out"
        USER = "user"
        PASSWORD = "password"  # noqa: S105
        SECOND_FACTOR = "second_factor"
        REUSE = "reuse"
        DEACTIVATED = "deactivated"
        ADMINISTRATOR = "administrator"
        ERASED = "erased"

    id = models.UUIDField(primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, related_name="sessions")
    door = models.CharField(max_length=5, choices=Door)
    method = models.CharField(max_length=8, choices=Method)
    second_factor = models.CharField(max_length=13, choices=SecondFactor, default=SecondFactor.NONE)
    device_label = models.CharField(max_length=120, default="")
    device_hash = models.CharField(max_length=64, default="")
    ip = models.GenericIPAddressField(null=True)
    refreshed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    absolute_expires_at = models.DateTimeField()
    reauthenticated_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=13, choices=EndReason, null=True)  # noqa: DJ001
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[Any] = SessionQuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="session_end_has_reason",
                condition=Q(ended_at=None, end_reason=None)
                | Q(ended_at__isnull=False, end_reason__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return str(self.pk)

    def belongs_to(self, user: Actor) -> bool:
        return bool(self.user_id == user.pk)


class RefreshToken(Guarded):
    """One refresh token of a family; one per family is usable."""

    jti = models.UUIDField(unique=True)
    session = models.ForeignKey(Session, models.CASCADE, related_name="tokens")
    expires_at = models.DateTimeField()
    rotated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session"], condition=Q(rotated_at=None), name="refresh_token_one_usable"
            )
        ]

    def __str__(self) -> str:
        return str(self.jti)


class SignInCounter(Guarded):
    """Failed sign-ins of one identifier, known or not; the row is locked while it is changed."""

    id = models.UUIDField(primary_key=True)
    key = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="+")
    failures = models.PositiveIntegerField(default=0)
    window_started_at = models.DateTimeField(default=timezone.now)
    locked_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.key


class PolicyDeviation(Guarded):
    """A change of the capability matrix made at run time; ``sync_capabilities`` never undoes it."""

    class Scope(models.TextChoices):
        EVERYWHERE = "everywhere"
        OWN = "own"

    class Operation(models.TextChoices):
        ADD = "add"
        REMOVE = "remove"

    role = models.CharField(max_length=40)
    capability = models.CharField(max_length=120)
    scope = models.CharField(max_length=10, choices=Scope)
    operation = models.CharField(max_length=6, choices=Operation)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["role", "capability", "scope"], name="policy_deviation_once")
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.role} {self.capability} ({self.scope})"


def _deviations() -> list[Deviation]:
    rows = PolicyDeviation.objects.order_by("pk").values_list("role", "capability", "scope", "operation")
    return [Deviation(*row) for row in rows]


registry.deviations = _deviations
