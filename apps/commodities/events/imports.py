"""Events of uploads."""

from uuid import UUID

from erp.events import ALL, EVERYONE, Event, event


@event("commodity.bulk_imported", version=1, aggregate=("job", "job_id"), readers={EVERYONE: ALL})
class CommodityBulkImported(Event):
    job_id: UUID
    kind: str
    outcome: str
    total: int
    created: int
    updated: int
    unchanged: int
    refused: int
    file_sha256: str
