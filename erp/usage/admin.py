"""The charts of requests on the home page."""

from datetime import date, timedelta

from erp import clock
from erp.admin.charts import DAYS, Chart, charts
from erp.usage.models import RequestCount


def _charts() -> list[Chart]:
    """Requests by day, and those that failed by a fault of the product."""
    requests: dict[date, int] = {}
    failed: dict[date, int] = {}
    first = clock.today() - timedelta(days=DAYS - 1)
    for row in RequestCount.objects.filter(day__gte=first):
        requests[row.day] = requests.get(row.day, 0) + row.count
        if row.status_class == "5xx":
            failed[row.day] = row.count
    return [Chart("Requests", "requests", requests), Chart("Failed requests", "requests", failed)]


charts.append(_charts)
