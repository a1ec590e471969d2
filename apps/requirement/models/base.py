"""Columns and bases that the models of this module share."""

from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from erp import ids
from erp.access import Actor
from erp.models import Model, QuerySet


def quantity_field(**kwargs: Any) -> Any:
    """A quantity: numeric(18,3)."""
    return models.DecimalField(max_digits=18, decimal_places=3, **kwargs)


def price_field(**kwargs: Any) -> Any:
    """A price as it is quoted: numeric(18,6)."""
    return models.DecimalField(max_digits=18, decimal_places=6, null=True, blank=True, **kwargs)


def value_field(**kwargs: Any) -> Any:
    """An amount of money: numeric(18,2)."""
    return models.DecimalField(max_digits=18, decimal_places=2, **kwargs)


def ids_field(most: int, help_text: str, **kwargs: Any) -> Any:
    """Ids of rows, in the order in which they were sent."""
    return ArrayField(models.UUIDField(), default=list, blank=True, size=most, help_text=help_text, **kwargs)


def text(length: int, help_text: str = "", **kwargs: Any) -> Any:
    """A column for text that may be empty."""
    return models.CharField(max_length=length, default="", blank=True, help_text=help_text, **kwargs)


class Stage(models.IntegerChoices):
    """How much of a requirement a caller may see; the highest stage that applies counts."""

    BROWSE = 1
    NEGOTIATING = 3
    TRADE = 4
    OWNER = 9


class Opaque(Model):
    """A row that other partners can read before a trade: its id doesn't tell when it was made."""

    id = models.UUIDField(primary_key=True, default=ids.uuid4, editable=False)

    class Meta(Model.Meta):
        abstract = True


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
