"""Adding and changing many commodities or varieties from a table, and telling what that would do."""

from collections.abc import Callable, Collection
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from apps.commodities import capabilities, events
from apps.commodities.models import Commodity, Variety
from apps.commodities.services import commodities, varieties
from apps.commodities.services.rules import Duplicate
from erp import access
from erp.access import Actor
from erp.errors import Conflict, DomainError, Fault, Invalid, PreconditionFailed, RuleBroken
from erp.files import Upload
from erp.jobs import tables
from erp.jobs.events import JobQueued
from erp.jobs.kinds import Done
from erp.jobs.models import Job
from erp.models import Model
from erp.reference import changes_of, default_of
from erp.services import Service, emit, service
from erp.text import name_key

IMPORTS: Final = "commodity.imports"  # the lock under which uploads are accepted


class FileHeader(RuleBroken):
    """The table's columns aren't those of an upload."""


class TooManyRows(RuleBroken):
    """The table has more rows than one upload takes."""


class FileDiffers(RuleBroken):
    """This isn't the file that was looked at before."""


class ImportInProgress(Conflict):
    """The same file is being worked through."""


@dataclass(frozen=True, kw_only=True)
class ImportTarget:
    """One sort of rows that a table can hold, and the services that it goes through."""

    model: type[Model]
    creates: Service
    updates: Service
    check: Callable[[Any], None]  # what both services ask of a row before it is saved
    fixed: tuple[str, ...]  # tell one row from another, for ever
    names: str  # the relation whose row a cell names by its code
    names_in: str = ""  # column within which a name is one row's alone; empty: everywhere
    single: str = ""  # mark that one row within ``names_in`` can bear
    second: type[DomainError] = Duplicate  # a second row that bears it

    @property
    def job(self) -> str:
        """The kind of job that works through such a table."""
        return f"commodity.import_{self.model._meta.model_name}"

    @property
    def rows(self) -> Any:
        """All rows, by their codes."""
        rows: Any = self.model._default_manager.select_related(self.names)
        return rows.order_by(*(f"{name}__code" if name == self.names else name for name in self.fixed))

    def find(self, values: dict[str, Any]) -> Any:
        """The row that the values name, locked, or None."""
        return self.rows.locked().filter(**{name: values[name] for name in self.fixed}).first()

    def key_of(self, row: Any) -> tuple[Any, ...]:
        """What tells the row from others."""
        return tuple(getattr(getattr(row, name), "pk", getattr(row, name)) for name in self.fixed)

    def new(self, values: dict[str, Any]) -> dict[str, Any]:
        """Keywords that add a row."""
        return {name: value for name, value in values.items() if name in self.creates.keywords}

    def replaced(self, row: Any, values: dict[str, Any], told: Collection[str]) -> dict[str, Any]:
        """Keywords that bring the row in line: an empty cell takes the default, a missing column changes nothing."""
        return {
            name: values[name]
            if name in values
            else default_of(self.model._meta.get_field(name))
            if name in told and name != "status"
            else getattr(row, name)
            for name in self.updates.keywords
        }


SORTS: Final = {
    "COMMODITIES": ImportTarget(
        model=Commodity,
        creates=commodities.create,
        updates=commodities.update,
        check=commodities.check,
        fixed=("code",),
        names="pricing_unit",
    ),
    "VARIETIES": ImportTarget(
        model=Variety,
        creates=varieties.create_variety,
        updates=varieties.update_variety,
        check=varieties.check,
        fixed=("commodity", "code"),
        names="commodity",
        names_in="commodity_id",
        single="is_standard",
        second=varieties.SecondStandard,
    ),
}


def take(sort: ImportTarget, values: dict[str, Any], *, told: Collection[str], actor: Actor) -> Done:
    """Add the row that the values tell of, or bring the one of that code in line.

    ``told`` are the columns of the table. Raises whatever the services raise, and Invalid for a version that
    isn't the row's.
    """
    row = sort.find(values)
    if row is None:
        _check_version(None, values)
        row = sort.creates(actor=actor, **sort.new(values))
        if values.get("status", row.status) != row.status:
            row = sort.updates(row, actor=actor, **sort.replaced(row, values, told))
        return Done("created", row.pk)
    _check_version(row, values)
    before = row.version
    row = sort.updates(row, actor=actor, **sort.replaced(row, values, told))
    return Done("unchanged" if row.version == before else "updated", row.pk)


def _check_version(row: Any, values: dict[str, Any]) -> None:
    """A version that the table tells is the row's."""
    version = values.get("version")
    if version is not None and (row is None or row.version != version):
        words = "There is no such row yet." if row is None else f"It is at {row.version} now."
        raise Invalid(errors=[Fault("/version", PreconditionFailed.code, words)])


