"""Business dates and local times as moments."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from erp import clock


def test_the_business_date_is_the_day_in_kolkata():
    assert clock.today(datetime(2026, 3, 8, 18, 29, tzinfo=UTC)) == date(2026, 3, 8)
    assert clock.today(datetime(2026, 3, 8, 18, 30, tzinfo=UTC)) == date(2026, 3, 9)


@pytest.mark.parametrize(
    ("zone", "day", "at", "moment"),
    [
        ("Asia/Kolkata", date(2026, 3, 9), time(), "2026-03-08T18:30"),
        ("America/New_York", date(2026, 3, 9), time(), "2026-03-09T04:00"),
        ("America/New_York", date(2026, 3, 8), time(), "2026-03-08T05:00"),
        ("Europe/London", date(2026, 3, 29), time(), "2026-03-29T00:00"),
        ("Europe/London", date(2026, 3, 30), time(), "2026-03-29T23:00"),
        ("America/New_York", date(2026, 3, 8), time(2, 30), "2026-03-08T07:00"),
        ("Europe/London", date(2026, 3, 29), time(1, 1), "2026-03-29T01:00"),
        ("America/New_York", date(2026, 11, 1), time(1, 30), "2026-11-01T05:30"),
        ("America/Sao_Paulo", date(2018, 11, 4), time(), "2018-11-04T03:00"),
    ],
    ids=str,
)
def test_a_local_time_is_one_moment(zone, day, at, moment):
    assert clock.instant(day, at, ZoneInfo(zone)) == datetime.fromisoformat(f"{moment}Z")
