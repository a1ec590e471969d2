"""Who a person is, and which roles they hold."""

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
# What may be done with a user in the admin, by status.
VERBS = {
    "pending": frozenset[str](),
    "invited": frozenset({"invite_again", "deactivate"}),
    "active": frozenset({"deactivate", "reset_second_factor", "end_sessions", "unlock"}) | _ANY,
    "deactivated": frozenset({"reactivate", "invite_again"}),
    "erased": frozenset[str](),
}


class DeactivationReason(models.TextChoices):
    """Why somebody is shut out."""

    LEFT = "left", "Left the company or the partner"
    DUPLICATE = "duplicate", "Has another account"
    MISUSE = "misuse", "Misused the account"
    SECURITY = "security", "Somebody else may use the account"
    OTHER = "other"


class ReactivationReason(models.TextChoices):
    """Why somebody is let in again."""

    RETURNED = "returned", "Came back"
    MISTAKE = "mistake", "Was shut out by mistake"
    CLEARED = "cleared", "What it was shut for is settled"
    OTHER = "other"


class FactorReason(models.TextChoices):
    """Why another person takes a second factor away."""

    DEVICE_LOST = "device_lost", "The device is lost"
    DEVICE_BROKEN = "device_broken", "The device is broken or replaced"
    SECURITY = "security", "Somebody else may know the secret"
    OTHER = "other"


class UnlockReason(models.TextChoices):
    """Why a lock ends early."""

    ASKED = "asked", "The person asked, and is known"
    ATTACK = "attack", "Somebody else locked it"
    OTHER = "other"


class UserQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """One's own row; every row for those who read the trail; rows on which one may administer users."""
        if holds_everywhere(user, "trail.view"):
            return self
        return self.filter(pk=user.pk) | self.permitted(user, "account.manage_users")

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
    """A person. The four types differ in whose they are: nobody's, an organization's or a partner's."""

    trail_personal = ("password", "email", "mobile", "full_name", "pending_email", "former_email")

    owner_user = "id"
    is_system = False
    current_session: Any = None  # the session by which the person is here; authentication sets it

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
    former_email = models.EmailField(max_length=254, null=True)  # whose owner hears of the change
    locale = models.CharField(max_length=5, choices=Locale, default=Locale.EN_IN)
    notify_email = models.BooleanField(default=True)
    notify_sms = models.BooleanField(default=False)
    digest = models.CharField(max_length=9, choices=Digest, default=Digest.IMMEDIATE)
    terms_version = models.CharField(max_length=32, null=True)  # noqa: DJ001
    terms_accepted_at = models.DateTimeField(null=True)
    # What a proposed change of rights builds on: an edit of the profile, which moves the version, leaves it as it is.
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
                name="user_mobile_e164",
                condition=Q(mobile=None) | Q(mobile__regex=f"^{PHONE.pattern.pattern}$"),
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

    @property
    def has_second_factor(self) -> bool:
        """Whether signing in asks for a code beside the password."""
        device = getattr(self, "totp", None)
        return device is not None and device.confirmed_at is not None

    @property
    def must_set_up_factor(self) -> bool:
        """Whether nothing but the set-up of a second factor is open: staff never work without one."""
        return self.is_staff and not self.has_second_factor

    @property
    def identifier(self) -> str:
        """The e-mail, else the mobile: what an authenticator app shows for the account."""
        return self.email or self.mobile or str(self.pk)

    @cached_property
    def role_names(self) -> list[str]:
        """Roles held now."""
        return sorted(group.name for group in self.groups.all())

    def rights(self) -> set[str]:
        """``label.codename``, with ``@own`` for own rows, of the user's roles, and general single grants."""
        names = Permission.objects.filter(group__user=self).values_list("content_type__app_label", "codename")
        general = [grant.capability for grant in registry.grants(self) if grant.live and not grant.model]
        return {f"{label}.{codename}" for label, codename in names} | set(general)

    def open_verbs(self) -> frozenset[str]:
        """What the status leaves open to who administers users."""
        return VERBS[self.Status(self.status)]

    def get_full_name(self) -> str:
        """The name, as Django's pages ask for it."""
        return self.full_name

    def set_password(self, raw_password: str | None) -> None:
        """Hash with argon2id; saving is the calling service's."""
        self.password = make_password(raw_password)

    def has_usable_password(self) -> bool:
        """Whether one was ever set."""
        return bool(self.password) and bool(super().has_usable_password())


class RoleMembership(Guarded):
    """A role that a user holds now; the past is in the events."""

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
    """A password that the user had, as its hash; the newest is the one in use."""

    trail_personal = ("hash",)

    user = models.ForeignKey(User, models.CASCADE, related_name="passwords")
    hash = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.created_at}"
