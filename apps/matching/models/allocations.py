"""How contested stock was divided among matches."""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Exists, OuterRef, Q

from apps.availability.models import Availability, quantity_field
from apps.matching.models.matches import PURGED_AFTER, Match, MatchRun
from apps.matching.models.rules import RuleSet
from erp.access import Actor, holds_everywhere
from erp.models import Guarded, Model, QuerySet


class AllocationQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every allocation; a buyer those in which it takes part."""
        if user.is_system or user.is_superuser or holds_everywhere(user, "matching.view"):
            return self
        if user.partner_id is None:
            return self.none()
        own = AllocationPart.objects.filter(match__buyer_partner_id=user.partner_id)
        return self.filter(pk__in=own.values("allocation"))

    def to_purge(self, now: datetime) -> Self:
        """Allocations of long ago that bind no live match."""
        live = Match.objects.live().filter(allocation=OuterRef("pk"))
        return self.filter(~Exists(live), created_at__lt=now - PURGED_AFTER)


class Allocation(Model):
    """One division of an offer's open stock; its rows never change and give the same result again."""

    availability = models.ForeignKey(Availability, models.PROTECT, related_name="allocations")
    run = models.ForeignKey(MatchRun, models.PROTECT, related_name="allocations")
    rule_set = models.ForeignKey(RuleSet, models.PROTECT, null=True, related_name="+")
    unit = models.CharField(max_length=16)
    open_quantity = quantity_field(help_text="Stock that was divided, in the offer's unit.")
    step = quantity_field(help_text="The smallest part.")
    max_share = models.PositiveIntegerField(help_text="Most that one group gets, in basis points.")
    divisible = models.BooleanField()

    objects: ClassVar[Any] = AllocationQuerySet.as_manager()

    class Meta(Model.Meta):
        indexes: ClassVar = [models.Index(fields=["availability", "-created_at"], name="allocation_of_offer")]

    def __str__(self) -> str:
        return f"Allocation of {self.availability}"


class AllocationPart(Guarded):
    """What one match got of an allocation."""

    class Reason(models.TextChoices):
        SHARE = "SHARE", "Proportional share"
        FULL = "FULL", "All that was wanted"
        CAPPED = "CAPPED", "Limited to the largest share"
        BELOW_MINIMUM = "below_minimum", "The share was below the minimum"
        INDIVISIBLE = "INDIVISIBLE", "The offer can't be divided"

    id = models.BigAutoField(primary_key=True)
    allocation = models.ForeignKey(Allocation, models.PROTECT, related_name="parts")
    match = models.ForeignKey(Match, models.PROTECT, related_name="parts")
    cluster = models.UUIDField(help_text="The group of related buyers.")
    rank = models.PositiveIntegerField()
    want = quantity_field(help_text="What was still wanted and could be paid.")
    need = quantity_field(help_text="The least that makes sense.")
    given = quantity_field()
    reason = models.CharField(max_length=13, choices=Reason)

    objects: ClassVar[Any] = QuerySet.as_manager()

    class Meta(Guarded.Meta):
        verbose_name = "part of an allocation"
        verbose_name_plural = "parts of allocations"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["allocation", "match"], name="allocation_part_once"),
            models.CheckConstraint(name="allocation_part_given", condition=Q(given__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.given} for match {self.match_id}"
