"""Amendments: changes of an approved partner, decided by their tier."""

import json
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.partners.models.partners import OfPartner, newest_first, optional_text, reason_text
from erp.encryption import Encrypted


class Amendment(OfPartner):
    """A request to change fields of a partner, or of what belongs to it, from a day on."""

    class Tier(models.TextChoices):
        LOW = "low"
        MEDIUM = "medium"
        HIGH = "high"

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        APPLIED = "applied"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        STALE = "stale"
        LAPSED = "lapsed"

    class RejectionCode(models.TextChoices):
        UNPROVEN = "unproven", "Not proven"
        NOT_ALLOWED = "not_allowed", "Not allowed"
        WRONG_VALUE = "wrong_value", "Wrong value"
        DUPLICATE = "duplicate"
        OTHER = "other"

    OPEN: ClassVar = (Status.PENDING, Status.APPROVED)

    tier = models.CharField(max_length=6, choices=Tier, help_text="Who may decide: low is applied at once.")
    status = models.CharField(max_length=9, choices=Status, default=Status.PENDING)
    reason = models.CharField(max_length=1000, help_text="Why, 10 to 1,000 characters.")
    effective_date = models.DateField(help_text="Day from which the change counts: today to 90 days ahead.")
    impact = models.JSONField(
        default=dict, help_text="Open exposure of the partner: sources and value by side."
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    reason_code = optional_text(11, choices=RejectionCode)
    decision_note = reason_text(1000)
    expires_at = models.DateTimeField(help_text="When a request that nobody decided lapses.")

    class Meta(OfPartner.Meta):
        indexes: ClassVar = [
            models.Index(fields=["effective_date"], condition=Q(status="approved"), name="amendment_due"),
            newest_first("amendment_newest"),
            newest_first("amendment_status_newest", "status"),
        ]

    def __str__(self) -> str:
        return f"Amendment of {self.partner} ({self.get_tier_display().lower()})"

    def open_verbs(self) -> frozenset[str]:
        if self.status == self.Status.PENDING:
            return frozenset({"approve", "reject", "withdraw"})
        return frozenset({"withdraw"} if self.status == self.Status.APPROVED else ())


class AmendmentChange(OfPartner):
    """One field's old and new value, both stored encrypted."""

    trail_personal = ("old_encrypted", "old_hash", "new_encrypted", "new_hash")

    class Target(models.TextChoices):
        PARTNER = "partner"
        LOCATION = "location"
        VEHICLE = "vehicle"
        BANK_ACCOUNT = "bank_account", "Bank account"
        EMPLOYEE = "employee"

    amendment = models.ForeignKey(Amendment, models.CASCADE, related_name="changes")
    target = models.CharField(max_length=12, choices=Target)
    target_id = models.UUIDField()
    field = models.CharField(max_length=30)
    old = Encrypted("partner.amendment.value", "old value")
    new = Encrypted("partner.amendment.value", "new value")
    is_open = models.BooleanField(default=True)

    class Meta(OfPartner.Meta):
        verbose_name = "change"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["target_id", "field"], condition=Q(is_open=True), name="amendment_one_open_change"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_target_display()}: {self.field}"

    @property
    def new_value(self) -> Any:
        """The value to set."""
        return json.loads(self.new or "null")

    @property
    def old_value(self) -> Any:
        """The value when it was requested."""
        return json.loads(self.old or "null")
