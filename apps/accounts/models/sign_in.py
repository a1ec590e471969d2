"""Sessions and their tokens, counters of failed sign-ins, one-time tokens and codes."""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.accounts.models.users import User
from erp import clock
from erp.access import Actor, holds_everywhere
from erp.encryption import decrypt, encrypt
from erp.ids import uuid7
from erp.models import Guarded, Model, QuerySet


class SessionQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        return self.filter(user_id=user.pk)

    def seen_by_staff(self, user: Actor) -> Self:
        """In the staff portal, also sessions of users whom the person may administer; all for readers of the trail."""
        if holds_everywhere(user, "trail.view"):
            return self
        return self.visible_to(user) | self.permitted(user, "account.manage_users")

    def live(self) -> Self:
        """Sessions that may still be used."""
        now = clock.now()
        return self.filter(ended_at=None, expires_at__gt=now, absolute_expires_at__gt=now)


class Session(Model):
    """One sign-in and its family of tokens (``sid``)."""

    trail_personal = ("device_label", "device_hash", "ip")
    trail_ignored = ("refreshed_at", "expires_at", "version")

    owner_user = "user_id"
    granted_through = ("user",)

    class Channel(models.TextChoices):
        API = "api", "API"
        ADMIN = "admin", "Staff portal"

    class Method(models.TextChoices):
        PASSWORD = "password", "Password"
        OTP = "otp", "Code by SMS"

    class SecondFactor(models.TextChoices):
        NONE = "none", "None"
        TOTP = "totp", "Authenticator app"
        RECOVERY_CODE = "recovery_code", "Recovery code"

    class EndReason(models.TextChoices):
        SIGNED_OUT = "signed_out", "Signed out"
        USER = "user", "Ended by the user"
        PASSWORD = "password", "Password changed"
        SECOND_FACTOR = "second_factor", "Two-factor authentication changed"
        REUSE = "reuse", "Refresh token used twice"
        DEACTIVATED = "deactivated", "User deactivated"
        ADMINISTRATOR = "administrator", "Ended by an administrator"
        ERASED = "erased", "User erased"

    user = models.ForeignKey(User, models.CASCADE, related_name="sessions")
    door = models.CharField(
        max_length=5, choices=Channel, verbose_name="channel", help_text="API or staff portal."
    )
    method = models.CharField(
        max_length=8, choices=Method, help_text="First factor used: password, or code by SMS."
    )
    second_factor = models.CharField(
        max_length=13,
        choices=SecondFactor,
        default=SecondFactor.NONE,
        help_text="Second factor used: authenticator app, recovery code or none.",
    )
    device_label = models.CharField(
        max_length=120,
        default="",
        verbose_name="device name",
        help_text="Name of the device in the list of sessions, up to 120 characters.",
    )
    device_hash = models.CharField(max_length=64, default="")
    ip = models.GenericIPAddressField(
        null=True, verbose_name="IP address", help_text="IP address at sign-in."
    )
    refreshed_at = models.DateTimeField(verbose_name="last refreshed at")
    expires_at = models.DateTimeField(help_text="Without a refresh the session ends at this time.")
    absolute_expires_at = models.DateTimeField(
        verbose_name="latest end", help_text="The session ends at this time in any case."
    )
    reauthenticated_at = models.DateTimeField(null=True, verbose_name="identity confirmed at")
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=13, choices=EndReason, null=True)  # noqa: DJ001

    objects: ClassVar[Any] = SessionQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="session_end_has_reason",
                condition=Q(ended_at=None, end_reason=None)
                | Q(ended_at__isnull=False, end_reason__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_live(self) -> bool:
        """Whether the session may still be used."""
        now = clock.now()
        return self.ended_at is None and min(self.expires_at, self.absolute_expires_at) > now

    @property
    def reauthentication_expires_at(self) -> datetime | None:
        """When the last confirmation of the identity expires."""
        reauthenticated = self.reauthenticated_at
        return None if reauthenticated is None else reauthenticated + settings.REAUTHENTICATION_AGE

    def is_reauthenticated(self, now: datetime) -> bool:
        """Whether the confirmation of the user's identity is still valid."""
        until = self.reauthentication_expires_at
        return until is not None and now < until

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"revoke"}) if self.is_live else frozenset()


class RefreshToken(Guarded):
    """A refresh token of a session; one per session is usable."""

    trail_exempt = "moves with every use of a session"

    jti = models.UUIDField(unique=True)
    session = models.ForeignKey(Session, models.CASCADE, related_name="tokens")
    expires_at = models.DateTimeField()
    rotated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session"], condition=Q(rotated_at=None), name="refresh_token_one_usable"
            )
        ]

    def __str__(self) -> str:
        return str(self.jti)


