"""Services of calendars of banks, exchanges and states, used in the admin."""

from collections.abc import Sequence
from datetime import date, time

from apps.organization import capabilities, events
from apps.organization.models import Calendar, CalendarDay
from erp.access import Actor
from erp.errors import Conflict
from erp.services import emit, service


class CalendarCodeTaken(Conflict):
    """Another calendar has this code."""

    constraints = ("calendar_code_once",)


@service(requires=capabilities.UPDATE, emits=[events.CalendarChanged], raises=[CalendarCodeTaken])
def create_calendar(
    *, actor: Actor, code: str, name: str, weekly_off: Sequence[int] = (7,), closes_at: time | None = None
) -> Calendar:
    """Add a calendar of business days.

    ``weekly_off`` holds ISO days of the week, Monday is 1; ``closes_at`` is in Indian time.
    """
    calendar = Calendar(
        code=code, name=name, weekly_off=_days(weekly_off), closes_at=closes_at, created_by_id=actor.pk
    )
    calendar.save()
    emit(events.CalendarChanged(calendar_id=calendar.pk, dates=[]))
    return calendar


@service(requires=capabilities.UPDATE, emits=[events.CalendarChanged])
def update_calendar(
    calendar: Calendar,
    *,
    actor: Actor,
    name: str,
    weekly_off: Sequence[int] = (7,),
    closes_at: time | None = None,
) -> Calendar:
    """Update a calendar. The code can't change."""
    calendar.name, calendar.weekly_off, calendar.closes_at = name, _days(weekly_off), closes_at
    changed = calendar.changed_fields()
    calendar.save()
    if changed:
        emit(events.CalendarChanged(calendar_id=calendar.pk, dates=[]))
    return calendar


@service(requires=capabilities.UPDATE, emits=[events.CalendarChanged])
def set_calendar_day(
    calendar: Calendar,
    *,
    actor: Actor,
    day: date,
    name: str,
    closed: bool = True,
    closes_at: time | None = None,
) -> Calendar:
    """Set a day as a holiday, or as a business day with its own closing time."""
    special = CalendarDay.objects.filter(calendar=calendar, day=day).first()
    if special is None:
        special = CalendarDay(calendar=calendar, day=day, created_by_id=actor.pk)
    special.name, special.closed, special.closes_at = name, closed, closes_at
    changed = special.is_new or special.changed_fields()
    special.save()
    if changed:
        emit(events.CalendarChanged(calendar_id=calendar.pk, dates=[day]))
    return calendar


def _days(weekly_off: Sequence[int]) -> list[int]:
    return sorted({int(day) for day in weekly_off})
