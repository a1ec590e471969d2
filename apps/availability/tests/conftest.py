"""Fixtures of this module's tests."""

from datetime import date

import pytest

from apps.commodities.models.tax import TaxRate
from erp.models import unguarded_writes


@pytest.fixture
def tax_rate(db):
    """Publish a GST rate for a code."""

    def make(hsn, percent, condition="ANY"):
        with unguarded_writes():
            rate = TaxRate(
                hsn=hsn, rate_percent=percent, condition=condition, valid_from=date(2017, 7, 1), source="Notification",
                status="PUBLISHED",
            )  # fmt: skip
            rate.save()
        return rate

    return make
