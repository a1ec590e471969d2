"""The one clock: moments, business dates, and local times as moments."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.utils import timezone

KOLKATA: Final = ZoneInfo("Asia/Kolkata")


def now() -> datetime:
    """The present moment."""
    return timezone.now()


def today(moment: datetime | None = None) -> date:
    """The business date of ``moment`` (the present one by default): the day in Asia/Kolkata."""
    return (moment or now()).astimezone(KOLKATA).date()


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The moment (UTC) of a local time on a day.

    A time that the zone skips (clocks go forward) is the first moment after the gap; one that it repeats is the
    first of the two.
    """
    early = datetime.combine(day, at, zone).astimezone(UTC)
    if early.astimezone(zone).replace(tzinfo=None) == datetime.combine(day, at):
        return early
    before, after = early - timedelta(days=1), early
    offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(microseconds=1):
        middle = before + (after - before) / 2
        before, after = (before, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, after)
    return after
