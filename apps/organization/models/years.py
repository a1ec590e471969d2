"""Financial years: the one of a date, and who may post to it."""

from datetime import date, timedelta
from typing import Any, ClassVar, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q

from apps.organization.models.identity import (
    CreatedByModel,
    Organization,
    OrganizationPartQuerySet,
    optional_text,
)
from erp.access import Actor, may

YEAR_END = (3, 31)
LONGEST_FIRST_YEAR = 15  # months: Companies Act 2013, s.2(41)


def months_after(day: date, months: int) -> date:
    """Return the day that many months later, or the last day of that month."""
    years, month = divmod(day.month - 1 + months, 12)
    first = date(day.year + years, month + 1, 1)
    following = (first + timedelta(days=31)).replace(day=1)
    return min(first + timedelta(days=day.day - 1), following - timedelta(days=1))


class FinancialYearQuerySet(OrganizationPartQuerySet):
    def on(self, day: date) -> Self:
        """Return the years that include the date: at most one per organization."""
        return self.filter(start_date__lte=day, end_date__gte=day)

    def with_numbers(self) -> Self:
        """Return years with allocated document numbers."""
        return self.filter(allocated_numbers__isnull=False).distinct()


class FinancialYear(CreatedByModel):
    """A financial year of an organization: it ends on 31 March, and no two overlap."""

    granted_through = ("organization",)

    class Status(models.TextChoices):
        OPEN = "open"
        SOFT_CLOSED = "soft_closed", "Soft-closed"
        LOCKED = "locked"

    TRANSITIONS: ClassVar = {
        Status.OPEN: (Status.SOFT_CLOSED,),
        Status.SOFT_CLOSED: (Status.LOCKED, Status.OPEN),
        Status.LOCKED: (Status.SOFT_CLOSED,),  # only by its approval
    }

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="financial_years")
    code = models.CharField(
        max_length=4, editable=False, help_text="Such as 2627 for April 2026 to March 2027."
    )
    start_date = models.DateField(help_text="1 April. Only the first year can start on another day.")
    end_date = models.DateField(help_text="31 March.")
    status = models.CharField(
        max_length=11,
        choices=Status,
        default=Status.OPEN,
        help_text="Soft-closed: only holders of the capability can post. Locked: nothing can be posted.",
    )
    status_reason = optional_text(1000, "Why the status was changed.")
    pending_approval_id = models.UUIDField(
        null=True, editable=False, help_text="The pending request to reopen the year."
    )
    editors = ArrayField(models.UUIDField(), default=list, editable=False)  # since the last decision
    reopening_requested = False  # not a column: whether the last call requested approval to reopen

    objects: ClassVar[Any] = FinancialYearQuerySet.as_manager()

    class Meta(CreatedByModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "code"], name="financial_year_code_once"),
            models.CheckConstraint(
                name="financial_year_length",
                condition=Q(start_date__lt=F("end_date"))
                & Q(
                    end_date__lte=Func(
                        F("start_date"),
                        template="(%(expressions)s + INTERVAL '15 months')",
                        output_field=models.DateTimeField(),
                    )
                ),
            ),
            ExclusionConstraint(
                name="financial_year_no_overlap",
                expressions=[
                    ("organization", RangeOperators.EQUAL),
                    (
                        Func(
                            "start_date",
                            "end_date",
                            RangeBoundary(inclusive_lower=True, inclusive_upper=True),
                            function="daterange",
                            output_field=DateRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start_date.year}-{self.end_date:%y}"

    @staticmethod
    def code_of(end: date) -> str:
        """Return ``2627`` for a year that ends in March 2027."""
        return f"{(end.year - 1) % 100:02d}{end.year % 100:02d}"

    def writable_by(self, actor: Actor, day: date) -> bool:
        """Return whether ``actor`` may post on ``day`` in this year; other modules check this first.

        Open: every actor. Soft-closed: users with organization.manage_financial_years, so not SYSTEM.
        Locked: no actor.
        """
        if not self.start_date <= day <= self.end_date:
            return False
        if self.status == self.Status.SOFT_CLOSED:
            return not actor.is_system and may(actor, "organization.manage_financial_years", self)
        return bool(self.status == self.Status.OPEN)

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"update"})
