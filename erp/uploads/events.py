"""Events of uploaded files: sizes and ids, never a name or content."""

from uuid import UUID

from erp.events import Event, event


@event("upload.created", version=1, aggregate=("upload", "upload_id"), readers={})
class UploadCreated(Event):
    upload_id: UUID
    purpose: str
    media_type: str
    size: int


@event("upload.scanned", version=1, aggregate=("upload", "upload_id"), readers={})
class UploadScanned(Event):
    upload_id: UUID
    scan_status: str


@event("upload.stored", version=1, aggregate=("upload", "upload_id"), readers={})
class UploadStored(Event):
    upload_id: UUID


@event("upload.expired", version=1, aggregate=("upload", "upload_id"), readers={})
class UploadExpired(Event):
    upload_id: UUID
