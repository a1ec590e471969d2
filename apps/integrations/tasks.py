"""The feed's ear on all events, and its retention."""

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
    """Every event, and every gap marker, goes into the feed."""
    services.record(actor=SYSTEM, event=event)


@shared_task
def purge_feed() -> int:
    """Delete entries past their retention, in batches, for at most half a minute; returns how many.

    The newest stays, however old: whoever has read all of a quiet feed keeps its place.
    """
    before = FeedEntry.objects.kept_from(clock.now() - timedelta(days=settings.FEED_RETENTION_DAYS))
    give_up, deleted = time.monotonic() + PURGE_SECONDS, 0
    while time.monotonic() < give_up and (batch := services.purge(actor=SYSTEM, before=before)):
        deleted += batch
    return deleted
