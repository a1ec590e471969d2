"""Services of uploaded files."""

from datetime import timedelta
from typing import Final

from erp import clock
from erp.access import Actor
from erp.errors import RuleBroken
from erp.files import Upload
from erp.services import emit, service
from erp.uploads import capabilities, events, storage
from erp.uploads.models import DeletedObject, FileContent, StoredFile

LIFE: Final = timedelta(hours=24)  # of a file that no row uses
PURGED_AT_ONCE: Final = 500


class FileUsed(RuleBroken):
    """The upload is not yours, was used already, or is for another purpose."""

    code = "upload.file_used"


@service(requires=capabilities.CREATE, emits=[events.UploadCreated])
def create(*, actor: Actor, file: Upload, purpose: str, used_by: str = "") -> StoredFile:
    """Store a file. It is deleted after 24 hours unless a row uses it."""
    stored = StoredFile(
        created_by_id=actor.pk,
        purpose=purpose,
        name=file.name,
        media_type=file.media_type,
        size=len(file.content),
        sha256=file.sha256,
        used_by=used_by,
        expires_at=clock.now() + LIFE,
    )
    stored.save()
    FileContent(file=stored, content=file.content).save()
    emit(
        events.UploadCreated(
            upload_id=stored.pk, purpose=purpose, media_type=stored.media_type, size=stored.size
        )
    )
    return stored


@service(
    requires=capabilities.CREATE,
    machinery="the row that uses the file has its own event",
    raises=[FileUsed],
    requires_transaction=True,
)
def use(stored: StoredFile, *, actor: Actor, purpose: str, used_by: str) -> StoredFile:
    """Let a row use an upload of the actor's, once. ``used_by`` is the label of the row's model."""
    if stored.used_by or stored.created_by_id != actor.pk or stored.purpose != purpose:
        raise FileUsed
    stored.used_by = used_by
    stored.save()
    return stored


@service(requires=capabilities.CREATE, emits=[events.UploadScanned])
def record_scan(stored: StoredFile, *, actor: Actor, clean: bool) -> StoredFile:
    """Record the scanner's result, the first one."""
    if stored.scan_status == StoredFile.Scan.PENDING:
        stored.scan_status = StoredFile.Scan.CLEAN if clean else StoredFile.Scan.REFUSED
        stored.save()
        emit(events.UploadScanned(upload_id=stored.pk, scan_status=stored.scan_status))
    return stored


@service(requires=capabilities.CREATE, emits=[events.UploadExpired], requires_transaction=True)
def erase(stored: StoredFile, *, actor: Actor) -> None:
    """Delete a file whose row is erased, in the transaction that does it."""
    _delete(stored)


@service(requires=capabilities.CREATE, emits=[events.UploadExpired])
def purge(*, actor: Actor) -> int:
    """Delete files that no row used in time; return how many."""
    unused = list(StoredFile.objects.unused(clock.now()).locked().order_by("pk")[:PURGED_AT_ONCE])
    for stored in unused:
        _delete(stored)
    return len(unused)


def _delete(stored: StoredFile) -> None:
    """Delete the file with its bytes; an object in the store is deleted later, since a store knows no transaction."""
    key = stored.pk
    if storage.is_configured() or FileContent.objects.filter(file=stored, content=None).exists():
        DeletedObject(key=stored.key).save()
    stored.delete()
    emit(events.UploadExpired(upload_id=key))


@service(requires=capabilities.CREATE, emits=[events.UploadStored])
def record_move(stored: StoredFile, *, actor: Actor) -> StoredFile:
    """Note that the bytes are in the store, which was read back before; the database forgets its own."""
    held = FileContent.objects.locked().get(file=stored)
    if held.content is not None:
        held.content, held.storage_key = None, stored.key
        held.save()
        emit(events.UploadStored(upload_id=stored.pk))
    return stored


@service(requires=capabilities.CREATE, machinery="bookkeeping of the store")
def forget_object(deleted: DeletedObject, *, actor: Actor) -> None:
    """Note that an object is gone from the store."""
    deleted.delete()