class ImportPreview:
    """The rows of a sort as they would be after those that were looked at; nothing is written."""

    def __init__(self, sort: ImportTarget) -> None:
        self._sort = sort
        self._rows: dict[tuple[Any, ...], Any] = {}
        self._names: dict[tuple[Any, str], tuple[Any, ...]] = {}
        self._single: dict[Any, tuple[Any, ...]] = {}
        for row in sort.rows:
            self._keep(row)

    def foresee(
        self, values: dict[str, Any], *, told: Collection[str], actor: Actor
    ) -> tuple[str, dict[str, Any]]:
        """What ``take`` would do: create, update or unchanged, and the changes. Raises as it would."""
        sort = self._sort
        row: Any = sort.model(**sort.new(values))
        known = self._rows.get(sort.key_of(row))
        _check_version(known, values)
        if known is None:
            sort.check(row)
            self._check_unique(row)
            if values.get("status", row.status) != row.status:
                row.remember_as_stored()
                self._replace(row, values, told, actor)
            self._keep(row)
            return "create", {}
        row = copy(known)
        self._replace(row, values, told, actor)
        changes = changes_of(row)
        if not changes:
            return "unchanged", {}
        self._check_unique(row)
        row.version += 1
        self._keep(row)
        return "update", {name: change.model_dump() for name, change in changes.items()}

    def _replace(self, row: Any, values: dict[str, Any], told: Collection[str], actor: Actor) -> None:
        assert self._sort.updates.requires is not None
        access.authorize(actor, self._sort.updates.requires, row)
        for name, value in self._sort.replaced(row, values, told).items():
            setattr(row, name, value)
        self._sort.check(row)

    def _names_of(self, row: Any) -> set[tuple[Any, str]]:
        return {(self._scope(row), name_key(name)) for name in (row.name, *row.aliases)}

    def _scope(self, row: Any) -> Any:
        return getattr(row, self._sort.names_in) if self._sort.names_in else None

    def _check_unique(self, row: Any) -> None:
        """What the database's constraints would say."""
        key = self._sort.key_of(row)
        if self._bears_mark(row) and self._single.get(self._scope(row), key) != key:
            raise self._sort.second
        if any(self._names.get(name, key) != key for name in self._names_of(row)):
            raise Duplicate

    def _bears_mark(self, row: Any) -> bool:
        return bool(self._sort.single and getattr(row, self._sort.single))

    def _keep(self, row: Any) -> None:
        key = self._sort.key_of(row)
        if (before := self._rows.get(key)) is not None:
            for name in self._names_of(before):
                self._names.pop(name, None)
            if self._bears_mark(before):
                self._single.pop(self._scope(before), None)
        row.remember_as_stored()
        self._rows[key] = row
        self._names.update(dict.fromkeys(self._names_of(row), key))
        if self._bears_mark(row):
            self._single[self._scope(row)] = key


@service(requires=capabilities.CREATE, emits=[events.CommodityBulkImported])
def report_import(*, actor: Actor, job: Job) -> Job:
    """Tell how an upload ended, whatever the outcome."""
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
        *(sort.creates for sort in SORTS.values()),
        *(sort.updates for sort in SORTS.values()),
        report_import,
    ],
    advisory_lock=IMPORTS,
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

    The columns are those of the template. A code that is known changes that row: an empty cell takes the
    default, a column that isn't there leaves what is; a filled `version` must be the row's. With `atomic` all rows
    are taken or none, at most 2,000; with `partial` up to 10,000, and those that are refused stand in the job's
    errors. `expected_sha256` is that of the file which was previewed. With `check` the job changes nothing:
    its result lists what each row would do, its errors what is wrong with it.

    Of a workbook the first visible sheet is read. Cells must be text, or numbers in columns of numbers; formulas,
    dates and errors are refused.
    """
    if expected_sha256 is not None and expected_sha256 != file.sha256:
        raise FileDiffers("Look at the preview of this file first.", file_sha256=file.sha256)
    job = SORTS[kind].job
    same = Job.objects.filter(kind=job, file_sha256=file.sha256, status__in=Job.OPEN)
    running = same.exclude(mode=Job.Mode.CHECK).first()
    if running is not None and mode != Job.Mode.CHECK:
        raise ImportInProgress(f"It was sent at {running.created_at:%H:%M} UTC.")
    return tables.accept(job, actor=actor, file=file, mode=mode, parameters={"kind": kind})