class SignInCounter(Guarded):
    """Failed sign-ins of one identifier, whether or not it belongs to a user."""

    trail_exempt = "counts attempts"

    id = models.UUIDField(primary_key=True, default=uuid7)
    key = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="+")
    failures = models.PositiveIntegerField(default=0)
    window_started_at = models.DateTimeField(default=clock.now)
    locked_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return self.key


class SingleUseQuerySet(QuerySet):
    """Rows that can be used once, until they expire."""

    def live(self) -> Self:
        """Rows that are neither used nor voided nor expired."""
        return self.filter(used_at=None, voided_at=None, expires_at__gt=clock.now())


class OneTimeToken(Guarded):
    """The token of a link in an e-mail. Its text is derived from the ID, see ``apps.accounts.secrets``."""

    trail_exempt = "lives for hours; what it was used for is a change of its own"

    class Purpose(models.TextChoices):
        SIGN_UP = "sign_up"
        VERIFY_EMAIL = "verify_email"
        CHANGE_EMAIL = "change_email"
        RESET_PASSWORD = "reset_password"  # noqa: S105
        INVITATION = "invitation"

    id = models.UUIDField(primary_key=True, default=uuid7)
    purpose = models.CharField(max_length=14, choices=Purpose)
    # Null where no e-mail is sent: an unknown address must cost and store the same as a known one.
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="one_time_tokens")
    address_hash = models.CharField(max_length=64, default="")
    # The caller who requested the e-mail: rate limits count by these.
    asked_by = models.UUIDField(null=True)
    network_hash = models.CharField(max_length=64, default="")
    new_password = models.CharField(max_length=128, default="")
    key_id = models.CharField(max_length=16)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = SingleUseQuerySet.as_manager()

    class Meta(Guarded.Meta):
        indexes: ClassVar = [
            models.Index(fields=["address_hash", "purpose"], name="one_time_token_address"),
            models.Index(fields=["expires_at"], name="one_time_token_expiry"),
            models.Index(fields=["created_at"], name="one_time_token_day"),
            models.Index(fields=["asked_by", "created_at"], name="one_time_token_caller"),
            models.Index(fields=["network_hash", "created_at"], name="one_time_token_network"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.pk}"

    @property
    def is_live(self) -> bool:
        """Whether the token may still be used."""
        return self.used_at is None and self.voided_at is None and self.expires_at > clock.now()


class OtpChallenge(Guarded):
    """A code sent to a mobile number. The code is derived from the ID, see ``apps.accounts.secrets``."""

    trail_exempt = "lives for minutes; what it was used for is a change of its own"

    class Purpose(models.TextChoices):
        SIGN_IN = "sign_in", "Sign in"
        PROVE_NUMBER = "prove_number", "Verify a mobile number"

    id = models.UUIDField(primary_key=True, default=uuid7)
    purpose = models.CharField(
        max_length=12, choices=Purpose, help_text="To sign in, or to verify a new mobile number."
    )
    mobile = models.CharField(max_length=200, default="")  # encrypted; empty after the owner is erased
    mobile_hash = models.CharField(max_length=64)
    # The user whom the code signs in; null for an unknown number, to which no message is sent.
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="otp_challenges")
    wrong = models.PositiveSmallIntegerField(default=0, verbose_name="wrong attempts")
    key_id = models.CharField(max_length=16)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = SingleUseQuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="otp_challenge_three_tries", condition=Q(wrong__lte=3))
        ]
        indexes: ClassVar = [
            models.Index(fields=["mobile_hash", "created_at"], name="otp_challenge_number"),
            models.Index(fields=["created_at"], name="otp_challenge_day"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.pk}"

    @property
    def is_live(self) -> bool:
        """Whether the code may still be used."""
        return self.used_at is None and self.voided_at is None and self.expires_at > clock.now()

    @property
    def is_sent(self) -> bool:
        """Whether a message is sent: always to verify a number, to sign in only to a known user's number."""
        return self.purpose == self.Purpose.PROVE_NUMBER or self.user_id is not None

    @property
    def number(self) -> str:
        """The decrypted mobile number."""
        return decrypt(self.mobile, context=f"account.otp_challenge.mobile:{self.pk}") if self.mobile else ""

    @number.setter
    def number(self, value: str) -> None:
        self.mobile = encrypt(value, context=f"account.otp_challenge.mobile:{self.pk}")
