"""Users, their roles and their former passwords."""

from typing import Any, ClassVar, Self

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser, Group, Permission, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.functional import cached_property

from erp import clock
from erp.access import Actor, holds_everywhere, registry
from erp.identifiers import PHONE
from erp.models import Guarded, Model, QuerySet

_ANY = frozenset({"propose_role", "propose_grant"})
# Actions on a user in the staff portal, by status.
VERBS = {
    "pending": frozenset[str](),
    "invited": frozenset({"invite_again", "deactivate"}),
    "active": frozenset({"deactivate", "reset_second_factor", "end_sessions", "unlock"}) | _ANY,
    "deactivated": frozenset({"reactivate", "invite_again"}),
    "erased": frozenset[str](),
}


class DeactivationReason(models.TextChoices):
    """Why a user is deactivated."""

    LEFT = "left", "Left the company or the partner"
    DUPLICATE = "duplicate", "Has another account"
    MISUSE = "misuse", "Misused the account"
    SECURITY = "security", "Account may be compromised"
    OTHER = "other"


class ReactivationReason(models.TextChoices):
    """Why a user is reactivated."""

    RETURNED = "returned", "Returned to the company or the partner"
    MISTAKE = "mistake", "Was deactivated by mistake"
    CLEARED = "cleared", "The reason for deactivation is resolved"
    OTHER = "other"


class FactorReason(models.TextChoices):
    """Why an administrator resets a user's two-factor authentication."""

    DEVICE_LOST = "device_lost", "Device lost"
    DEVICE_BROKEN = "device_broken", "Device broken or replaced"
    SECURITY = "security", "Secret may be compromised"
    OTHER = "other"


class UnlockReason(models.TextChoices):
    """Why a user is unlocked early."""

    ASKED = "asked", "Requested by the user, identity verified"
    ATTACK = "attack", "Locked by another person's attempts"
    OTHER = "other"


class UserQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """The user's own row, rows of users whom they may administer, and every row for readers of the trail."""
        if holds_everywhere(user, "trail.view"):
            return self
        return self.filter(pk=user.pk) | self.permitted(user, "account.manage_users")

    def active_staff(self) -> Self:
        """People of the company who can sign in."""
        return self.filter(user_type=User.Type.INTERNAL, status=User.Status.ACTIVE)

    def active_at(self, email: str) -> "User | None":
        """The active user whose verified address it is."""
        found: User | None = self.filter(
            email=email, status=User.Status.ACTIVE, email_verified_at__isnull=False
        ).first()
        return found

    def get_by_natural_key(self, username: str) -> "User":
        found: User = self.get(email=username)
        return found


