"""Query parameters of offers."""

from datetime import date, time, timedelta
from typing import Any, Final

import django_filters

from apps.availability import capabilities
from apps.availability.listings import ListingFilters
from erp import clock
from erp.api.faults import invalid
from erp.errors import FieldError


class OfferFilters(ListingFilters):
    """Filters of the list of offers beyond its columns."""

    owner, day = "seller_partner", "listed_date"
    sees_all = capabilities.VIEW_ALL

    available_on_date = django_filters.DateFilter(
        method="available_on", input_formats=["%Y-%m-%d"], label="Day on which the goods can be collected."
    )

    def available_on(self, rows: Any, name: str, day: date) -> Any:
        """Rows whose window has the day."""
        return rows.available_on(day)


DAYS: Final = 30


def period(from_date: date | None = None, to_date: date | None = None) -> dict[str, Any]:
    """A period, by default the last 30 days, as two moments in Indian time. Raises ``Invalid``."""
    last = to_date or clock.today()
    first = from_date or last - timedelta(days=DAYS)
    if first > last:
        raise invalid([FieldError("/query/to_date", "before_from", "The period ends before it begins.")])
    return {
        "start": clock.instant(first, time(), clock.KOLKATA),
        "end": clock.instant(last + timedelta(days=1), time(), clock.KOLKATA),
    }
