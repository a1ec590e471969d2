"""Expiry of idempotency records: secret bodies after minutes, records after a day."""

from celery import shared_task

from erp import clock
from erp.idempotency.models import Record

BATCH = 1_000


@shared_task
def purge() -> int:
    """Wipe secret bodies past their time and delete expired records, in batches; returns the records deleted."""
    now = clock.now()
    Record.objects.filter(secret=True, body_wiped=False, body_expires_at__lte=now).update(
        body=b"", body_wiped=True
    )
    deleted = 0
    while True:
        batch = list(Record.objects.filter(expires_at__lte=now).values_list("pk", flat=True)[:BATCH])
        if not batch:
            return deleted
        deleted += Record.objects.filter(pk__in=batch, expires_at__lte=now).delete()[0]
