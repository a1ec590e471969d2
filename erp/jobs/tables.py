"""Tables that jobs work through: what is in their rows, and what is wrong with it.

A table has a header that names columns. Each row goes through an ``Input`` whose fields are the columns, so a
row is judged like a request of the API. Cells are text, or numbers in columns of numbers: nothing is evaluated.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from django.conf import settings
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from erp.access import Actor
from erp.api import fields
from erp.api.faults import escape
from erp.api.serializers import Input, faults_from, invalid
from erp.errors import DomainError, FieldError, RuleBroken
from erp.files import Upload
from erp.jobs import services
from erp.jobs.kinds import JobKind, Outcome, RowResult, WorkRow, registry
from erp.jobs.limits import Budget, LimitExceeded
from erp.jobs.models import Job
from erp.jobs.sheets import items, records
from erp.jobs.workbooks import TypedCell
from erp.services import Service, dry_run


class TableKind(JobKind, abstract=True):
    """Long work on the rows of a table.

    A subclass names the ``row`` input, whose required fields are the mandatory columns, and says what to ``do``
    with a row. ``accepted_by`` is the service that accepts a file in the portal, if any.
    ``wrong_header`` and ``too_many_rows`` are its module's problems with a table as a whole.
    """

    row: ClassVar[type[Input]]
    accepted_by: ClassVar[Service | None] = None
    wrong_header: ClassVar[type[RuleBroken]]
    too_many_rows: ClassVar[type[RuleBroken]]
    most_rows: ClassVar[int] = 10_000
    most_atomic: ClassVar[int] = 2_000  # rows of one transaction

    def __init__(self) -> None:
        self.given_columns: frozenset[str] = (
            frozenset()
        )  # columns of the table at hand, once its rows are being read
        # One input reads all rows; ``known`` is what its fields found out and later rows can use.
        self._context: dict[str, Any] = {"known": {}}
        self._input = self.row(context=self._context)

    @classmethod
    def columns(cls) -> list[str]:
        """The columns that a table may have, mandatory ones first."""
        fields = cls.row().fields
        return sorted(fields, key=lambda name: not fields[name].required)

    def do(self, values: dict[str, Any], *, row: WorkRow, job: Job, actor: Actor) -> RowResult:
        """Do one row, whose validated ``values`` are keywords of a service. Raises DomainError to refuse it."""
        raise NotImplementedError

    def rows(self, job: Job, content: bytes) -> Iterator[WorkRow]:
        try:
            return iter(self.read(content, job.mode, Budget.for_job()))
        except LimitExceeded as error:
            raise too_large(str(error)) from None

    def apply(self, row: WorkRow, *, job: Job, actor: Actor) -> RowResult:
        """Validate the row like a request, then do it."""
        return self.do(self.validated(row, actor), row=row, job=job, actor=actor)

    def validated(self, row: WorkRow, actor: Actor) -> dict[str, Any]:
        """What the row says, as the input understands it. Raises Invalid with every fault."""
        input = self._input
        self._context["actor"] = actor
        faults = [fault for name, text in row.values.items() if (fault := _cell_fault(name, text, input))]
        values = {name: _value(input.fields.get(name), text) for name, text in row.values.items()}
        try:
            data = dict(input.run_validation(values))
        except ValidationError as fault:
            data, places = {}, {fault.pointer for fault in faults}
            faults += [fault for fault in faults_from(fault.detail) if fault.pointer not in places]
        if faults:
            raise invalid(faults)
        return data

    def read(self, content: bytes, mode: str, budget: Budget) -> list[WorkRow]:
        """The rows that hold anything; a row's number counts from the first below the header, blank ones too.

        Reading stops at the first row too many. Raises Invalid, ``wrong_header``, ``too_many_rows`` or
        LimitExceeded.
        """
        lines = records(content, budget)
        number, cells = next(lines, (1, []))
        names = [_name(cell) for cell in cells] if number == 1 else []
        while names and not names[-1]:
            names.pop()
        if faults := self._header_faults(names):
            raise self.wrong_header(errors=faults)
        self.given_columns = frozenset(names)
        most = self.most_atomic if mode == Job.Mode.ATOMIC else self.most_rows
        rows: list[WorkRow] = []
        for number, cells in lines:
            if not any(cells):
                continue
            if len(rows) == most:
                words = f"A table has at most {most:,} rows in mode {mode}."
                raise self.too_many_rows(words, errors=[FieldError("/file", "too_long", words)])
            rows.append(WorkRow(number - 1, _by_column(names, cells)))
        if not rows:
            raise invalid([FieldError("/file", "empty", "The table has no rows.")])
        return rows

    def _header_faults(self, names: Sequence[str]) -> list[FieldError]:
        columns: Mapping[str, Any] = self._input.fields
        found = {
            "missing_column": [
                name for name, field in columns.items() if field.required and name not in names
            ],
            "unknown_column": [name for name in dict.fromkeys(names) if name not in columns],
            "doubled_column": [name for name in dict.fromkeys(names) if names.count(name) > 1],
        }
        return [
            FieldError("/file", code, f"{code.replace('_', ' ').capitalize()}: {name or '(no name)'}.")
            for code, wrong in found.items()
            for name in wrong
        ]


def _name(cell: str) -> str:
    """The column that a cell of the header names; what isn't text names none."""
    return f"({cell.kind})" if isinstance(cell, TypedCell) else cell.casefold()


