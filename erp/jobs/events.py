"""What others may learn of long work; what it did to each row is told by the rows' own events."""

from uuid import UUID

from erp.events import ALL, EVERYONE, Event, event, rows_of
from erp.jobs import capabilities

rows_of("job", model="job.Job", reads=capabilities.VIEW)

OWNER = {EVERYONE: ALL}  # nobody outside the company sees another's job


@event("job.queued", version=1, aggregate=("job", "job_id"), readers=OWNER)
class JobQueued(Event):
    job_id: UUID
    kind: str
    total: int


@event("job.cancelled", version=1, aggregate=("job", "job_id"), readers=OWNER)
class JobCancelled(Event):
    job_id: UUID
    kind: str
