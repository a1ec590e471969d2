"""Policies: the figures by which gates and score are computed."""

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from apps.commodities.models.commodities import Commodity
from apps.risk.models.base import StaffModel, StaffQuerySet, person
from apps.risk.policy import PolicyBody


class RiskPolicyQuerySet(StaffQuerySet):
    def in_scope(self, commodity: Commodity | None) -> Self:
        """Policies of a commodity, or of the default scope."""
        return self.filter(commodity=commodity)

    def active(self) -> Self:
        """Policies that count now."""
        return self.filter(status=RiskPolicy.Status.ACTIVE)


class RiskPolicy(StaffModel):
    """A policy of a commodity, or the default one; each change is a new version that two people decide."""

    class Status(models.TextChoices):
        PROPOSED = "PROPOSED"
        ACTIVE = "ACTIVE"
        RETIRED = "RETIRED"
        REFUSED = "REFUSED"
        STALE = "STALE"

    commodity = models.ForeignKey(
        Commodity, models.PROTECT, null=True, blank=True, related_name="+",
        help_text="Commodity that the policy is for. Empty: the default for commodities without one.",
    )  # fmt: skip
    policy_version = models.PositiveIntegerField(editable=False, help_text="Number within the scope.")
    status = models.CharField(max_length=8, choices=Status, default=Status.PROPOSED, editable=False)
    body = models.JSONField(help_text="Thresholds, points and windows. What is left out takes its default.")
    base_version = models.PositiveIntegerField(
        null=True, editable=False, help_text="Version of the policy that it replaces."
    )
    reason = models.CharField(max_length=500, help_text="Why, 10 to 500 characters.")
    proposed_by = person("Who proposed it.")
    approval_id = models.UUIDField(null=True, editable=False)
    activated_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = RiskPolicyQuerySet.as_manager()

    class Meta(StaffModel.Meta):
        verbose_name_plural = "risk policies"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["commodity", "policy_version"], nulls_distinct=False, name="risk_policy_version_once"
            ),
            models.UniqueConstraint(
                fields=["commodity"], condition=Q(status="ACTIVE"), nulls_distinct=False,
                name="risk_policy_one_active",
            ),
            models.UniqueConstraint(
                fields=["commodity"], condition=Q(status="PROPOSED"), nulls_distinct=False,
                name="risk_policy_one_proposed",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        scope = "default" if self.commodity is None else str(self.commodity)
        return f"{scope}, version {self.policy_version}"

    @property
    def content(self) -> PolicyBody:
        """The body, typed."""
        return PolicyBody.model_validate(self.body)
