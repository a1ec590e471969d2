"""Two-factor authentication: the authenticator (TOTP) and recovery codes."""

from datetime import datetime

from django.db import models

from apps.accounts.models.users import User
from erp import clock
from erp.encryption import decrypt, encrypt
from erp.models import Guarded


class TotpDevice(Guarded):
    """A user's authenticator. A pending secret replaces ``secret`` when its first code is confirmed."""

    trail_personal = ("secret", "pending_secret")
    trail_ignored = ("last_step",)

    user = models.OneToOneField(User, models.CASCADE, related_name="totp")
    secret = models.CharField(max_length=200, default="")  # encrypted
    confirmed_at = models.DateTimeField(null=True)
    last_step = models.BigIntegerField(default=0)  # of the newest accepted code: no code is accepted twice
    pending_secret = models.CharField(max_length=200, default="")  # encrypted
    pending_expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return str(self.user_id)

    @property
    def _context(self) -> str:
        return f"account.totp_device.secret:{self.user_id}"

    @property
    def seed(self) -> str:
        """The current secret in base32; empty if there is none."""
        return decrypt(self.secret, context=self._context) if self.secret else ""

    def pend(self, seed: str, until: datetime) -> None:
        """Store a new secret until its first code is confirmed."""
        self.pending_secret, self.pending_expires_at = encrypt(seed, context=self._context), until

    def pending_seed(self, now: datetime) -> str:
        """The pending secret in base32; empty if there is none or it has expired."""
        if not self.pending_secret or self.pending_expires_at is None or self.pending_expires_at <= now:
            return ""
        return decrypt(self.pending_secret, context=self._context)

    def confirm(self, step: int, now: datetime) -> None:
        """Replace the secret by the pending one; ``step`` is the time step of the confirmed code."""
        self.secret, self.pending_secret, self.pending_expires_at = self.pending_secret, "", None
        self.confirmed_at, self.last_step = now, step

    def forget(self) -> None:
        """Remove the current and the pending secret."""
        self.secret = self.pending_secret = ""
        self.confirmed_at = self.pending_expires_at = None


class RecoveryCode(Guarded):
    """The keyed hash of one of the user's ten recovery codes."""

    trail_personal = ("digest",)

    user = models.ForeignKey(User, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=100, unique=True)
    used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"{self.user_id}: {'used' if self.used_at else 'unused'}"
