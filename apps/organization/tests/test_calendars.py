"""Business days: weekly days off, holidays, and when business ends."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from apps.organization import events
from apps.organization.services import calendars
from erp.access import SYSTEM
from erp.clock import KOLKATA
from erp.errors import CapabilityMissing

pytestmark = pytest.mark.django_db
FRIDAY, SATURDAY, SUNDAY, MONDAY = (date(2026, 1, day) for day in (23, 24, 25, 26))


@pytest.fixture
def bank():
    return calendars.create_calendar(actor=SYSTEM, code="BANK", name="Banks", closes_at=time(15, 30))


def test_a_holiday_and_the_weekly_day_off_are_no_business_days(bank, assert_emitted):
    assert [bank.is_business_day(day) for day in (SATURDAY, SUNDAY, MONDAY)] == [True, False, True]
    calendars.set_calendar_day(bank, actor=SYSTEM, day=MONDAY, name="Republic Day")
    assert_emitted(events.CalendarChanged, calendar_id=str(bank.pk), dates=["2026-01-26"])
    assert not bank.is_business_day(MONDAY)
    assert bank.next_business_day(SATURDAY) == date(2026, 1, 27)
    calendars.set_calendar_day(bank, actor=SYSTEM, day=SUNDAY, name="Special session", closed=False)
    assert bank.next_business_day(SATURDAY) == SUNDAY


def test_business_ends_at_the_closing_time_of_the_day_or_of_the_calendar(bank):
    assert bank.closing_time(FRIDAY) == datetime(2026, 1, 23, 15, 30, tzinfo=KOLKATA)
    calendars.set_calendar_day(bank, actor=SYSTEM, day=FRIDAY, name="Half", closed=False, closes_at=time(12))
    assert bank.closing_time(FRIDAY) == datetime(2026, 1, 23, 12, 0, tzinfo=KOLKATA)
    assert bank.closing_time(SUNDAY) is None


def test_working_days_are_counted_past_days_off(bank):
    calendars.set_calendar_day(bank, actor=SYSTEM, day=MONDAY, name="Republic Day")
    assert bank.add_working_days(FRIDAY, 0) == FRIDAY
    assert bank.add_working_days(FRIDAY, 1) == SATURDAY
    assert bank.add_working_days(FRIDAY, 3) == date(2026, 1, 28)
    assert bank.add_working_days(FRIDAY, 400) == date(2027, 5, 6)
    with pytest.raises(ValueError, match="negative"):
        bank.add_working_days(FRIDAY, -1)


def test_a_day_ends_at_its_closing_time_or_the_midnight_after_it(bank):
    new_york = ZoneInfo("America/New_York")
    assert bank.cutoff(FRIDAY, KOLKATA) == datetime(2026, 1, 23, 10, 0, tzinfo=UTC)
    assert bank.cutoff(SUNDAY, KOLKATA) == datetime(2026, 1, 25, 10, 0, tzinfo=UTC), "of a day off as well"
    bank = calendars.update_calendar(bank, actor=SYSTEM, name="Banks")
    assert bank.cutoff(date(2026, 3, 8), KOLKATA) == datetime(2026, 3, 8, 18, 30, tzinfo=UTC)
    assert bank.cutoff(date(2026, 3, 7), new_york) == datetime(2026, 3, 8, 5, 0, tzinfo=UTC)
    assert bank.cutoff(date(2026, 3, 8), new_york) == datetime(2026, 3, 9, 4, 0, tzinfo=UTC)


def test_an_unchanged_update_emits_nothing(bank, emitted):
    for _ in range(2):
        calendars.set_calendar_day(bank, actor=SYSTEM, day=MONDAY, name="Republic Day")
        bank = calendars.update_calendar(bank, actor=SYSTEM, name="Banks", weekly_off=["7", "6"])
    assert bank.weekly_off == [6, 7]
    assert len(emitted("calendar.changed")) == 3  # created, holiday, days off


def test_a_calendar_without_business_days_is_an_error(bank):
    bank = calendars.update_calendar(bank, actor=SYSTEM, name="None", weekly_off=range(1, 8))
    with pytest.raises(LookupError):
        bank.next_business_day(FRIDAY)


def test_calendars_need_the_capability_to_update_organizations(bank, user):
    with pytest.raises(CapabilityMissing):
        calendars.set_calendar_day(bank, actor=user("INTERNAL_MANAGER"), day=MONDAY, name="Off")
    with pytest.raises(calendars.CalendarCodeTaken):
        calendars.create_calendar(actor=SYSTEM, code="BANK", name="Again")
