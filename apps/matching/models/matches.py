"""Matches of a requirement and an offer, and the runs that found them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from apps.availability.models import Availability, quantity_field
from apps.availability.models.base import Opaque, text
from apps.commodities.models.commodities import Commodity
from apps.matching.models.rules import RuleSet
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from erp import clock
from erp.access import Actor, holds_everywhere
from erp.models import Guarded, Model, QuerySet

PURGED_AFTER: Final = timedelta(days=400)
# Each returns a subquery of ids of matches that a module above works on: such a match doesn't end by itself.
protecting: list[Callable[[], Any]] = []


class Side(models.TextChoices):
    """A side of a match."""

    BUYER = "BUYER"
    SELLER = "SELLER"


def per_kg(**kwargs: Any) -> Any:
    """A price in INR per kilogram: numeric(20,8)."""
    return models.DecimalField(max_digits=20, decimal_places=8, **kwargs)


class MatchRunQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every run; a partner those of its own listings."""
        if user.is_system or user.is_superuser or holds_everywhere(user, "matching.view"):
            return self
        buyer, seller = (
            Q(requirement__buyer_partner_id=user.partner_id),
            Q(availability__seller_partner_id=user.partner_id),
        )
        return self.none() if user.partner_id is None else self.filter(buyer | seller)

    def to_purge(self, now: datetime) -> Self:
        """Runs long over, whose matches, parts and allocations are gone."""
        rows = self.exclude(status__in=MatchRun.OPEN).filter(updated_at__lt=now - PURGED_AFTER)
        return rows.filter(matches=None, parts=None, allocations=None)


