"""Upload of offers as a table: one job, one offer a row."""

from typing import Final

from apps.availability import capabilities, events
from apps.availability.services import offers
from erp.access import Actor
from erp.errors import RuleBroken
from erp.files import Upload
from erp.jobs import tables
from erp.jobs.events import JobQueued
from erp.jobs.models import Job
from erp.services import emit, service

KIND: Final = "availability.upload_offers"


class FileHeader(RuleBroken):
    """The columns of the file are not those of the template."""


class TooManyRows(RuleBroken):
    """The file has more rows than one upload allows."""


@service(requires=capabilities.CREATE, emits=[events.AvailabilityBulkUploaded])
def report_upload(*, actor: Actor, job: Job) -> Job:
    """Emit the outcome of an upload."""
    emit(events.AvailabilityBulkUploaded(job_id=job.pk, accepted=job.accepted, refused=job.refused))
    return job


@service(
    requires=capabilities.CREATE,
    emits=[JobQueued],
    raises=[FileHeader, TooManyRows],
    jobs=[offers.post, report_upload],
    label="Upload offers",
)
def bulk_upload(*, actor: Actor, file: Upload, mode: str = Job.Mode.ATOMIC) -> Job:
    """Upload offers from a file. The upload runs as a job.

    With `atomic` all rows are posted or none, at most 2,000; with `partial` up to 10,000, and refused rows are
    listed in the job's errors. With `check` the job changes nothing and lists what is wrong. Master data is named by
    its code; lots and quality are repeated columns, such as `lot_1_pr_from` and `q_micronaire`. A file may also be a
    list of at most 500 objects in JSON, whose members are the columns, all as text.
    """
    return tables.accept(KIND, actor=actor, file=file, mode=mode)
