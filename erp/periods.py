"""Rows that are effective from one day to another, both inclusive; without ``valid_to`` for good."""

from datetime import date, timedelta
from typing import Any, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q

from erp.access import Actor
from erp.errors import DomainError, FieldError
from erp.models import QuerySet


def no_overlap(name: str, *keys: Any, condition: Q | None = None) -> ExclusionConstraint:
    """The constraint that no two rows of one key are effective on the same day.

    ``keys`` are columns or expressions; ``condition`` says which rows count.
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
    """The constraint that a period begins before it ends."""
    return models.CheckConstraint(name=name, condition=Q(valid_to=None) | Q(valid_to__gte=F("valid_from")))


class DatedQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Everybody sees them."""
        return self

    def on(self, day: date) -> Self:
        """Rows that are effective on that day."""
        return self.filter(Q(valid_to=None) | Q(valid_to__gte=day), valid_from__lte=day)


def require_dates_in_order(row: Any, *, error: type[DomainError]) -> None:
    """Raise ``error`` where the row ends before it begins."""
    if row.valid_to is not None and row.valid_to < row.valid_from:
        raise error(errors=[FieldError("/valid_to", "inverted", "It ends before it begins.")])


def predecessor(others: Any, row: Any, *, error: type[DomainError]) -> Any:
    """The one of ``others``, locked, that ends as ``row`` begins, since its own end is open; None: there is none.

    Raises ``error`` where the row begins on or before its predecessor, or meets another on some day.
    """
    met = others.filter(Q(valid_to=None) | Q(valid_to__gte=row.valid_from))
    if row.valid_to is not None:
        met = met.filter(valid_from__lte=row.valid_to)
    found = None
    for other in met.order_by("valid_from").locked():
        if other.valid_to is not None or other.valid_from >= row.valid_from:
            raise error(
                errors=[FieldError("/valid_from", "overlap", f"{other} holds from {other.valid_from} on.")]
            )
        found = other
    return found


def end_predecessor(others: Any, row: Any, *, error: type[DomainError]) -> Any:
    """End the predecessor of ``row`` the day before it begins, and return it; raises as ``predecessor`` does."""
    found = predecessor(others, row, error=error)
    if found is not None:
        found.valid_to = row.valid_from - timedelta(days=1)
        found.save()
    return found
