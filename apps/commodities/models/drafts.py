"""Figures that hold between two dates and that two people answer for: drafted, submitted, published, withdrawn."""

from datetime import date
from typing import Any, ClassVar, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q

from apps.commodities.models.base import is_staff
from erp.access import Actor
from erp.errors import snake
from erp.models import Model, QuerySet


def no_overlap(name: str, *keys: Any, condition: Q | None = None) -> ExclusionConstraint:
    """The constraint that no two rows of one key hold on the same day.

    ``keys`` are columns or expressions; ``condition`` says which rows count. Both dates are inclusive, an open end
    lasts for ever.
    """
    days = Func(
        "valid_from",
        "valid_to",
        RangeBoundary(inclusive_lower=True, inclusive_upper=True),
        function="daterange",
        output_field=DateRangeField(),
    )
    return ExclusionConstraint(
        name=name,
        expressions=[*((key, RangeOperators.EQUAL) for key in keys), (days, RangeOperators.OVERLAPS)],
        condition=condition,
    )


def dates_in_order(name: str) -> models.CheckConstraint:
    """The constraint that what holds begins before it ends."""
    return models.CheckConstraint(name=name, condition=Q(valid_to=None) | Q(valid_to__gte=F("valid_from")))


class DatedQuerySet(QuerySet):
    """Rows that hold from one date to another, both inclusive."""

    def visible_to(self, user: Actor) -> Self:
        """Everybody sees them."""
        return self

    def on(self, day: date) -> Self:
        """Rows that hold on that day."""
        return self.filter(Q(valid_to=None) | Q(valid_to__gte=day), valid_from__lte=day)


class DraftedQuerySet(DatedQuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff see every row; partners those that were published, withdrawn ones too: contracts name them."""
        return self if is_staff(user) else self.filter(status__in=Drafted.PUBLIC)

    def active(self) -> Self:
        """Rows that may be chosen for something new."""
        return self.filter(status=Drafted.Status.PUBLISHED)


class Drafted(Model):
    """Content that one person drafts and another publishes; once published it never changes, only ends.

    A kind names ``KEY``, the columns that rows share of which at most one holds on a day, and ``CONTENT``, what a
    second person is shown.
    """

    class Status(models.TextChoices):
        DRAFT = "DRAFT"
        SUBMITTED = "SUBMITTED"
        PUBLISHED = "PUBLISHED"
        WITHDRAWN = "WITHDRAWN"

    PUBLIC: ClassVar = (Status.PUBLISHED, Status.WITHDRAWN)
    KEY: ClassVar[tuple[str, ...]]
    CONTENT: ClassVar[tuple[str, ...]] = ("valid_from", "valid_to", "source")

    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True)
    source = models.CharField(max_length=500)
    status = models.CharField(max_length=9, choices=Status, default=Status.DRAFT)
    # Everybody who wrote it, the author first: none of them decides on it.
    editors = ArrayField(models.UUIDField(), default=list, editable=False)

    objects: ClassVar[Any] = DraftedQuerySet.as_manager()

    class Meta(Model.Meta):
        abstract = True

    @classmethod
    def noun(cls) -> str:
        """What its services and events call it: ``tax_rate``."""
        return snake(cls.__name__)

    def open_verbs(self) -> frozenset[str]:
        verbs = {
            self.Status.DRAFT: {"update", f"submit_{self.noun()}"},
            self.Status.SUBMITTED: {"update"},
            self.Status.PUBLISHED: {f"withdraw_{self.noun()}"},
        }
        return frozenset(verbs.get(self.Status(self.status), ()))

    def same_key(self) -> Any:
        """The other rows of the same key."""
        key = {name: getattr(self, name) for name in self.KEY}
        return type(self)._default_manager.filter(**key).exclude(pk=self.pk)

    def shown(self) -> dict[str, Any]:
        """What a second person decides on, by name."""
        return {name: getattr(self, name) for name in (*self.CONTENT, *Drafted.CONTENT)}
