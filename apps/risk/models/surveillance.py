"""What was traded, pairs that must not trade with each other, and alerts."""

from datetime import date, datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q

from apps.commodities.models.commodities import Commodity
from apps.partners.models import Partner
from apps.risk.models.base import StaffModel, StaffQuerySet, money, person
from erp import clock


def ordered(one: UUID, other: UUID) -> tuple[UUID, UUID]:
    """The two ids of a pair, the lower first."""
    return (one, other) if one < other else (other, one)


class PairBlockQuerySet(StaffQuerySet):
    def live(self, now: datetime | None = None) -> Self:
        """Blocks that hold now: not freed, and not over."""
        now = now or clock.now()
        return self.filter(Q(until_at=None) | Q(until_at__gt=now), freed_at=None, from_at__lte=now)

    def over(self, now: datetime) -> Self:
        """Blocks whose time is over and that nobody has closed yet."""
        return self.filter(freed_at=None, until_at__lte=now)

    def between(self, one: UUID, other: UUID) -> Self:
        """Blocks of a pair."""
        low, high = ordered(one, other)
        return self.filter(low=low, high=high)

    def of(self, partner_id: UUID) -> Self:
        """Blocks in which the partner is a side."""
        return self.filter(Q(low=partner_id) | Q(high=partner_id))


class PairBlock(StaffModel):
    """Two partners that must not trade with each other for now."""

    class Cause(models.TextChoices):
        WASH = "WASH", "Trades that reverse each other"
        CONDUCT = "CONDUCT"
        MANUAL = "MANUAL", "Decision of staff"

    low = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="partner")
    high = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="other partner")
    cause = models.CharField(max_length=7, choices=Cause)
    alert = models.ForeignKey("risk.SurveillanceAlert", models.PROTECT, null=True, related_name="+")
    reason = models.CharField(
        max_length=1000, default="", blank=True, help_text="Why, for a decision of staff."
    )
    from_at = models.DateTimeField(default=clock.now)
    until_at = models.DateTimeField(
        null=True, blank=True, help_text="When it ends. Empty: until it is freed."
    )
    freed_at = models.DateTimeField(null=True, editable=False)
    freed_by = person("Who freed the pair.")

    objects: ClassVar[Any] = PairBlockQuerySet.as_manager()

    class Meta(StaffModel.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="pair_block_in_order", condition=Q(low__lt=F("high"))),
            models.UniqueConstraint(
                fields=["low", "high", "cause"], condition=Q(freed_at=None), name="pair_block_one_live"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["high"], name="pair_block_high")]

    def __str__(self) -> str:
        return f"{self.low} and {self.high}"

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"free_pair"}) if self.freed_at is None else frozenset()


class TradeFactQuerySet(StaffQuerySet):
    def executed(self) -> Self:
        """Facts of approved trades."""
        return self.filter(stage=TradeFact.Stage.EXECUTED)

    def settled_since(self, day: date) -> Self:
        """Facts of trades that ended in performance, from a day on."""
        return self.filter(settled_date__gte=day)

    def of(self, *partners: UUID) -> Self:
        """Trades in which one of the partners is a side."""
        return self.filter(Q(buyer__in=partners) | Q(seller__in=partners))

    def in_order(self) -> Self:
        """By trade date, then execution: the order in which goods and money went round."""
        return self.order_by("trade_date", "executed_at", "trade_id")


