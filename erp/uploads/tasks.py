"""Periodic work on uploaded files."""

from celery import shared_task

from erp.access import SYSTEM
from erp.clients import RemoteRefused, RemoteUnavailable
from erp.uploads import services
from erp.uploads.models import StoredFile
from erp.uploads.scanner import scanner

CHUNK = 50  # files of one sweep


@shared_task
def scan() -> int:
    """Scan new files, outside transactions; return how many were judged. What fails waits for the next sweep."""
    judged = 0
    for stored in StoredFile.objects.unscanned().order_by("?")[
        :CHUNK
    ]:  # one that always fails holds up no other
        try:
            clean = scanner().is_clean(stored.content)
        except (RemoteUnavailable, RemoteRefused):
            continue
        services.record_scan(stored, actor=SYSTEM, clean=clean)
        judged += 1
    return judged


@shared_task
def purge() -> int:
    """Delete files that no row used within a day."""
    return int(services.purge(actor=SYSTEM))
