"""Tables that jobs work through: what is in their rows, and what is wrong with it.

A table has a header that names columns. Each row goes through an ``Input`` whose fields are the columns, so a
row is judged like a request of the API. Cells are text: nothing in them is evaluated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from erp.api import fields
from erp.api.serializers import Input, faults_from, invalid
from erp.errors import DomainError, Fault, RuleBroken
from erp.files import Upload
from erp.jobs import services
from erp.jobs.kinds import Done, Kind, Row, faults_of, registry
from erp.jobs.models import Job
from erp.jobs.sheets import items, records


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would become of a row: one word (create, update, unchanged, refused), its changes, its faults."""

    number: int
    word: str
    changes: dict[str, Any] = field(default_factory=dict)
    faults: list[dict[str, str]] = field(default_factory=list)


class TableKind(Kind, abstract=True):
    """Long work on the rows of a table.

    A subclass names the ``row`` input, whose required fields are the mandatory columns, and says what to ``do``
    with a row. ``wrong_header`` and ``too_many_rows`` are its module's problems with a table as a whole.
    """

    row: ClassVar[type[Input]]
    wrong_header: ClassVar[type[RuleBroken]]
    too_many_rows: ClassVar[type[RuleBroken]]
    most_rows: ClassVar[int] = 10_000
    most_atomic: ClassVar[int] = 2_000  # rows of one transaction

    def __init__(self) -> None:
        self.told: frozenset[str] = frozenset()  # columns of the table at hand, once its rows are being read
        self.known: dict[Any, Any] = {}  # what the input's fields found out and later rows can use

    def do(self, values: dict[str, Any], *, row: Row, job: Job, actor: Any) -> Done:
        """Do one row, whose validated ``values`` are keywords of a service. Raises DomainError to refuse it."""
        raise NotImplementedError

    def foresee(self, values: dict[str, Any], *, actor: Any) -> tuple[str, dict[str, Any]]:
        """What ``do`` would do, in a word, and with which changes; it writes nothing. Raises DomainError."""
        raise NotImplementedError

    def rows(self, job: Job, content: bytes) -> Iterator[Row]:
        """The rows that hold anything; a row's number counts from the first below the header, blank ones too."""
        return self.read(content)

    def apply(self, row: Row, *, job: Job, actor: Any) -> Done:
        """Judge the row as a request, then do it."""
        return self.do(self.validated(row, actor), row=row, job=job, actor=actor)

    def validated(self, row: Row, actor: Any) -> dict[str, Any]:
        """What the row says, as the input understands it. Raises Invalid with every fault."""
        input = self.row(context={"actor": actor, "known": self.known})
        values = {name: _value(input.fields.get(name), text) for name, text in row.values.items()}
        try:
            return dict(input.run_validation(values))
        except ValidationError as fault:
            raise invalid(faults_from(fault.detail)) from None

    def measure(self, file: Upload, mode: str) -> int:
        """How many rows the table has. Raises Invalid, ``wrong_header`` or ``too_many_rows``."""
        total = sum(1 for _ in self.read(file.content))
        if not total:
            raise invalid([Fault("/file", "empty", "The table has no rows.")])
        most = self.most_atomic if mode == Job.Mode.ATOMIC else self.most_rows
        if total > most:
            words = f"At most {most:,} rows in mode {mode}; the table has {total:,}."
            raise self.too_many_rows(words, errors=[Fault("/file", "too_long", words)])
        return total

    def read(self, content: bytes) -> Iterator[Row]:
        """The rows of a table. Raises Invalid, or ``wrong_header``."""
        lines = records(content)
        names = [cell.casefold() for cell in next(lines, [])]
        while names and not names[-1]:
            names.pop()
        if faults := self._header_faults(names):
            raise self.wrong_header(errors=faults)
        self.told = frozenset(names)
        for number, cells in enumerate(lines, start=1):
            if any(cells):
                yield Row(number, _by_column(names, cells))

    def _header_faults(self, names: Sequence[str]) -> list[Fault]:
        columns: Mapping[str, Any] = self.row().fields
        found = {
            "missing_column": [
                name for name, field in columns.items() if field.required and name not in names
            ],
            "unknown_column": [name for name in dict.fromkeys(names) if name not in columns],
            "doubled_column": [name for name in dict.fromkeys(names) if names.count(name) > 1],
        }
        return [
            Fault("/file", code, f"{code.replace('_', ' ').capitalize()}: {name or '(no name)'}.")
            for code, wrong in found.items()
            for name in wrong
        ]


def _by_column(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Cells that hold anything, by column; those beyond the header by their place, as no column is known there."""
    return {
        names[place] if place < len(names) else f"column {place + 1}": cell
        for place, cell in enumerate(cells)
        if cell
    }


def _value(column: Any, text: str) -> Any:
    if isinstance(column, serializers.ListField):
        return [fields.primitive(column.child, item) for item in items(text)]
    if isinstance(column, serializers.BooleanField):
        text = text.casefold()  # spreadsheets write TRUE
    return text if column is None else fields.primitive(column, text)


def accept(
    kind: str, *, actor: Any, file: Upload, mode: str, parameters: dict[str, Any] | None = None
) -> Job:
    """Queue the work on a table whose header and length are right; for the service that accepts it."""
    job: Job = services.queue(
        actor=actor,
        kind=kind,
        total=_reader(kind).measure(file, mode),
        mode=mode,
        parameters=parameters,
        file_name=file.name,
        file_sha256=file.sha256,
        content=file.content,
    )
    return job


def preview(kind: str, *, actor: Any, file: Upload) -> Iterator[Foreseen]:
    """What the work would do with each row, with the faults that it would find. Raises as ``accept`` does."""
    reader = _reader(kind)
    reader.measure(file, Job.Mode.PARTIAL)
    for row in reader.read(file.content):
        try:
            word, changes = reader.foresee(reader.validated(row, actor), actor=actor)
        except DomainError as problem:
            yield Foreseen(row.number, "refused", faults=faults_of(problem))
        else:
            yield Foreseen(row.number, word, changes)


def _reader(kind: str) -> TableKind:
    reader = registry[kind]()
    assert isinstance(reader, TableKind)
    return reader
