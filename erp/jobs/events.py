"""What others may learn of long work; what it did to each row is told by the rows' own events."""

from uuid import UUID

from erp.events import Event, event


@event("job.queued", version=1, aggregate=("job", "job_id"))
class JobQueued(Event):
    job_id: UUID
    kind: str
    total: int


@event("job.cancelled", version=1, aggregate=("job", "job_id"))
class JobCancelled(Event):
    job_id: UUID
    kind: str
