"""Fields and base classes of the models of this module."""

from datetime import date
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxLengthValidator, MinLengthValidator
from django.db import models

from erp.access import Actor
from erp.columns import matches
from erp.models import Guarded, Model, QuerySet

CODE = "[A-Z0-9][A-Z0-9_/-]{0,31}"
CODE_FORMAT = matches(CODE, "Use A–Z, 0–9, _ / and -, at most 32.")
UNIT_CODE = "[A-Z][A-Z0-9_]{0,15}"
UNIT_FORMAT = matches(UNIT_CODE, "Use the code of a unit, such as KG or BALE.")
MOST_ALIASES = 20


def name_field() -> "models.CharField[str, str]":
    """A name as people write it."""
    return models.CharField(
        max_length=200,
        validators=[MinLengthValidator(2)],
        help_text="Name used in the trade, 2 to 200 characters.",
    )


def code_field() -> "models.CharField[str, str]":
    """A code of capitals."""
    return models.CharField(
        max_length=32,
        validators=[CODE_FORMAT],
        help_text="Short unique code: capital letters, digits, _, / and -, at most 32. Cannot be changed later.",
    )


def aliases_field() -> "ArrayField[list[str], list[str]]":
    """Other names, each of them once."""
    return ArrayField(
        models.CharField(max_length=100, validators=[MinLengthValidator(2)]),
        default=list,
        blank=True,
        validators=[MaxLengthValidator(MOST_ALIASES)],
        help_text=f"Other names used in the trade, at most {MOST_ALIASES}, 2 to 100 characters each.",
    )


def valid_from_field() -> "models.DateField[date, date]":
    """The first day on which a row applies."""
    return models.DateField("effective from", help_text="First day on which it applies.")


def valid_to_field() -> "models.DateField[date | None, date | None]":
    """The last day on which a row applies."""
    return models.DateField(
        "effective to",
        null=True,
        blank=True,
        help_text="Last day on which it applies. Empty: until further notice.",
    )


def is_staff(user: Actor) -> bool:
    """Whether ``user`` works for the company, so drafts and archived rows are shown."""
    return user.is_system or user.is_staff


class SimpleQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """All users see reference data, including archived rows, which old contracts refer to."""
        return self

    def active(self) -> Self:
        """Rows that can be chosen for new records."""
        return self.filter(status=Simple.Status.ACTIVE)


class CommodityPartQuerySet(SimpleQuerySet):
    """Rows that belong to a commodity."""

    def visible_to(self, user: Actor) -> Self:
        """Staff see every row; partners those of commodities that are past DRAFT."""
        return self if is_staff(user) else self.exclude(commodity__status="DRAFT")


class Simple(Model):
    """A row of reference data, active or archived."""

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE"
        ARCHIVED = "ARCHIVED"

    status = models.CharField(
        max_length=8,
        choices=Status,
        default=Status.ACTIVE,
        help_text="An archived entry cannot be chosen for anything new. Existing records still show it.",
    )

    class Meta(Model.Meta):
        abstract = True

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"update"})


class Name(Guarded):
    """The normalized form of a name or alias. A database constraint of each kind makes it unique."""

    key = models.CharField(max_length=400)

    class Meta(Guarded.Meta):
        abstract = True