class User(AbstractBaseUser, PermissionsMixin, Model):
    """A person: of an organization (internal), of a partner (external), or of neither."""

    trail_personal = ("password", "email", "mobile", "full_name", "pending_email", "former_email")

    owner_user = "id"
    is_system = False
    current_session: Any = None  # the session of the request; authentication sets it

    class Type(models.TextChoices):
        SUPER_ADMIN = "SUPER_ADMIN", "Super administrator"
        INTERNAL = "INTERNAL", "Internal"
        EXTERNAL = "EXTERNAL", "External"
        APPLICANT = "APPLICANT", "Applicant"

    class Status(models.TextChoices):
        PENDING = "pending"
        INVITED = "invited"
        ACTIVE = "active"
        DEACTIVATED = "deactivated"
        ERASED = "erased"

    class Locale(models.TextChoices):
        EN_IN = "en-IN", "English"
        HI_IN = "hi-IN", "Hindi"
        GU_IN = "gu-IN", "Gujarati"

    class Digest(models.TextChoices):
        IMMEDIATE = "immediate"
        DAILY = "daily"

    email = models.EmailField(
        max_length=254,
        unique=True,
        null=True,
        help_text="Used to sign in and for messages. Up to 254 characters.",
    )
    mobile = models.CharField(  # noqa: DJ001 - absent is not empty
        max_length=16,
        unique=True,
        null=True,
        verbose_name="mobile number",
        help_text="With the country code, such as +91 98765 43210.",
    )
    full_name = models.CharField(
        max_length=200, help_text="First and last name, up to 200 characters, without web addresses."
    )
    user_type = models.CharField(
        max_length=11, choices=Type, help_text="Internal users work for an organization of the company."
    )
    status = models.CharField(max_length=11, choices=Status, default=Status.PENDING)
    # The modules of organizations and partners lie above this one: a foreign key would import them.
    organization_id = models.UUIDField(
        null=True, db_index=True, help_text="Organization that an internal user works for."
    )
    partner_id = models.UUIDField(
        null=True, db_index=True, help_text="Partner that an external user works for, or applies for."
    )
    email_verified_at = models.DateTimeField(null=True)
    mobile_verified_at = models.DateTimeField(null=True, verbose_name="mobile number verified at")
    pending_email = models.EmailField(
        max_length=254, null=True, help_text="New e-mail address that is not verified yet."
    )
    former_email = models.EmailField(max_length=254, null=True)  # notified of the change
    locale = models.CharField(
        max_length=5,
        choices=Locale,
        default=Locale.EN_IN,
        verbose_name="language",
        help_text="Language of messages: English, Hindi or Gujarati.",
    )
    notify_email = models.BooleanField(
        default=True, verbose_name="notify by e-mail", help_text="Send notifications by e-mail."
    )
    notify_sms = models.BooleanField(
        default=False, verbose_name="notify by SMS", help_text="Send notifications by SMS."
    )
    digest = models.CharField(
        max_length=9,
        choices=Digest,
        default=Digest.IMMEDIATE,
        verbose_name="frequency of notifications",
        help_text="Send notifications immediately, or once a day in one message.",
    )
    terms_version = models.CharField(  # noqa: DJ001
        max_length=32,
        null=True,
        verbose_name="version of the terms",
        help_text="Version of the terms of use that the user accepts.",
    )
    terms_accepted_at = models.DateTimeField(null=True)
    # A proposed change of rights refers to it: an edit of the profile raises the row's version, but not this one.
    rights_version = models.PositiveIntegerField(default=1, editable=False)
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
                condition=Q(user_type="SUPER_ADMIN", organization_id=None, partner_id=None)
                | Q(user_type="APPLICANT", organization_id=None)
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
                name="user_mobile_e164",
                condition=Q(mobile=None) | Q(mobile__regex=f"^{PHONE.pattern.pattern}$"),
            ),
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Whether the user may sign in and act."""
        return bool(self.status == self.Status.ACTIVE)

    @property
    def is_staff(self) -> bool:
        """Whether the user works in the staff portal."""
        return bool(self.user_type in (self.Type.SUPER_ADMIN, self.Type.INTERNAL))

    @property
    def has_second_factor(self) -> bool:
        """Whether two-factor authentication is enabled."""
        device = getattr(self, "totp", None)
        return device is not None and device.confirmed_at is not None

    @property
    def must_set_up_factor(self) -> bool:
        """Whether the user must set up two-factor authentication before anything else: it is mandatory for staff."""
        return self.is_staff and not self.has_second_factor

    @property
    def identifier(self) -> str:
        """The e-mail address or mobile number, which an authenticator app shows for the account."""
        return self.email or self.mobile or str(self.pk)

    @cached_property
    def role_names(self) -> list[str]:
        """Names of the current roles, sorted."""
        return sorted(group.name for group in self.groups.all())

    def rights(self) -> set[str]:
        """``label.codename``, with ``@own`` for own rows, of the user's roles, and general single grants."""
        names = Permission.objects.filter(group__user=self).values_list("content_type__app_label", "codename")
        general = [grant.capability for grant in registry.grants(self) if grant.live and not grant.model]
        return {f"{label}.{codename}" for label, codename in names} | set(general)

    def open_verbs(self) -> frozenset[str]:
        """Actions that the status allows."""
        return VERBS[self.Status(self.status)]

    def get_full_name(self) -> str:
        """The name, for Django's own pages."""
        return self.full_name

    def set_password(self, raw_password: str | None) -> None:
        """Hash with argon2id. The calling service saves the row."""
        self.password = make_password(raw_password)

    def has_usable_password(self) -> bool:
        """Whether a password was ever set."""
        return bool(self.password) and bool(super().has_usable_password())


class RoleMembership(Guarded):
    """A current role of a user; former ones are in the events."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.ForeignKey(Group, models.PROTECT, related_name="memberships")
    granted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    change_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "role"], name="role_membership_once")
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.role_id}"


class PasswordHistory(Guarded):
    """The hash of a password of the user; the newest is the current one."""

    trail_personal = ("hash",)

    user = models.ForeignKey(User, models.CASCADE, related_name="passwords")
    hash = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.created_at}"