class MatchRun(Model):
    """One search for matches: its subject, how many pairs there were and what became of them."""

    class Kind(models.TextChoices):
        ASKED = "ASKED", "Requested"
        TRIGGERED = "TRIGGERED", "After a change"
        SWEEP = "SWEEP"
        BATCH = "BATCH"

    class Status(models.TextChoices):
        QUEUED = "QUEUED"
        RUNNING = "RUNNING"
        COMPLETED = "COMPLETED"
        FAILED = "FAILED"
        CANCELLED = "CANCELLED"

    OPEN: ClassVar = (Status.QUEUED, Status.RUNNING)

    kind = models.CharField(max_length=9, choices=Kind)
    requirement = models.ForeignKey(Requirement, models.PROTECT, null=True, related_name="match_runs")
    availability = models.ForeignKey(Availability, models.PROTECT, null=True, related_name="match_runs")
    commodity = models.ForeignKey(Commodity, models.PROTECT, null=True, related_name="+")
    states = ArrayField(models.CharField(max_length=3), default=list, size=40)
    mode = text(5, "Whether a batch takes all listings or those not yet matched by the active rules.")
    allocate = models.BooleanField(default=False)
    by_staff = models.BooleanField(default=False, help_text="Whether staff asked for it.")
    batch = models.ForeignKey("self", models.PROTECT, null=True, related_name="parts")
    cause_event_id = models.UUIDField(null=True)
    rule_set = models.ForeignKey(RuleSet, models.PROTECT, null=True, related_name="+")
    engine_version = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=9, choices=Status, default=Status.COMPLETED)
    pool = models.PositiveIntegerField(default=0, help_text="Live pairs of suitable goods.")
    rejected = models.JSONField(default=dict, help_text="How many failed each filter first.")
    few = ArrayField(
        models.CharField(max_length=10),
        default=list,
        help_text="Filters that pairs of fewer than 3 partners failed.",
    )
    dropped = models.JSONField(default=dict, help_text="How many were left out after scoring, and why.")
    kept = models.PositiveIntegerField(default=0)
    found = models.PositiveIntegerField(default=0, help_text="New matches.")
    superseded = models.PositiveIntegerField(default=0, help_text="Matches that ended with this run.")
    problem = text(100, "Code of what made it fail.")
    duration_ms = models.PositiveIntegerField(default=0)
    job_id = models.UUIDField(null=True)

    objects: ClassVar[Any] = MatchRunQuerySet.as_manager()

    class Meta(Model.Meta):
        verbose_name = "run"
        constraints: ClassVar = [
            models.CheckConstraint(
                name="match_run_one_subject",
                condition=Q(requirement__isnull=False, availability=None, commodity=None)
                | Q(requirement=None, availability__isnull=False, commodity=None)
                | Q(requirement=None, availability=None, commodity__isnull=False),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["requirement", "-created_at"], name="match_run_requirement"),
            models.Index(fields=["availability", "-created_at"], name="match_run_availability"),
            models.Index(
                fields=["commodity"], name="match_run_open", condition=Q(status__in=["QUEUED", "RUNNING"])
            ),
            models.Index(fields=["created_at"], name="match_run_age"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} run of {self.listing or self.commodity}"

    @property
    def listing(self) -> Any:
        """The requirement or offer that was matched; None of a batch."""
        return self.requirement or self.availability


class MatchQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every match; a partner those in which it is a side."""
        if user.is_system or user.is_superuser or holds_everywhere(user, "matching.view"):
            return self
        if user.partner_id is None:
            return self.granted(user, "matching.view")
        sides = Q(buyer_partner_id=user.partner_id) | Q(seller_partner_id=user.partner_id)
        return self.filter(sides) | self.granted(user, "matching.view")

    def live(self) -> Self:
        """Matches that are open or approved."""
        return self.filter(status__in=Match.LIVE)

    def proposed(self) -> Self:
        """Matches that wait for a decision."""
        return self.filter(status=Match.Status.PROPOSED)

    def unprotected(self) -> Self:
        """Without those on which a module above works, such as an open negotiation."""
        rows = self
        for ids in protecting:
            rows = rows.exclude(pk__in=ids())
        return rows

    def due(self, now: datetime) -> Self:
        """Proposed matches past their time."""
        return self.proposed().filter(expires_at__lte=now).unprotected()

    def to_purge(self, now: datetime) -> Self:
        """Matches that ended long ago and that no row of another module, nor an allocation, refers to."""
        rows = self.exclude(status__in=(*Match.LIVE, Match.Status.CONVERTED))
        rows = rows.filter(updated_at__lt=now - PURGED_AFTER, allocation=None)
        for relation in Match._meta.related_objects:
            if relation.related_model not in (MatchNotice, Match):
                referring = relation.related_model._default_manager.filter(
                    **{relation.field.name: OuterRef("pk")}
                )
                rows = rows.filter(~Exists(referring))
        return rows

    def with_row(self) -> Self:
        """With what the answer about a row names."""
        return self.select_related(
            "requirement", "availability", "availability__commodity", "buyer_partner", "seller_partner",
            "rule_set",
        )  # fmt: skip


class Match(Opaque):
    """A requirement and an offer that suit each other. Its inputs and scores never change; a trigger sees to it."""

    class Status(models.TextChoices):
        PROPOSED = "PROPOSED"
        APPROVED = "APPROVED"
        REJECTED = "REJECTED"
        SUPERSEDED = "SUPERSEDED"
        EXPIRED = "EXPIRED"
        CONVERTED = "CONVERTED"

    class Label(models.TextChoices):
        EXCELLENT = "EXCELLENT"
        GOOD = "GOOD"
        ACCEPTABLE = "ACCEPTABLE"
        BELOW = "BELOW", "Below acceptable"

    class Risk(models.TextChoices):
        PASS = "PASS"  # noqa: S105 - a result
        WARN = "WARN"

    class Decision(models.TextChoices):
        APPROVED = "APPROVED"
        REJECTED = "REJECTED"

    class Reason(models.TextChoices):
        PRICE = "PRICE"
        QUALITY = "QUALITY"
        QUANTITY = "QUANTITY"
        PLACE = "PLACE"
        TERMS = "TERMS"
        TIMING = "TIMING"
        COUNTERPARTY = "COUNTERPARTY"
        NOT_INTERESTED = "NOT_INTERESTED", "Not interested"
        OTHER = "OTHER"

    trail_personal = ("buyer_note", "seller_note")

    LIVE: ClassVar = (Status.PROPOSED, Status.APPROVED)

    requirement = models.ForeignKey(Requirement, models.PROTECT, related_name="matches")
    availability = models.ForeignKey(Availability, models.PROTECT, related_name="matches")
    buyer_partner = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="buyer")
    seller_partner = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="seller")
    requirement_terms_version = models.PositiveIntegerField()
    availability_terms_version = models.PositiveIntegerField()
    rule_set = models.ForeignKey(
        RuleSet, models.PROTECT, null=True, related_name="+", help_text="Empty: the built-in default rules."
    )
    engine_version = models.PositiveSmallIntegerField()
    assessment_ids = ArrayField(models.UUIDField(), default=list)
    risk_status = models.CharField(max_length=4, choices=Risk)
    quoted = per_kg(null=True, help_text="The asked price in INR per kg, without GST.")
    equalised = per_kg(null=True, help_text="The price at the base quality.")
    freight = per_kg(null=True, help_text="Estimated freight in INR per kg.")
    tax = per_kg(null=True, help_text="GST where it counts as cost.")
    landed = per_kg(null=True, help_text="What the goods cost at the destination, at base quality.")
    distance_m = models.PositiveIntegerField("distance (m)", null=True)
    unit = models.CharField(max_length=16, help_text="Unit of the quantities, that of the offer.")
    counted = models.BooleanField(help_text="Whether the unit counts packages.")
    proposed_quantity = quantity_field()
    proposed_kg = quantity_field(verbose_name="proposed (kg)")
    need_quantity = quantity_field(help_text="The least that makes sense for both sides.")
    need_kg = quantity_field()
    allocated_quantity = quantity_field(null=True, help_text="Share of contested stock.")
    allocated_kg = quantity_field(null=True)
    allocation = models.ForeignKey(
        "matching.Allocation", models.PROTECT, null=True, related_name="matches", editable=False
    )
    score = models.DecimalField(max_digits=7, decimal_places=6)
    label = models.CharField(max_length=10, choices=Label)
    breakdown = models.JSONField()
    inputs_digest = models.CharField(max_length=64, editable=False)
    bucket = models.CharField(max_length=64, editable=False, help_text="Digest of what duplicates share.")
    status = models.CharField(max_length=10, choices=Status, default=Status.PROPOSED)
    expires_at = models.DateTimeField()
    run = models.ForeignKey(MatchRun, models.PROTECT, related_name="matches")
    buyer_decision = models.CharField(max_length=8, choices=Decision, null=True)
    buyer_decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    buyer_decided_at = models.DateTimeField(null=True)
    buyer_quantity = quantity_field(null=True, help_text="What the buyer takes, in the match's unit.")
    buyer_reason = models.CharField(  # noqa: DJ001 - none, no reason
        max_length=14, choices=Reason, null=True, help_text="Why the buyer rejects."
    )
    buyer_note = text(500, "Remark of the buyer's side.")
    seller_decision = models.CharField(max_length=8, choices=Decision, null=True)
    seller_decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    seller_decided_at = models.DateTimeField(null=True)
    seller_reason = models.CharField(  # noqa: DJ001 - none, no reason
        max_length=14, choices=Reason, null=True, help_text="Why the seller rejects."
    )
    seller_note = text(500, "Remark of the seller's side.")
    reservation_id = models.UUIDField("reservation", null=True)
    trade_id = models.UUIDField("trade", null=True)
    superseded_by = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")

    objects: ClassVar[Any] = MatchQuerySet.as_manager()

    class Meta(Opaque.Meta):
        verbose_name_plural = "matches"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["requirement", "availability"], condition=Q(status__in=["PROPOSED", "APPROVED"]),
                name="match_one_live",
            ),
            models.CheckConstraint(
                name="match_two_sides", condition=~Q(buyer_partner=F("seller_partner"))
            ),
            models.CheckConstraint(
                name="match_price_whole",
                condition=Q(quoted=None, equalised=None, freight=None, tax=None, landed=None)
                | Q(quoted__gte=0, equalised__isnull=False, freight__gte=0, tax__isnull=False, landed__gte=0),
            ),
            models.CheckConstraint(
                name="match_quantity_positive",
                condition=Q(proposed_quantity__gt=0, proposed_kg__gt=0, need_quantity__gt=0),
            ),
            models.CheckConstraint(
                name="match_allocated_within_proposed",
                condition=Q(allocated_quantity=None, allocated_kg=None)
                | Q(
                    allocated_quantity__gte=0, allocated_quantity__lte=F("proposed_quantity"),
                    allocated_kg__gte=0, allocated_kg__lte=F("proposed_kg"), allocation__isnull=False,
                ),
            ),
            models.CheckConstraint(name="match_score_range", condition=Q(score__range=(0, 1))),
            models.CheckConstraint(
                name="match_approved_has_reservation",
                condition=~Q(status="APPROVED") | Q(reservation_id__isnull=False),
            ),
            models.CheckConstraint(
                name="match_converted_has_trade", condition=~Q(status="CONVERTED") | Q(trade_id__isnull=False)
            ),
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(fields=["requirement", "status"], name="match_of_requirement"),
            models.Index(fields=["availability", "status"], name="match_of_availability"),
            models.Index(fields=["buyer_partner", "-created_at"], name="match_of_buyer"),
            models.Index(fields=["seller_partner", "-created_at"], name="match_of_seller"),
            models.Index(fields=["-created_at", "id"], name="match_newest"),
            models.Index(fields=["expires_at"], name="match_due", condition=Q(status="PROPOSED")),
        ]

    def __str__(self) -> str:
        return f"Match {str(self.pk)[:8]}"

    @classmethod
    def owned_by(cls, actor: Actor) -> Q:
        """Matches in which the actor's partner is a side."""
        if actor.partner_id is None:
            return Q(pk__in=())
        return Q(buyer_partner_id=actor.partner_id) | Q(seller_partner_id=actor.partner_id)

    def belongs_to(self, user: Actor) -> bool:
        """Whether the user's partner is a side."""
        return user.partner_id is not None and user.partner_id in (
            self.buyer_partner_id,
            self.seller_partner_id,
        )

    @property
    def is_live(self) -> bool:
        """Whether it is open or approved."""
        return self.status in self.LIVE

    @property
    def count_unit(self) -> str | None:
        """The unit of the packages, where packages are counted."""
        return self.unit if self.counted else None

    @property
    def proposed_count(self) -> int | None:
        """Proposed packages."""
        return int(self.proposed_quantity) if self.counted else None

    @property
    def need_count(self) -> int | None:
        """The least number of packages."""
        return int(self.need_quantity) if self.counted else None

    @property
    def allocated_count(self) -> int | None:
        """Allocated packages."""
        return int(self.allocated_quantity) if self.counted and self.allocated_quantity is not None else None

    def side_of(self, user: Actor) -> Side | None:
        """The side of the user's partner."""
        if user.partner_id is None:
            return None
        sides = {self.buyer_partner_id: Side.BUYER, self.seller_partner_id: Side.SELLER}
        return sides.get(user.partner_id)

    def decision_of(self, side: str) -> str | None:
        """What a side has decided."""
        decision: str | None = getattr(self, f"{side.lower()}_decision")
        return decision

    def open_verbs(self) -> frozenset[str]:
        if self.status == self.Status.PROPOSED:
            return frozenset({"approve", "reject"})
        return frozenset({"reject"} if self.status == self.Status.APPROVED else ())


class MatchNotice(Guarded):
    """That a user is to be notified of a match."""

    machinery = True
    trail_exempt = "says whether a message was sent; the message itself is in the trail"
    owner_user = "user_id"

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    match = models.ForeignKey(Match, models.CASCADE, related_name="notices")
    due_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "match"], name="match_notice_once")]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], name="match_notice_due", condition=Q(told_at=None)),
            models.Index(fields=["user", "told_at"], name="match_notice_user"),
        ]

    def __str__(self) -> str:
        return str(self.match_id)
