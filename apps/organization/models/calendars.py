"""Business days of banks, exchanges and states."""

from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar, Self
from zoneinfo import ZoneInfo

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.organization.models.identity import CreatedByModel
from erp import clock
from erp.access import Actor
from erp.models import QuerySet

SEARCHED_DAYS = 366  # within which there must be a business day


def sundays() -> list[int]:
    """Return Sunday as an ISO day of the week."""
    return [7]


class CalendarQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Return all calendars to users with organization.view: they belong to no organization."""
        return self.permitted(user, "organization.view")


class Calendar(CreatedByModel):
    """The days on which a bank, an exchange or a state does business."""

    code = models.CharField(
        max_length=20, help_text="2 to 20 capital letters, digits, _ and -, such as RBI. Can't be changed."
    )
    name = models.CharField(max_length=100, help_text="Name of the bank, exchange or state.")
    weekly_off = ArrayField(
        models.PositiveSmallIntegerField(),
        verbose_name="weekly days off",
        size=7,
        default=sundays,
        blank=True,
        help_text="Days of the week without business: 1 is Monday, 7 is Sunday. Default: Sunday.",
    )
    closes_at = models.TimeField(
        "closing time", null=True, blank=True, help_text="End of business, Indian time. Empty: no set time."
    )

    objects: ClassVar[Any] = CalendarQuerySet.as_manager()

    class Meta(CreatedByModel.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["code"], name="calendar_code_once")]

    def __str__(self) -> str:
        return self.name

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"update_calendar", "update", "set_calendar_day"})

    def is_business_day(self, day: date) -> bool:
        """Return whether ``day`` is a business day: by its own entry, else by the weekly days off."""
        special = self.days.filter(day=day).first()
        return self._open(day, special)

    def next_business_day(self, day: date) -> date:
        """Return the first business day after ``day``. Raises LookupError when a whole year has none."""
        return self.add_working_days(day, 1)

    def add_working_days(self, day: date, count: int) -> date:
        """Return the ``count``-th business day after ``day``; ``day`` itself for 0.

        Raises ValueError for a negative count, LookupError when a whole year has no business day.
        """
        if count < 0:
            raise ValueError("the number of working days can't be negative")
        special: dict[date, CalendarDay] = {}
        known_until, searched = day, 0
        while count:
            if searched == SEARCHED_DAYS:
                raise LookupError(f"{self.code} has no business day after {day - timedelta(days=searched)}")
            day, searched = day + timedelta(days=1), searched + 1
            if day > known_until:
                known_until = day + timedelta(days=SEARCHED_DAYS)
                special = {each.day: each for each in self.days.filter(day__range=(day, known_until))}
            if self._open(day, special.get(day)):
                count, searched = count - 1, 0
        return day

    def closing_time(self, day: date) -> datetime | None:
        """Return when business ends on ``day``, in Indian time; None: closed, or no set time."""
        special = self.days.filter(day=day).first()
        at = self._closes_at(special)
        return clock.instant(day, at, clock.KOLKATA) if at is not None and self._open(day, special) else None

    def cutoff(self, day: date, zone: ZoneInfo) -> datetime:
        """Return the moment (UTC) when ``day`` ends for business in ``zone``: closing time, else the midnight after it.

        Also for a holiday, since a deadline can fall on one.
        """
        at = self._closes_at(self.days.filter(day=day).first())
        return clock.instant(day if at else day + timedelta(days=1), at or time.min, zone)

    def _closes_at(self, special: "CalendarDay | None") -> time | None:
        return (special.closes_at if special is not None else None) or self.closes_at

    def _open(self, day: date, special: "CalendarDay | None") -> bool:
        return not special.closed if special is not None else day.isoweekday() not in self.weekly_off


class CalendarDayQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        return self.permitted(user, "organization.view")


class CalendarDay(CreatedByModel):
    """A day that differs from its weekday: a holiday, or an open or shorter day."""

    granted_through = ("calendar",)

    calendar = models.ForeignKey(Calendar, models.PROTECT, related_name="days")
    day = models.DateField("date", help_text="The day that differs from its weekday.")
    name = models.CharField(max_length=100, help_text="Occasion, such as Diwali.")
    closed = models.BooleanField(
        default=True, help_text="Whether there is no business on the day. Default: yes."
    )
    closes_at = models.TimeField(
        "closing time", null=True, blank=True, help_text="End of business on the day. Empty: as usual."
    )

    objects: ClassVar[Any] = CalendarDayQuerySet.as_manager()

    class Meta(CreatedByModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["calendar", "day"], name="calendar_day_once")
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.name}"
