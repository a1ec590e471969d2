"""The consumer of all events for the feed, and the purge of old entries."""

import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings

from apps.integrations import services
from apps.integrations.models import FeedEntry
from erp import clock
from erp.access import SYSTEM
from erp.outbox.subscriber import handles_all
from erp.outbox.wire import Envelope

PURGE_SECONDS = 30.0


@handles_all
def record_event(event: Envelope) -> None:
    """Append the event or gap marker to the feed."""
    services.record(actor=SYSTEM, event=event)


@shared_task
def purge_feed() -> int:
    """Delete entries past their retention, in batches, for at most 30 seconds; return how many.

    The newest entry is never deleted, so that the cursor of a client that has read a quiet feed remains valid.
    """
    before = FeedEntry.objects.first_position_since(
        clock.now() - timedelta(days=settings.FEED_RETENTION_DAYS)
    )
    deadline, deleted = time.monotonic() + PURGE_SECONDS, 0
    while time.monotonic() < deadline and (batch := services.purge(actor=SYSTEM, before=before)):
        deleted += batch
    return deleted
