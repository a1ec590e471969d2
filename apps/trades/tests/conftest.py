"""The tests of trades are of one day, since their figures depend on dates of the law."""

from datetime import UTC, datetime

import pytest


@pytest.fixture(autouse=True)
def _one_day(set_clock):
    set_clock(datetime(2026, 11, 16, 6, tzinfo=UTC))
