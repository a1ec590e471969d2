"""Business days of banks, exchanges and states."""

from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.organization.models.identity import KOLKATA, Kept
from erp.access import Actor
from erp.models import QuerySet

SEARCHED_DAYS = 366  # in which a business day must turn up


def sundays() -> list[int]:
    """Sunday, as ISO counts the days of the week."""
    return [7]


class CalendarQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Calendars belong to no organization: whoever sees organizations sees them."""
        return self.permitted(user, "organization.view")


class Calendar(Kept):
    """The days on which a bank, an exchange or a state does business."""

    code = models.CharField(max_length=20)
    name = models.CharField(max_length=100)
    weekly_off = ArrayField(models.PositiveSmallIntegerField(), size=7, default=sundays, blank=True)
    closes_at = models.TimeField(null=True, blank=True)

    objects: ClassVar[Any] = CalendarQuerySet.as_manager()

    class Meta(Kept.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["code"], name="calendar_code_once")]

    def __str__(self) -> str:
        return self.name

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"update_calendar", "update", "set_calendar_day"})

    def is_business_day(self, day: date) -> bool:
        """Whether it is open on ``day``: a day of its own decides, else the weekly day off."""
        special = self.days.filter(day=day).first()
        return self._open(day, special)

    def next_business_day(self, day: date) -> date:
        """The first business day after ``day``. Raises LookupError when a whole year has none."""
        until = day + timedelta(days=SEARCHED_DAYS)
        special = {each.day: each for each in self.days.filter(day__gt=day, day__lte=until)}
        for ahead in range(1, SEARCHED_DAYS + 1):
            found = day + timedelta(days=ahead)
            if self._open(found, special.get(found)):
                return found
        raise LookupError(f"{self.code} has no business day after {day}")

    def closing_time(self, day: date) -> datetime | None:
        """When business ends on ``day`` (an aware moment in Asia/Kolkata); None: closed, or no set time."""
        special = self.days.filter(day=day).first()
        at = (special.closes_at if special is not None else None) or self.closes_at
        return datetime.combine(day, at, KOLKATA) if at is not None and self._open(day, special) else None

    def _open(self, day: date, special: "CalendarDay | None") -> bool:
        return not special.closed if special is not None else day.isoweekday() not in self.weekly_off


class CalendarDayQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        return self.permitted(user, "organization.view")


class CalendarDay(Kept):
    """A day that differs from its weekday: a holiday, or a day that is open or shorter."""

    granted_through = ("calendar",)

    calendar = models.ForeignKey(Calendar, models.PROTECT, related_name="days")
    day = models.DateField()
    name = models.CharField(max_length=100)
    closed = models.BooleanField(default=True)
    closes_at = models.TimeField(null=True, blank=True)

    objects: ClassVar[Any] = CalendarDayQuerySet.as_manager()

    class Meta(Kept.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["calendar", "day"], name="calendar_day_once")
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.name}"
