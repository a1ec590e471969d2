"""Business dates and local times as moments."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from erp import clock
from erp.access import SYSTEM
from erp.services import unit_of_work


def test_the_business_date_is_the_day_in_kolkata():
    assert clock.today(datetime(2026, 3, 8, 18, 29, tzinfo=UTC)) == date(2026, 3, 8)
    assert clock.today(datetime(2026, 3, 8, 18, 30, tzinfo=UTC)) == date(2026, 3, 9)
    assert clock.today(datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)) == date(2026, 4, 1)


@pytest.mark.parametrize(
    ("start", "end", "worked"),
    [  # Friday is the 4th
        ("2026-12-04T10:00", "2026-12-04T11:30", timedelta(hours=1.5)),
        ("2026-12-04T18:00", "2026-12-05T10:00", timedelta(hours=1)),
        ("2026-12-05T18:00", "2026-12-07T09:45", timedelta(hours=0.75)),
        ("2026-12-05T19:00", "2026-12-07T09:00", timedelta()),
        ("2026-12-06T08:00", "2026-12-06T20:00", timedelta()),
        ("2026-12-03T00:00", "2026-12-10T00:00", timedelta(hours=6 * 9)),
    ],
)
def test_working_time_skips_nights_and_sundays(start, end, worked):
    moments = (datetime.fromisoformat(f"{each}+05:30").astimezone(UTC) for each in (start, end))
    assert clock.working_time(*moments) == worked


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


@pytest.mark.django_db(transaction=True)
def test_a_unit_of_work_has_one_moment_that_of_its_transaction():
    before = clock.now()
    with unit_of_work(SYSTEM):
        moment = clock.now()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.01), transaction_timestamp()")
            assert cursor.fetchone()[1] == moment
        assert clock.now() == moment
    assert before < moment < clock.now()


def test_tests_set_the_clock_in_one_place(set_clock, db):
    moment = datetime(2030, 4, 1, tzinfo=UTC)
    set_clock(moment)
    assert timedelta() <= clock.now() - moment < timedelta(minutes=1)
    assert clock.today() == date(2030, 4, 1)
    with unit_of_work(SYSTEM):
        assert timedelta() <= clock.now() - moment < timedelta(minutes=1)


def test_only_the_clock_reads_the_time_of_rows_and_services():
    """Services, querysets and models take the present moment from ``erp.clock``."""
    files = [
        *Path("erp").glob("models.py"),
        *Path("apps").glob("**/models/**/*.py"),
        *Path("apps").glob("*/models.py"),
        *Path("apps").glob("**/services/**/*.py"),
        *Path("apps").glob("*/services.py"),
    ]
    assert len(files) > 50
    others = re.compile(r"timezone\.now|datetime\.now|date\.today|localdate|time\.time\(")
    assert [str(file) for file in files if others.search(file.read_text())] == []


def test_a_queue_in_working_hours_rests_on_a_sunday():
    from types import SimpleNamespace

    from erp.admin.queues import Queue, _stand

    page: Any = SimpleNamespace(_url=lambda view: "/")
    saturday, monday = (datetime(2026, 12, day, 12, 45, tzinfo=UTC) for day in (5, 7))  # 18:15 in India

    def colour(now: datetime, **more: Any) -> str:
        queue = Queue(
            title="Trades", filters={}, since="updated_at", amber=timedelta(hours=1), red=timedelta(hours=2), **more
        )  # fmt: skip
        return _stand(page, queue, 1, saturday, now).colour

    assert colour(monday - timedelta(hours=8, minutes=5), working=True) == ""  # Monday, 10:10
    assert colour(monday - timedelta(hours=7, minutes=45), working=True) == "warning"
    assert colour(monday, working=True) == "danger"
    assert colour(monday - timedelta(hours=8)) == "danger"
