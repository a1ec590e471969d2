"""Versions of the rules by which pairs are scored."""

from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.commodities.models.commodities import Commodity
from erp import clock
from erp.access import Actor
from erp.models import Model, QuerySet


class RuleSetQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see the rules; partners see what they lead to."""
        return self if user.is_system or user.is_superuser or user.is_staff else self.none()

    def in_scope(self, commodity_id: Any) -> Self:
        """Rules of a commodity, or the default ones."""
        return self.filter(commodity_id=commodity_id)

    def active(self) -> Self:
        """Rules that are used."""
        return self.filter(status=RuleSet.Status.ACTIVE)


class RuleSet(Model):
    """A version of the rules of a commodity, or of the default ones. Only its status ever changes.

    Its version numbers the rules within their scope, so it is the ETag of the scope, and stays.
    """

    granted_through = ("commodity",)

    class Status(models.TextChoices):
        PROPOSED = "PROPOSED"
        ACTIVE = "ACTIVE"
        RETIRED = "RETIRED"
        REFUSED = "REFUSED"
        STALE = "STALE"

    commodity = models.ForeignKey(
        Commodity, models.PROTECT, null=True, blank=True, related_name="rule_sets",
        help_text="Commodity of the rules. Empty: those of commodities without rules of their own.",
    )  # fmt: skip
    status = models.CharField(max_length=8, choices=Status, default=Status.PROPOSED)
    body = models.JSONField(help_text="Weights, factors and limits; shares in basis points.")
    base_version = models.PositiveIntegerField(
        editable=False, help_text="The active version that it was made from; 0 without one."
    )
    reason = models.CharField(max_length=500, help_text="Why the rules change, 10 to 500 characters.")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    approval_id = models.UUIDField(null=True, editable=False)
    activated_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = RuleSetQuerySet.as_manager()

    class Meta(Model.Meta):
        verbose_name = "rule set"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["commodity", "version"], nulls_distinct=False, name="rule_set_version_once"
            ),
            models.UniqueConstraint(
                fields=["commodity"], condition=Q(status="ACTIVE"), nulls_distinct=False,
                name="rule_set_one_active",
            ),
            models.UniqueConstraint(
                fields=["commodity"], condition=Q(status="PROPOSED"), nulls_distinct=False,
                name="rule_set_one_proposed",
            ),
            models.CheckConstraint(name="rule_set_version_positive", condition=Q(version__gte=1)),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.commodity or 'Default'}, version {self.version}"

    def _stamp(self) -> list[str]:
        self.updated_at = clock.now()
        return ["updated_at"]
