"""Prompts and budgets, effective by approval, and the record of calls."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Sum

from erp import access, clock
from erp.access import Actor
from erp.ai import capabilities
from erp.ids import uuid7
from erp.models import Guarded, Model, QuerySet


class AiQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Every row for those who see AI; none for anybody else."""
        return self if access.holds_everywhere(user, capabilities.VIEW) else self.none()

    def active(self) -> Self:
        """Rows that are effective."""
        return self.filter(status=Proposal.Status.ACTIVE)

    def spent(self, organization_id: UUID, now: datetime) -> Decimal:
        """What an organization's calls of this month cost (Indian calendar)."""
        local = now.astimezone(clock.KOLKATA)
        since = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        calls = self.filter(organization_id=organization_id, recorded_at__gte=since)
        return calls.aggregate(total=Sum("cost"))["total"] or Decimal(0)


class Proposal(Model):
    """Something that one person proposes and another makes effective."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", "Awaiting approval"
        ACTIVE = "ACTIVE"
        RETIRED = "RETIRED"

    status = models.CharField(max_length=7, choices=Status, default=Status.DRAFT)
    reason = models.CharField(max_length=1000, help_text="Why it is proposed.")
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False
    )

    objects: ClassVar[Any] = AiQuerySet.as_manager()

    class Meta(Model.Meta):
        abstract = True


class Prompt(Proposal):
    """What a remote model is told to do for a task. Its text never changes."""

    task = models.CharField(max_length=60, help_text="Name of the task, such as commodity.hsn.")
    number = models.PositiveIntegerField(editable=False)
    template = models.TextField(
        max_length=20_000, help_text="Instruction to the model. The question's data follows apart from it."
    )
    schema_hash = models.CharField(max_length=64, editable=False)

    class Meta(Proposal.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "number"], name="ai_prompt_number"),
            models.UniqueConstraint(
                fields=["task"], condition=Q(status="ACTIVE"), name="ai_prompt_active_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.number}"


class Budget(Proposal):
    """What an organization may spend on a remote model in a month. Without one, nothing is spent."""

    organization_id = models.UUIDField("organization", help_text="The organization that pays.")
    month_limit = models.DecimalField(
        max_digits=18, decimal_places=2, help_text="Most that calls of one calendar month may cost."
    )
    currency = models.CharField(max_length=3, help_text="ISO 4217 code, such as INR.")
    calls_per_user_hour = models.PositiveIntegerField(
        "calls per user and hour", default=100, help_text="Most questions of one user in an hour."
    )
    tasks = ArrayField(models.CharField(max_length=60), help_text="Tasks that a remote model may answer.")

    class Meta(Proposal.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization_id"], condition=Q(status="ACTIVE"), name="ai_budget_active_once"
            ),
            models.CheckConstraint(name="ai_budget_not_negative", condition=Q(month_limit__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.month_limit:,} {self.currency} a month"


class Call(Guarded):
    """One question to a remote model: what it cost and how it ended, never its text. Append-only by a trigger."""

    class Outcome(models.TextChoices):
        OK = "OK", "Answered"
        FALLBACK = "FALLBACK", "Built-in answer used"
        REFUSED = "REFUSED", "Not asked"

    call_id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    task = models.CharField(max_length=60)
    prompt = models.PositiveIntegerField("prompt number")
    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=100)
    organization_id = models.UUIDField("organization")
    user_id = models.UUIDField("user", null=True)
    input_hash = models.CharField(max_length=64)
    output_hash = models.CharField(max_length=64)
    tokens_in = models.PositiveIntegerField()
    tokens_out = models.PositiveIntegerField()
    cost = models.DecimalField(max_digits=18, decimal_places=6)
    currency = models.CharField(max_length=3)
    latency_ms = models.PositiveIntegerField("latency (ms)")
    outcome = models.CharField(max_length=8, choices=Outcome)
    reason = models.CharField(max_length=20)
    recorded_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = AiQuerySet.as_manager()

    class Meta(Guarded.Meta):
        indexes: ClassVar = [models.Index(fields=["organization_id", "recorded_at"], name="ai_call_month")]

    def __str__(self) -> str:
        return f"{self.task} {self.recorded_at:%d %b %Y %H:%M}"


def cost_of(tokens: Mapping[str, int]) -> Decimal:
    """What a call of so many tokens (``in`` and ``out``) costs, in ``AI_CURRENCY``, to six places."""
    prices = {"in": settings.AI_PRICE_IN, "out": settings.AI_PRICE_OUT}
    total = sum((prices[side] * number for side, number in tokens.items()), Decimal(0)) / 1_000_000
    return total.quantize(Decimal("0.000001"))
