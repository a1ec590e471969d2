"""The one clock (core §14): moments, business dates, and local times as moments."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection
from django.utils import timezone

KOLKATA: Final = ZoneInfo("Asia/Kolkata")

# The moment of the current unit of work, once it was asked for; None outside one.
_moments: ContextVar[list[datetime] | None] = ContextVar("erp_moments", default=None)
# The SQL for it, and how far time is moved. Tests replace these two (erp.testing).
TRANSACTION_TIME = "transaction_timestamp()"
_offset = timedelta()


def now() -> datetime:
    """The present moment: the time of the database's transaction in a unit of work, the system's outside."""
    moments = _moments.get()
    if moments is None:
        return timezone.now() + _offset
    if not moments:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {TRANSACTION_TIME}")
            moments.append(cursor.fetchone()[0])
    return moments[0] + _offset


@contextmanager
def transaction_time(moment: datetime | None = None) -> Iterator[None]:
    """Make ``now()`` the one moment of the current transaction; ``moment`` where it was read already."""
    outer = _moments.get()
    token = _moments.set(outer if outer is not None else [] if moment is None else [moment])
    try:
        yield
    finally:
        _moments.reset(token)


def set_transaction_time(moment: datetime) -> None:
    """Take ``moment``, read in the current transaction, for its time."""
    moments = _moments.get()
    if moments is not None and not moments:
        moments.append(moment)


def today(moment: datetime | None = None) -> date:
    """The business date of ``moment`` (the present one by default): the day in Asia/Kolkata."""
    return (moment or now()).astimezone(KOLKATA).date()


def local(moment: datetime) -> str:
    """A moment as people read it: ``30 Nov 2026, 14:05 IST``."""
    return f"{moment.astimezone(KOLKATA):%-d %b %Y, %H:%M} IST"


def working_time(start: datetime, end: datetime) -> timedelta:
    """How much of the time between two moments the office was open: on ``WORKING_DAYS``, in ``WORKING_HOURS``."""
    opens, closes = settings.WORKING_HOURS
    worked, day = timedelta(), today(start)
    while day <= today(end):
        if day.weekday() in settings.WORKING_DAYS:
            first, last = (datetime.combine(day, at, KOLKATA) for at in (opens, closes))
            worked += max(min(end, last) - max(start, first), timedelta())
        day += timedelta(days=1)
    return worked


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
