"""Long work of the locations module."""

from typing import Any
from uuid import UUID

from apps.locations.models import Location
from apps.locations.serializers import ImportRow
from apps.locations.services import imports, places, rules
from erp.access import SYSTEM, Actor
from erp.api.serializers import invalid
from erp.errors import FieldError
from erp.jobs.kinds import RowResult, WorkRow
from erp.jobs.models import Job, JobRow
from erp.jobs.tables import TableKind
from erp.services import attempt


class ImportPlaces(TableKind):
    """A place a row, which may lie in that of an earlier row."""

    name, title = imports.IMPORT, "Import places"
    row = ImportRow
    accepted_by = imports.bulk_import
    wrong_header, too_many_rows = imports.FileHeader, imports.TooManyRows

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[str, int] = {}  # ref → number of the row that bears it first
        self._places: dict[int, UUID | None] = {}  # what rows with a ref led to in this turn

    def rows(self, job: Job, content: bytes) -> Any:
        for row in super().rows(job, content):
            if "ref" in row.values:
                self._numbers.setdefault(row.values["ref"], row.number)
            yield row

    def do(self, values: dict[str, Any], *, row: WorkRow, job: Job, actor: Actor) -> RowResult:
        ref, parent_ref = row.values.get("ref"), row.values.get("parent_ref")
        values = {name: value for name, value in values.items() if name not in ("ref", "parent_ref")}
        if ref is not None and self._numbers[ref] != row.number:
            raise invalid([FieldError("/ref", "doubled", "An earlier row has this ref.")])
        if parent_ref is not None:
            values["parent"] = self._parent(parent_ref, row, job)
        done = _added(values, actor)
        if ref is not None:
            self._places[row.number] = done.object_id
        return done

    def _parent(self, ref: str, row: WorkRow, job: Job) -> Location:
        """The place of the earlier row with that ref: added in this turn, or told by the job's books."""
        number = self._numbers.get(ref, row.number)
        if number < row.number:
            pk = self._places.get(number) or self._told(job, number)
            if pk is not None:
                return Location.objects.get(pk=pk)
        raise invalid(
            [FieldError("/parent_ref", "does_not_exist", "No earlier row with this ref was taken.")]
        )

    @staticmethod
    def _told(job: Job, number: int) -> UUID | None:
        return JobRow.objects.filter(job=job, number=number).values_list("object_id", flat=True).first()

    def finish(self, job: Job) -> None:
        if job.mode != Job.Mode.CHECK:
            imports.report_import(actor=SYSTEM, job=job)


def _added(values: dict[str, Any], actor: Actor) -> RowResult:
    try:
        with attempt():  # what a duplicate has claimed is given back
            place = places.create(actor=actor, source="import", **values)
    except rules.Duplicate as twin:
        return RowResult("existing", UUID(twin.members["location_id"]))
    return RowResult("existing" if place.existed else "created", place.pk)
