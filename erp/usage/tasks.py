"""Moves the counts of requests from Redis into their table."""

from celery import shared_task

from erp.access import SYSTEM
from erp.usage import counting, services


@shared_task
def store_requests() -> int:
    """Store what was counted since the last run; return how many requests."""
    counts = counting.take()
    try:
        if counts:
            services.add_requests(actor=SYSTEM, counts=counts)
    except Exception:
        counting.put_back(counts)
        raise
    return sum(counts.values())
