"""Onboarding and KYC renewal rounds of a partner, with their checks and questions."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.partners.models.partners import (
    OfPartner,
    OfPartnerQuerySet,
    Partner,
    newest_first,
    optional_text,
    reason_text,
)
from erp import clock
from erp.models import Guarded

# Within which a file should be decided, by its route. Five business days are a week.
TARGETS = {"auto": timedelta(hours=1), "manager": timedelta(hours=48), "director": timedelta(days=7)}


class RoundQuerySet(OfPartnerQuerySet):
    def open(self) -> Self:
        """Rounds that aren't decided."""
        return self.filter(status__in=OnboardingRound.OPEN)

    def on_route(self, route: str) -> Self:
        """Rounds that are decided on the route."""
        return self.filter(route=route)

    def assigned_to_person(self, user_id: UUID) -> Self:
        """Rounds that the person looks after."""
        return self.filter(assigned_to=user_id)

    def overdue(self, value: bool = True) -> Self:
        """Rounds that staff should have decided by now, by the target of their route; or the others."""
        now = clock.now()
        late = Q(pk__in=())
        for route, target in TARGETS.items():
            late |= Q(route=route, submitted_at__lt=now - target)
        late |= Q(route=None, submitted_at__lt=now - TARGETS["manager"])
        late &= Q(
            status__in=[OnboardingRound.Status.VERIFICATION_PENDING, OnboardingRound.Status.UNDER_REVIEW]
        )
        return self.filter(late) if value else self.exclude(late)


class OnboardingRound(OfPartner):
    """An onboarding or a renewal of KYC, from draft to decision."""

    trail_personal = ("reason", "note")

    class Kind(models.TextChoices):
        ONBOARDING = "onboarding"
        ANNUAL = "kyc_annual", "Annual KYC renewal"
        AD_HOC = "kyc_adhoc", "KYC renewal on request"

    class Status(models.TextChoices):
        DRAFT = "draft"
        VERIFICATION_PENDING = "verification_pending", "Verification pending"
        UNDER_REVIEW = "under_review", "Under review"
        INFO_REQUESTED = "info_requested", "Information requested"
        APPROVED = "approved"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        EXPIRED = "expired"

    class Route(models.TextChoices):
        AUTO = "auto", "Automatic"
        MANAGER = "manager"
        DIRECTOR = "director"

    class RejectionCode(models.TextChoices):
        INCOMPLETE = "incomplete"
        REGISTRATION_INVALID = "registration_invalid", "Registration invalid"
        NAME_MISMATCH = "name_mismatch", "Name mismatch"
        DOCUMENT_FORGED = "document_forged", "Document forged"
        SANCTIONS = "sanctions"
        RELATED_PARTY = "related_party", "Related party"
        CREDIT_HISTORY = "credit_history", "Credit history"
        NOT_SUITABLE = "not_suitable", "Not suitable"
        DUPLICATE = "duplicate"
        OTHER = "other"

    OPEN: ClassVar = (
        Status.DRAFT, Status.VERIFICATION_PENDING, Status.UNDER_REVIEW, Status.INFO_REQUESTED,
    )  # fmt: skip
    EDITABLE: ClassVar = (Status.DRAFT, Status.INFO_REQUESTED)
    # After these the firm can't apply again.
    FINAL: ClassVar = frozenset({RejectionCode.DOCUMENT_FORGED, RejectionCode.SANCTIONS})

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="rounds")
    number = models.PositiveSmallIntegerField(help_text="Counts the rounds of a partner.")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.ONBOARDING)
    status = models.CharField(max_length=20, choices=Status, default=Status.DRAFT)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Who of the staff looks after the file.",
    )  # fmt: skip
    submitted_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(
        null=True, help_text="When the round ends unless somebody goes on with it."
    )
    trust_score = models.PositiveSmallIntegerField(null=True, help_text="0 to 100, higher is safer.")
    risk_category = optional_text(8, choices=Partner.Category)
    route = optional_text(8, "Who may decide.", choices=Route)
    score_parts = models.JSONField(default=dict, help_text="Points of the score by factor.")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    reason_code = optional_text(20, choices=RejectionCode)
    reason = reason_text()
    note = optional_text(2000, "Note for the file, seen by staff only.")
    notice_version = optional_text(32, "Version of the privacy notice that was shown.")
    consent_purposes = models.JSONField(default=list, help_text="Purposes that the applicant consented to.")

    objects: ClassVar[Any] = RoundQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        verbose_name = "onboarding"
        verbose_name_plural = "onboardings"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["partner", "number"], name="round_number_once"),
            models.UniqueConstraint(
                fields=["partner"],
                condition=Q(status__in=["draft", "verification_pending", "under_review", "info_requested"]),
                name="round_one_open",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["status", "submitted_at"], name="round_queue"),
            newest_first("round_newest"),
            newest_first("round_status_newest", "status"),
        ]

    def __str__(self) -> str:
        return f"{self.partner}: {self.get_kind_display()} {self.number}"

    @property
    def is_open(self) -> bool:
        """Whether the round isn't decided."""
        return self.status in self.OPEN

    def open_verbs(self) -> frozenset[str]:
        """Verbs that the status allows."""
        edits = {"update", "submit", "add_document", "remove_part", "withdraw"}
        return frozenset(
            {
                self.Status.DRAFT: edits,
                self.Status.INFO_REQUESTED: {*edits - {"submit"}, "respond", "assign"},
                self.Status.UNDER_REVIEW: {"request_info", "withdraw", "add_document", "assign"},
                self.Status.VERIFICATION_PENDING: {"withdraw", "add_document", "assign"},
                self.Status.APPROVED: {"add_document"},
            }.get(self.Status(self.status), set())
        )


