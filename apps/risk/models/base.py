"""Columns and bases that the models of this module share."""

from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models

from erp import clock
from erp.access import Actor
from erp.ids import uuid7
from erp.models import Guarded, Model, QuerySet


def money(**kwargs: Any) -> Any:
    """An amount of money: numeric(20,2)."""
    return models.DecimalField(max_digits=20, decimal_places=2, **kwargs)


def person(words: str = "") -> Any:
    """The user who did something; null where SYSTEM did."""
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", help_text=words, editable=False
    )


class StaffQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Rows of risk are for staff: no partner reads one."""
        return self.permitted(user, "risk.view") if user.partner_id is None else self.none()


class StaffModel(Model):
    """A row that only staff read."""

    objects: ClassVar[Any] = StaffQuerySet.as_manager()

    class Meta(Model.Meta):
        abstract = True


class Appended(Guarded):
    """A row that nobody changes or deletes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects: ClassVar[Any] = StaffQuerySet.as_manager()

    class Meta(Guarded.Meta):
        abstract = True


class Verdict(models.TextChoices):
    """What an assessment says, from good to bad."""

    PASS = "PASS"  # noqa: S105 - a result
    WARN = "WARN"
    REVIEW = "REVIEW"
    FAIL = "FAIL"


class Side(models.TextChoices):
    """A side of a trade."""

    BUYER = "BUYER"
    SELLER = "SELLER"
