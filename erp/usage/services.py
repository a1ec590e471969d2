"""Storing what was counted."""

from collections.abc import Mapping
from datetime import date

from erp.access import Actor
from erp.services import service
from erp.usage.models import RequestCount


@service(public="a task of the product runs it", machinery="counts of requests are no business")
def add_requests(*, actor: Actor, counts: Mapping[tuple[date, str], int]) -> None:
    """Add requests to the counts of their day and class of status."""
    for (day, status_class), count in sorted(counts.items()):
        row = RequestCount.objects.filter(day=day, status_class=status_class).locked().first()
        row = row or RequestCount(day=day, status_class=status_class)
        row.count += count
        row.save()