def _by_column(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Cells that hold anything, by column; the first beyond the header by its place, as it has no column."""
    values = {name: cell for name, cell in zip(names, cells, strict=False) if cell}
    surplus = next((place for place in range(len(names), len(cells)) if cells[place]), None)
    if surplus is not None:
        values[f"column {surplus + 1}"] = cells[surplus]
    return values


def _cell_fault(name: str, cell: str, input: Input) -> FieldError | None:
    """What is wrong with a cell that isn't text: only numbers and booleans count, in columns of theirs."""
    if not isinstance(cell, TypedCell) or isinstance(input.fields.get(name), _COLUMNS.get(cell.kind, ())):
        return None
    return FieldError(f"/{escape(name)}", f"{cell.kind}_cell", _CELL_FAULTS[cell.kind])


_COLUMNS: Final[dict[str, tuple[type[Any], ...]]] = {
    "number": (serializers.IntegerField, serializers.DecimalField, serializers.FloatField),
    "boolean": (serializers.BooleanField,),
}
_CELL_FAULTS: Final = {
    "number": "The cell holds a number. Format the column as text and enter the value again.",
    "boolean": "The cell holds TRUE or FALSE, which this column doesn't take.",
    "percent": "The cell holds a percentage, which is stored as a fraction. Format the column as text and enter the "
    "value again.",
    "date": "The cell holds a date. Format the column as text and enter the value again.",
    "error": "The cell holds an error such as #REF!, or no finite number.",
    "formula": "The cell holds a formula. Replace it with its value.",
}


def _value(column: Any, text: str) -> Any:
    if isinstance(column, serializers.ListField):
        return [fields.primitive(column.child, item) for item in items(text)]
    if isinstance(column, serializers.BooleanField):
        text = text.casefold()  # spreadsheets write TRUE
    return text if column is None else fields.primitive(column, text)


def accept(
    kind: str, *, actor: Actor, file: Upload, mode: str, parameters: dict[str, Any] | None = None
) -> Job:
    """Queue the work on a table; for the service that accepts it.

    A table that a request may read has its header and length checked here. The job reads a larger one, counts its
    rows and fails where header or length are wrong.
    """
    try:
        total = len(_reader(kind).read(file.content, mode, Budget.for_request()))
    except LimitExceeded:
        total = 0
    job: Job = services.queue(
        actor=actor,
        kind=kind,
        total=total,
        mode=mode,
        parameters=parameters,
        file_name=file.name,
        file_sha256=file.sha256,
        content=file.content,
    )
    return job


def preview(kind: str, *, actor: Actor, file: Upload) -> list[Outcome]:
    """Do the work on each row and undo it: what it would do, and the faults that it would find.

    Raises as ``accept`` does, and Invalid for a table that is too large for a request.
    """
    reader, budget = _reader(kind), Budget.for_request()
    job = Job(kind=kind, mode=Job.Mode.CHECK)
    try:
        rows = reader.read(file.content, Job.Mode.PARTIAL, budget)
        if len(rows) > settings.TABLE_REQUEST_ROWS:
            raise LimitExceeded(f"The table has more than {settings.TABLE_REQUEST_ROWS:,} rows.")
        with dry_run(actor, timeout=settings.TRANSACTION_TIMEOUT):
            outcomes = []
            for row in rows:
                budget.check_time()
                outcomes.append(reader.attempt(row, job=job, actor=actor))
            return outcomes
    except LimitExceeded as error:
        raise too_large(f"{error} Upload it in mode check: a job then checks it.") from None


def too_large(detail: str) -> DomainError:
    """The problem of a table beyond a limit."""
    return invalid([FieldError("/file", "too_large", detail)])


def _reader(kind: str) -> TableKind:
    reader = registry[kind]()
    assert isinstance(reader, TableKind)
    return reader
