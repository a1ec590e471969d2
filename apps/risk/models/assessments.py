"""Assessments, the newest word about each subject, and overrides."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Self
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from apps.availability.models import Availability
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from apps.risk.models.base import Appended, Side, StaffModel, StaffQuerySet, Verdict, money, person
from apps.risk.models.policies import RiskPolicy
from erp import clock
from erp.models import Guarded


class Subject(models.TextChoices):
    """What is assessed."""

    REQUIREMENT = "REQUIREMENT"
    AVAILABILITY = "AVAILABILITY"
    PARTNER = "PARTNER"
    TRADE = "TRADE"


_SUBJECT_IDS = (
    Q(subject_type="REQUIREMENT", requirement__isnull=False, availability=None, partner=None, side="BUYER")
    | Q(subject_type="AVAILABILITY", availability__isnull=False, requirement=None, partner=None, side="SELLER")
    | Q(subject_type="PARTNER", partner__isnull=False, requirement=None, availability=None, side__isnull=False)
)  # fmt: skip


class RiskAssessmentQuerySet(StaffQuerySet):
    def current(self) -> Self:
        """The newest assessment of each subject, while it is valid."""
        newer = RiskAssessment.objects.filter(subject_key=OuterRef("subject_key"), id__gt=OuterRef("id"))
        return self.filter(~Exists(newer), valid_until__gt=clock.now())

    def newest(self, subject_key: str) -> "RiskAssessment | None":
        """The newest assessment of a subject."""
        found: RiskAssessment | None = self.filter(subject_key=subject_key).order_by("-id").first()
        return found

    def queue(self) -> Self:
        """Current assessments that a person must look at, the oldest first."""
        return self.filter(status=Verdict.REVIEW).current().order_by("id")

    def of_owner(self, partner_id: UUID) -> Self:
        """Assessments in which the partner is the subject, the owner of the listing or a side of the trade."""
        paths = ("partner", "requirement__buyer_partner", "availability__seller_partner")
        keys = [RiskAssessment.objects.order_by().filter(**{path: partner_id}).values("pk") for path in paths]
        return self.filter(
            pk__in=keys[0].union(*keys[1:])
        )  # each by an index; one condition would read all rows

    def with_gate(self, code: str) -> Self:
        """Assessments in which the gate fired."""
        return self.filter(gates__contains=[{"code": code}])

    def with_rows(self) -> Self:
        """With what the answer about a row names."""
        return self.select_related("policy")


class RiskAssessment(Appended):
    """What gates and score say about a subject at a moment, and all figures they were computed from."""

    subject_type = models.CharField(max_length=12, choices=Subject)
    subject_key = models.CharField(max_length=100, help_text="Names the subject: the newest of a key counts.")
    requirement = models.ForeignKey(Requirement, models.PROTECT, null=True, related_name="+")
    availability = models.ForeignKey(Availability, models.PROTECT, null=True, related_name="+")
    partner = models.ForeignKey(Partner, models.PROTECT, null=True, related_name="+")
    match_id = models.UUIDField("match", null=True)
    trade_id = models.UUIDField("trade", null=True)
    reservation_id = models.UUIDField("reservation", null=True)
    side = models.CharField(max_length=6, choices=Side, null=True)
    requirement_version = models.PositiveIntegerField(null=True, help_text="Version of its terms.")
    availability_version = models.PositiveIntegerField(null=True, help_text="Version of its terms.")
    quantity = models.DecimalField(max_digits=18, decimal_places=3, null=True, help_text="Proposed quantity.")
    unit = models.CharField(max_length=16, null=True)  # noqa: DJ001 - no proposal, no unit
    price = models.DecimalField(max_digits=18, decimal_places=6, null=True, help_text="Proposed price.")
    pricing_unit = models.CharField(max_length=40, null=True)  # noqa: DJ001
    value = money(null=True, help_text="Credit that the deal needs, in the currency of the buyer's account.")
    currency = models.CharField(max_length=3, null=True)  # noqa: DJ001
    status = models.CharField(max_length=6, choices=Verdict)
    score = models.PositiveSmallIntegerField(null=True, help_text="0 to 100; it ranks, gates decide.")
    gates = models.JSONField(help_text="Gates that fired: code, side, outcome, evidence, override.")
    factors = models.JSONField(help_text="What the score lost: code, side, points.")
    inputs = models.JSONField(help_text="Every figure and row version that was read.")
    inputs_digest = models.CharField(max_length=64)
    policy = models.ForeignKey(RiskPolicy, models.PROTECT, related_name="+")
    engine_version = models.PositiveSmallIntegerField()
    provider_checks = ArrayField(models.UUIDField(), default=list)
    advice = models.JSONField(null=True, help_text="What a plugged-in model predicts; without any effect.")
    valid_until = models.DateTimeField()
    requested_by = person()
    cause_event_id = models.UUIDField(null=True)

    objects: ClassVar[Any] = RiskAssessmentQuerySet.as_manager()

    class Meta(Appended.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="risk_assessment_names_subject",
                condition=_SUBJECT_IDS
                | Q(
                    subject_type="TRADE", requirement__isnull=False, availability__isnull=False, partner=None,
                    side=None,
                ),
            ),
            models.CheckConstraint(
                name="risk_assessment_score_range", condition=Q(score=None) | Q(score__range=(0, 100))
            ),
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(fields=["subject_key", "-id"], name="risk_assessment_newest"),
            models.Index(fields=["-created_at", "-id"], name="risk_assessment_created"),
            models.Index(fields=["valid_until"], condition=Q(status="REVIEW"), name="risk_assessment_queue"),
            models.Index(fields=["match_id"], name="risk_assessment_match"),
            models.Index(fields=["trade_id"], name="risk_assessment_trade"),
            GinIndex(fields=["gates"], name="risk_assessment_gates", opclasses=["jsonb_path_ops"]),
        ]

    def __str__(self) -> str:
        return f"{self.get_subject_type_display()}: {self.get_status_display()}"

    @property
    def gate_codes(self) -> list[str]:
        """Codes of the gates that fired and that no override covers, in order, each once."""
        return list(dict.fromkeys(gate["code"] for gate in self.gates if not gate["override_id"]))

    @property
    def is_blocking(self) -> bool:
        """Whether stock and money must not move."""
        return self.status in (Verdict.FAIL, Verdict.REVIEW)


class RiskStatusQuerySet(StaffQuerySet):
    def of_owner(self, partner_id: UUID) -> Self:
        """Words about the partner and its listings."""
        return self.filter(owner=partner_id)

    def of_live_listings(self) -> Self:
        """Words about listings that can still be traded, and about partners."""
        return self.filter(
            Q(requirement__status__in=Requirement.OPEN)
            | Q(availability__status__in=Availability.LIVE)
            | Q(subject_type=Subject.PARTNER, partner__status__in=["active", "suspended"])
        )

    def due(self, now: datetime) -> Self:
        """Words that must be renewed: something changed, or they lapse soon."""
        return self.of_live_listings().filter(Q(stale=True) | Q(renew_at__lte=now))


class RiskStatus(Guarded):
    """The newest word about a listing or a partner; matching joins it."""

    trail_exempt = "the newest assessment, which is in the trail"
    machinery = True

    id = models.BigAutoField(primary_key=True)
    subject_type = models.CharField(max_length=12, choices=Subject)
    requirement = models.ForeignKey(Requirement, models.CASCADE, null=True, related_name="risk")
    availability = models.ForeignKey(Availability, models.CASCADE, null=True, related_name="risk")
    partner = models.ForeignKey(Partner, models.CASCADE, null=True, related_name="risk")
    owner = models.ForeignKey(Partner, models.CASCADE, related_name="+")
    side = models.CharField(max_length=6, choices=Side)
    assessment = models.ForeignKey(RiskAssessment, models.PROTECT, related_name="+")
    status = models.CharField(max_length=6, choices=Verdict)
    score = models.PositiveSmallIntegerField(null=True)
    valid_until = models.DateTimeField()
    renew_at = models.DateTimeField(help_text="When it is assessed anew, before it lapses.")
    stale = models.BooleanField(default=False, help_text="Something that was read has changed.")

    objects: ClassVar[Any] = RiskStatusQuerySet.as_manager()

    class Meta(Guarded.Meta):
        verbose_name_plural = "risk statuses"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subject_type", "requirement", "availability", "partner", "side"],
                nulls_distinct=False, name="risk_status_once",
            ),
            models.CheckConstraint(name="risk_status_names_subject", condition=_SUBJECT_IDS),
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(fields=["owner"], name="risk_status_owner"),
            models.Index(fields=["id"], condition=Q(stale=True), name="risk_status_stale"),
            models.Index(fields=["renew_at"], name="risk_status_renew"),
        ]

    def __str__(self) -> str:
        return f"{self.get_subject_type_display()}: {self.get_status_display()}"


class RiskOverrideQuerySet(StaffQuerySet):
    def effective(self, now: datetime) -> Self:
        """Overrides that cover their codes now, by the database's clock."""
        return self.filter(status=RiskOverride.Status.GRANTED, starts_at__lte=now, expires_at__gt=now)

    def ended(self, now: datetime) -> Self:
        """Granted overrides whose time is over."""
        return self.filter(status=RiskOverride.Status.GRANTED, expires_at__lte=now)

    def of(self, partner_id: UUID) -> Self:
        """Overrides that hold for the partner."""
        return self.filter(Q(partner_low=partner_id) | Q(partner_high=partner_id))