class TradeFact(StaffModel):
    """What risk knows of a trade: who traded what at which price, and how it was performed."""

    class Stage(models.TextChoices):
        CREATED = "CREATED"
        EXECUTED = "EXECUTED"
        CANCELLED = "CANCELLED"

    trade_id = models.UUIDField("trade", unique=True)
    buyer = models.ForeignKey(Partner, models.PROTECT, related_name="+")
    seller = models.ForeignKey(Partner, models.PROTECT, related_name="+")
    commodity = models.ForeignKey(Commodity, models.PROTECT, related_name="+")
    bucket = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null buckets match only null
    quantity_kg = models.DecimalField(max_digits=18, decimal_places=3)
    price = models.DecimalField("price (INR/kg)", max_digits=20, decimal_places=8)
    trade_date = models.DateField()
    pr_ranges = ArrayField(
        models.CharField(max_length=120), default=list,
        help_text="Press-running numbers of the lots: mark, crop year, first and last number, between bars.",
    )  # fmt: skip
    stage = models.CharField(max_length=9, choices=Stage, default=Stage.CREATED)
    executed_at = models.DateTimeField(null=True)
    settled_date = models.DateField(null=True, help_text="When its performance became final.")
    due_amount = money(default=0, help_text="Amounts due.")
    paid_in_time_amount = money(default=0, help_text="Amounts paid by their due day.")
    due_kg = models.DecimalField(max_digits=18, decimal_places=3, default=0)
    in_window_kg = models.DecimalField(max_digits=18, decimal_places=3, default=0)
    lots = models.PositiveIntegerField(default=0)
    lots_passed = models.PositiveIntegerField(default=0)
    disputed = models.BooleanField(default=False)
    overdue_amount = money(default=0, help_text="What the buyer owes past its due day.")
    overdue_since_date = models.DateField(null=True, help_text="Due day of the oldest amount past due.")

    objects: ClassVar[Any] = TradeFactQuerySet.as_manager()

    class Meta(StaffModel.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="trade_fact_two_parties", condition=~Q(buyer=F("seller"))),
            models.CheckConstraint(
                name="trade_fact_parts_within",
                condition=Q(
                    paid_in_time_amount__gte=0, paid_in_time_amount__lte=F("due_amount"), in_window_kg__gte=0,
                    in_window_kg__lte=F("due_kg"), lots_passed__lte=F("lots"), overdue_amount__gte=0,
                ),
            ),
            models.CheckConstraint(
                name="trade_fact_positive", condition=Q(quantity_kg__gt=0, price__gt=0)
            ),
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(fields=["seller", "buyer", "trade_date"], name="trade_fact_pair"),
            models.Index(fields=["buyer", "trade_date"], name="trade_fact_buyer"),
            models.Index(fields=["commodity", "stage", "trade_date"], name="trade_fact_market"),
            GinIndex(fields=["pr_ranges"], name="trade_fact_pr"),
        ]

    def __str__(self) -> str:
        return f"Trade of {self.trade_date:%d %b %Y}"


class SurveillanceAlertQuerySet(StaffQuerySet):
    def open(self) -> Self:
        """Alerts that nobody has decided."""
        return self.filter(status__in=SurveillanceAlert.OPEN)

    def of(self, partner_id: UUID) -> Self:
        """Alerts about the partner."""
        return self.filter(partner_ids__contains=[partner_id])


class SurveillanceAlert(StaffModel):
    """Something in what was traded that a person should look at. An alert blocks nobody."""

    class Kind(models.TextChoices):
        REVERSAL = "REVERSAL", "Reversed trade"
        RING = "RING", "Ring of trades"
        PRICE_AWAY = "PRICE_AWAY", "Price away from the market"
        LAYERING = "LAYERING", "Listings cancelled at once"
        LINKED_TRADE = "LINKED_TRADE", "Trade of linked parties"
        LIMIT = "LIMIT", "Credit limit nearly used"

    class Severity(models.TextChoices):
        LOW = "LOW"
        MEDIUM = "MEDIUM"
        HIGH = "HIGH"

    class Status(models.TextChoices):
        OPEN = "OPEN"
        IN_REVIEW = "IN_REVIEW", "In review"
        CLEARED = "CLEARED"
        CONFIRMED = "CONFIRMED"

    OPEN: ClassVar = (Status.OPEN, Status.IN_REVIEW)

    kind = models.CharField(max_length=12, choices=Kind)
    severity = models.CharField(max_length=6, choices=Severity)
    partner_ids = ArrayField(models.UUIDField(), default=list, verbose_name="partners")
    trade_ids = ArrayField(models.UUIDField(), default=list, verbose_name="trades")
    commodity = models.ForeignKey(Commodity, models.PROTECT, null=True, related_name="+")
    evidence = models.JSONField(help_text="Figures that speak for the alert.")
    fingerprint = models.CharField(max_length=64, unique=True, editable=False)
    status = models.CharField(max_length=9, choices=Status, default=Status.OPEN)
    assignee = person("Who looks at it.")
    decided_by = person("Who decided it.")
    decided_at = models.DateTimeField(null=True, editable=False)
    note = models.CharField(max_length=2000, default="", blank=True, help_text="What was found.")

    objects: ClassVar[Any] = SurveillanceAlertQuerySet.as_manager()

    class Meta(StaffModel.Meta):
        indexes: ClassVar = [
            models.Index(fields=["status", "created_at"], name="surveillance_alert_open"),
            GinIndex(fields=["partner_ids"], name="surveillance_alert_partners"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.created_at:%d %b %Y}"

    def open_verbs(self) -> frozenset[str]:
        if self.status == self.Status.OPEN:
            return frozenset({"take_alert", "decide_alert"})
        return frozenset({"decide_alert"}) if self.status == self.Status.IN_REVIEW else frozenset()
