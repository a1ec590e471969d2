"""Adding many places from a table, and telling how that ended."""

from typing import Final

from apps.locations import capabilities, events
from apps.locations.services.places import create
from erp.access import Actor
from erp.errors import RuleBroken
from erp.files import Upload
from erp.jobs import tables
from erp.jobs.events import JobQueued
from erp.jobs.models import Job
from erp.services import emit, service

IMPORT: Final = "location.import"  # the kind of job


class FileHeader(RuleBroken):
    """The table's columns aren't those of an import."""


class TooManyRows(RuleBroken):
    """The table has more rows than one import takes."""


@service(requires=capabilities.CREATE, emits=[events.LocationBulkImported])
def report_import(*, actor: Actor, job: Job) -> Job:
    """Tell how an import ended, whatever the outcome."""
    emit(
        events.LocationBulkImported(
            job_id=job.pk,
            outcome=job.status,
            total=job.total,
            created=job.tally.get("created", 0),
            existing=job.tally.get("existing", 0),
            refused=job.refused,
            file_sha256=job.file_sha256,
        )
    )
    return job


@service(
    requires=capabilities.CREATE,
    emits=[JobQueued],
    raises=[FileHeader, TooManyRows],
    jobs=[create, report_import],
    label="Import from a file",
)
def bulk_import(*, actor: Actor, file: Upload, mode: str = Job.Mode.ATOMIC) -> Job:
    """Import places from a CSV file. The import runs as a job.

    Columns: type, name and state; if wanted ref, parent_ref or parent_id, district, pincode, latitude, longitude,
    aliases (separated by semicolons), unlocode, customs_code, provider, provider_id. A `parent_ref` names the
    `ref` of an earlier row. With `atomic` all rows are added or none, at most 2,000; with `partial` up to 10,000,
    and those that are refused stand in the job's errors. With `check` the job changes nothing: its result lists the
    effect of each row, its errors what is wrong with it. A place that is there already is left as it is.
    """
    return tables.accept(IMPORT, actor=actor, file=file, mode=mode)