class RiskOverride(StaffModel):
    """Gates that two people take out of the verdict, for a subject or a pair, a time and an amount."""

    class Status(models.TextChoices):
        PENDING = "PENDING"
        GRANTED = "GRANTED"
        REFUSED = "REFUSED"
        STALE = "STALE"
        EXPIRED = "EXPIRED"
        USED_UP = "USED_UP", "Used up"
        REVOKED = "REVOKED"

    class ReasonCode(models.TextChoices):
        SECURED = "SECURED", "Secured otherwise"
        KNOWN_PARTY = "KNOWN_PARTY", "Party known for years"
        DATA_ERROR = "DATA_ERROR", "Data is wrong"
        PROVIDER_DOWN = "PROVIDER_DOWN", "Provider doesn't answer"
        COMMERCIAL = "COMMERCIAL", "Commercial decision"
        OTHER = "OTHER"

    assessment = models.ForeignKey(RiskAssessment, models.PROTECT, related_name="+")
    codes = ArrayField(models.CharField(max_length=32), size=10, help_text="Gates that it covers.")
    partner_low = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="partner")
    partner_high = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="other partner")
    requirement = models.ForeignKey(Requirement, models.PROTECT, null=True, related_name="+")
    availability = models.ForeignKey(Availability, models.PROTECT, null=True, related_name="+")
    max_value = money(null=True, help_text="Most that trades may be worth together. Required for a trade.")
    used_value = money(default=0, help_text="Value of the trades that used it.")
    currency = models.CharField(max_length=3, null=True)  # noqa: DJ001 - no cap, no currency
    starts_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="Last moment, at most 30 days ahead.")
    reason_code = models.CharField(max_length=16, choices=ReasonCode)
    reason = models.CharField(max_length=2000, help_text="Why, 20 to 2,000 characters.")
    uploads = ArrayField(models.UUIDField(), default=list, size=10, help_text="Uploaded evidence.")
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    requested_by = person("Who requested it.")
    decided_by = person("Who granted it.")
    approval_id = models.UUIDField(null=True, editable=False)

    objects: ClassVar[Any] = RiskOverrideQuerySet.as_manager()

    class Meta(StaffModel.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="risk_override_in_order", condition=Q(partner_low__lte=F("partner_high"))),
            models.CheckConstraint(
                name="risk_override_30_days",
                condition=Q(expires_at__lte=F("starts_at") + timedelta(days=30)),
            ),
            models.CheckConstraint(
                name="risk_override_within_cap",
                condition=Q(max_value=None) | Q(used_value__gte=0, used_value__lte=F("max_value")),
            ),
            models.CheckConstraint(
                name="risk_override_two_people",
                condition=Q(decided_by=None) | Q(requested_by=None) | ~Q(requested_by=F("decided_by")),
            ),
            models.UniqueConstraint(
                fields=["partner_low", "partner_high", "requirement", "availability"],
                condition=Q(status="PENDING"), nulls_distinct=False, name="risk_override_one_pending",
            ),
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(fields=["partner_high"], name="risk_override_high"),
            models.Index(fields=["expires_at"], condition=Q(status="GRANTED"), name="risk_override_ends"),
        ]

    def __str__(self) -> str:
        return f"{', '.join(self.codes)} until {clock.local(self.expires_at)}"

    @property
    def gates(self) -> list[list[str | None]]:
        """Code and side of the gates that it covers: those that fired when it was requested."""
        fired = self.assessment.gates
        return [[gate["code"], gate["side"]] for gate in fired if gate["code"] in self.codes]

    @property
    def is_effective(self) -> bool:
        """Whether it covers its codes now, whether or not a sweep ran."""
        return self.status == self.Status.GRANTED and self.starts_at <= clock.now() < self.expires_at

    @property
    def status_now(self) -> str:
        """The status by the clock."""
        over = self.status == self.Status.GRANTED and self.expires_at <= clock.now()
        return str(self.Status.EXPIRED) if over else str(self.status)

    def has_room(self, worth: Decimal | None, currency: str) -> bool:
        """Whether a trade of that worth still fits under the cap; without a cap no trade does."""
        if self.max_value is None or worth is None or self.currency != currency:
            return False
        return bool(self.used_value + worth <= self.max_value)

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"revoke"}) if self.is_effective else frozenset()
