"""Import commodities and varieties from a file."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from apps.commodities import capabilities
from apps.commodities.events import imports as events
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.varieties import Variety
from apps.commodities.services import commodities, varieties
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid, PreconditionFailed, RuleBroken
from erp.files import Upload
from erp.jobs import tables
from erp.jobs.events import JobQueued
from erp.jobs.kinds import RowResult
from erp.jobs.models import Job
from erp.models import Model
from erp.reference import changes_of, default_of
from erp.services import Service, emit, service

IMPORTS: Final = "commodity.imports"  # the lock under which uploads are accepted


class FileHeader(RuleBroken):
    """The columns of the file are not those of the template."""


class TooManyRows(RuleBroken):
    """The file has more rows than one import allows."""


class FileDiffers(RuleBroken):
    """The file is not the one that was previewed."""


class ImportInProgress(Conflict):
    """The same file is being imported."""


@dataclass(frozen=True, kw_only=True)
class ImportTarget:
    """A kind of rows that can be imported, with the services that create and update them."""

    model: type[Model]
    creates: Service
    updates: Service
    fixed: tuple[str, ...]  # identify a row and can't change
    names: str  # the relation whose row a cell names by its code

    @property
    def job(self) -> str:
        """The kind of the import job."""
        return f"commodity.import_{self.model._meta.model_name}"

    @property
    def rows(self) -> Any:
        """All rows, by their codes."""
        rows: Any = self.model._default_manager.select_related(self.names)
        return rows.order_by(*(f"{name}__code" if name == self.names else name for name in self.fixed))

    def find(self, values: dict[str, Any]) -> Any:
        """The row that the values name, locked, or None."""
        rows: Any = self.model._default_manager
        return rows.locked().filter(**{name: values[name] for name in self.fixed}).first()

    def new(self, values: dict[str, Any]) -> dict[str, Any]:
        """Keywords that create a row."""
        return {name: value for name, value in values.items() if name in self.creates.keywords}

    def replaced(self, row: Any, values: dict[str, Any], columns: Collection[str]) -> dict[str, Any]:
        """Keywords that update the row: an empty cell sets the default, a missing column changes nothing."""
        return {
            name: values[name]
            if name in values
            else default_of(self.model._meta.get_field(name))
            if name in columns and name != "status"
            else getattr(row, name)
            for name in self.updates.keywords
        }


IMPORT_TARGETS: Final = {
    "COMMODITIES": ImportTarget(
        model=Commodity,
        creates=commodities.create,
        updates=commodities.update,
        fixed=("code",),
        names="pricing_unit",
    ),
    "VARIETIES": ImportTarget(
        model=Variety,
        creates=varieties.create_variety,
        updates=varieties.update_variety,
        fixed=("commodity", "code"),
        names="commodity",
    ),
}


def upsert_row(
    target: ImportTarget, values: dict[str, Any], *, columns: Collection[str], actor: Actor
) -> RowResult:
    """Create the row that the values describe, or update the one with its code.

    ``columns`` are those of the table. Raises whatever the services raise, and Invalid for a version that
    isn't the row's.
    """
    row = target.find(values)
    if row is None:
        _check_version(None, values)
        row = target.creates(actor=actor, **target.new(values))
        if values.get("status", row.status) != row.status:
            row = target.updates(row, actor=actor, **target.replaced(row, values, columns))
        return RowResult("created", row.pk)
    _check_version(row, values)
    updated = target.updates(row, actor=actor, **target.replaced(row, values, columns))
    if updated.version == row.version:
        return RowResult("unchanged", row.pk)
    for name in target.updates.keywords:
        setattr(row, name, getattr(updated, name))
    return RowResult(
        "updated", row.pk, {name: change.model_dump() for name, change in changes_of(row).items()}
    )


def _check_version(row: Any, values: dict[str, Any]) -> None:
    """Check that a version in the file is the row's."""
    version = values.get("version")
    if version is not None and (row is None or row.version != version):
        words = (
            "The row does not exist yet, so it has no version."
            if row is None
            else f"The current version is {row.version}."
        )
        raise Invalid(errors=[FieldError("/version", PreconditionFailed.code, words)])


@service(requires=capabilities.CREATE, emits=[events.CommodityBulkImported])
def report_import(*, actor: Actor, job: Job) -> Job:
    """Emit the outcome of an import."""
    emit(
        events.CommodityBulkImported(
            job_id=job.pk,
            kind=job.parameters["kind"],
            outcome=job.status,
            total=job.total,
            created=job.tally.get("created", 0),
            updated=job.tally.get("updated", 0),
            unchanged=job.tally.get("unchanged", 0),
            refused=job.refused,
            file_sha256=job.file_sha256,
        )
    )
    return job


@service(
    requires=capabilities.CREATE,
    emits=[JobQueued],
    raises=[FileHeader, TooManyRows, FileDiffers, ImportInProgress],
    jobs=[
        *(target.creates for target in IMPORT_TARGETS.values()),
        *(target.updates for target in IMPORT_TARGETS.values()),
        report_import,
    ],
    advisory_lock=IMPORTS,
    label="Import from a file",
)
def bulk_upload(
    *,
    actor: Actor,
    file: Upload,
    kind: str,
    mode: str = Job.Mode.ATOMIC,
    expected_sha256: str | None = None,
) -> Job:
    """Import commodities or varieties from a file. The import runs as a job.

    The columns are those of the template. A known code updates that row: an empty cell sets the default, a missing
    column changes nothing; a filled `version` must be the row's current version. With `atomic` all rows are imported
    or none, at most 2,000; with `partial` up to 10,000, and refused rows are listed in the job's errors.
    `expected_sha256` is the hash of the file that was previewed. With `check` the job changes nothing: its result
    lists the effect of each row, its errors what is wrong with it.

    Of a workbook the first visible sheet is read. Cells must be text, or numbers in columns of numbers; formulas,
    dates and errors are refused.
    """
    if expected_sha256 is not None and expected_sha256 != file.sha256:
        raise FileDiffers("Preview this file first.", file_sha256=file.sha256)
    job = IMPORT_TARGETS[kind].job
    same = Job.objects.filter(kind=job, file_sha256=file.sha256, status__in=Job.OPEN)
    running = same.exclude(mode=Job.Mode.CHECK).first()
    if running is not None and mode != Job.Mode.CHECK:
        raise ImportInProgress(f"The file was uploaded on {clock.local(running.created_at)}.")
    return tables.accept(job, actor=actor, file=file, mode=mode, parameters={"kind": kind})
