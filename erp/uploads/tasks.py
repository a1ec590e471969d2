"""Periodic work on uploaded files."""

from contextlib import suppress
from datetime import timedelta

from celery import shared_task

from erp import clock
from erp.access import SYSTEM
from erp.clients import RemoteRefused, RemoteUnavailable
from erp.errors import NotFound
from erp.uploads import services, storage
from erp.uploads.models import DeletedObject, FileContent, StoredFile
from erp.uploads.scanner import scanner

CHUNK = 50  # files of one sweep
GRACE = timedelta(hours=1)  # in which a sweep that was writing a deleted file's object has ended


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
def move() -> int:
    """Move bytes of clean files to the store, and delete objects whose files are gone; return how many were moved.

    The object is written and read back first, then the row is changed: a worker that dies in between leaves both, and
    the next finds the object. A file that is deleted meanwhile has left the key of its object.
    """
    if not storage.is_configured():
        return 0
    moved = 0
    with suppress(RemoteUnavailable):  # the next sweep tries again
        for held in FileContent.objects.movable().select_related("file")[:CHUNK]:
            storage.store().put(held.file.key, bytes(held.content))
            with suppress(NotFound):
                services.record_move(held.file, actor=SYSTEM)
                moved += 1
        for deleted in DeletedObject.objects.filter(deleted_at__lt=clock.now() - GRACE).order_by("id")[
            :CHUNK
        ]:
            storage.store().delete(deleted.key)
            services.forget_object(deleted, actor=SYSTEM)
    return moved


@shared_task
def purge() -> int:
    """Delete files that no row used within a day."""
    return int(services.purge(actor=SYSTEM))