class RoundEditor(Guarded):
    """Somebody who wrote to a round's file, and so can't decide on it."""

    id = models.BigAutoField(primary_key=True)
    round = models.ForeignKey(OnboardingRound, models.CASCADE, related_name="editors")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")

    class Meta(Guarded.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["round", "user"], name="round_editor_once")]

    def __str__(self) -> str:
        return f"{self.round_id}: {self.user_id}"


class InformationItem(OfPartner):
    """A question of staff to the applicant."""

    trail_personal = ("text", "answer")

    round = models.ForeignKey(OnboardingRound, models.CASCADE, related_name="items")
    text = models.CharField(max_length=2000, help_text="What is asked for.")
    checklist_item = optional_text(30, "The item of the checklist that it is about.")
    due_at = models.DateTimeField(help_text="By when an answer is expected.")
    answer = optional_text(2000, "The applicant's answer.")
    answered_at = models.DateTimeField(null=True)

    class Meta(OfPartner.Meta):
        verbose_name = "question"
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return self.text[:60]


class CheckQuerySet(OfPartnerQuerySet):
    def due(self, now: datetime) -> Self:
        """Pending checks whose next attempt is due."""
        return self.filter(status=KycCheck.Status.PENDING, next_attempt_at__lte=now)


class KycCheck(OfPartner):
    """A question to a registry about one identifier of a partner."""

    trail_personal = ("settled_reason",)

    class Kind(models.TextChoices):
        GST = "gst", "GST registration"
        PAN = "pan", "PAN"
        BANK = "bank", "Bank account"
        GEOCODE = "geocode", "Address"

    class Status(models.TextChoices):
        PENDING = "pending"
        PASSED = "passed"
        FAILED = "failed"
        REVIEW = "review"
        WAIVED = "waived"

    MANDATORY: ClassVar = frozenset({Kind.GST, Kind.PAN})

    round = models.ForeignKey(OnboardingRound, models.PROTECT, null=True, related_name="checks")
    kind = models.CharField(max_length=7, choices=Kind)
    subject_id = models.UUIDField(help_text="Registration, partner, account or location that is checked.")
    status = models.CharField(max_length=7, choices=Status, default=Status.PENDING)
    mandatory = models.BooleanField(default=False, help_text="Whether an approval needs it passed or waived.")
    input_hash = models.CharField(max_length=64, editable=False)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    provider = optional_text(40, "The registry that answered.")
    name_score = models.DecimalField(
        max_digits=4, decimal_places=3, null=True, help_text="How alike the names are, 0 to 1."
    )
    result = models.JSONField(default=dict, help_text="What rules use of the answer.")
    error_code = optional_text(40, "Why there is no answer yet.")
    answered_at = models.DateTimeField(null=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False,
        help_text="Who entered what is checked, outside of a file.",
    )  # fmt: skip
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    settled_reason = reason_text()
    waiver_approval_id = models.UUIDField(
        null=True, editable=False, help_text="The request by which two people waived it."
    )

    objects: ClassVar[Any] = CheckQuerySet.as_manager()

    class Meta(OfPartner.Meta):
        verbose_name = "check"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["round", "kind", "subject_id"], nulls_distinct=False, name="check_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="check_due")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.get_status_display()}"

    def open_verbs(self) -> frozenset[str]:
        """A check that waits or needs a look is settled by hand; all but passed ones are waived by two people."""
        if self.status in (self.Status.PASSED, self.Status.WAIVED):
            return frozenset()
        return frozenset({"waive_check", *(["settle_check"] if self.status != self.Status.FAILED else [])})


class KycNotice(Guarded):
    """A step of the KYC calendar that was taken: a reminder, the expiry, the lapse."""

    trail_exempt = "bookkeeping of reminders, which are events"
    machinery = True

    id = models.BigAutoField(primary_key=True)
    partner = models.ForeignKey(Partner, models.CASCADE, related_name="+")
    subject_type = models.CharField(max_length=12)
    subject_id = models.UUIDField()
    expiry_date = models.DateField()
    threshold = models.SmallIntegerField(
        help_text="Days before the expiry; -1 expired, -2 lapsed; 0 the month's score."
    )

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["partner", "subject_type", "subject_id", "expiry_date", "threshold"],
                name="kyc_notice_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject_type} {self.expiry_date}: {self.threshold}"
