"""Columns and bases that the models of this module share."""

from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.availability.models.base import Opaque, Stage, price_field
from erp.access import Actor
from erp.models import QuerySet


def optional_price(**kwargs: Any) -> Any:
    """A price as it is quoted, or none."""
    return price_field(null=True, blank=True, **kwargs)


def value_field(**kwargs: Any) -> Any:
    """An amount of money: numeric(18,2)."""
    return models.DecimalField(max_digits=18, decimal_places=2, **kwargs)


def ids_field(most: int, help_text: str, **kwargs: Any) -> Any:
    """Ids of rows, in the order in which they were sent."""
    return ArrayField(models.UUIDField(), default=list, blank=True, size=most, help_text=help_text, **kwargs)


class OfRequirementQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Rows of the requirements that the user may see at the stage from which rows of this kind are shown."""
        from apps.requirement.models.requirements import Requirement

        rows = Requirement.objects.visible_to(user).with_stage(user)
        return self.filter(requirement__in=rows.filter(stage__gte=self.model.from_stage).values("pk"))


class OfRequirement(Opaque):
    """A part of a requirement."""

    granted_through = ("requirement",)
    owner_partner = "requirement__buyer_partner_id"
    from_stage: ClassVar[Stage] = Stage.OWNER  # at which other partners see the row

    requirement = models.ForeignKey("requirement.Requirement", models.PROTECT, related_name="+")

    objects: ClassVar[Any] = OfRequirementQuerySet.as_manager()

    class Meta(Opaque.Meta):
        abstract = True
