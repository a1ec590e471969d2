"""Tables that jobs work through: what is in their rows, and what is wrong with it.

A table has a header that names columns. Each row goes through an ``Input`` whose fields are the columns, so a
row is judged like a request of the API. Cells are text: nothing in them is evaluated.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO, TextIOWrapper
from typing import Any, ClassVar, Final

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from erp.api import fields
from erp.api.serializers import Input, faults_from, invalid
from erp.errors import Fault, RuleBroken
from erp.files import Upload
from erp.jobs import services
from erp.jobs.kinds import Done, Kind, Row, registry
from erp.jobs.models import Job

SEPARATOR: Final = ";"  # between the items of a list in one cell
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_FORMULA: Final = re.compile(r"'*[=+\-@]")


def guarded(text: str) -> str:
    """The text for a cell that no spreadsheet takes for a formula (api §6); ``plain`` undoes it."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def plain(cell: str) -> str:
    """The text that a cell stands for, trimmed."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def records(content: bytes) -> Iterator[list[str]]:
    """Records of a CSV in UTF-8, one after the other, so that a long one takes no memory. Raises Invalid."""
    lines = csv.reader(TextIOWrapper(BytesIO(content), encoding="utf-8-sig", newline=""), strict=True)
    try:
        for cells in lines:
            yield [plain(cell) for cell in cells]
    except csv.Error as error:
        words = f"Line {lines.line_num} can't be read: {error}."
        raise invalid([Fault("/file", "malformed", words)]) from None


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

    def do(self, values: dict[str, Any], *, row: Row, job: Job, actor: Any) -> Done:
        """Do one row, whose validated ``values`` are keywords of a service. Raises DomainError to refuse it."""
        raise NotImplementedError

    def rows(self, job: Job, content: bytes) -> Iterator[Row]:
        """The rows that hold anything; a row's number counts from the first below the header, blank ones too."""
        return self._rows(content)

    def apply(self, row: Row, *, job: Job, actor: Any) -> Done:
        """Judge the row as a request, then do it."""
        return self.do(self.validated(row, actor), row=row, job=job, actor=actor)

    def validated(self, row: Row, actor: Any) -> dict[str, Any]:
        """What the row says, as the input understands it. Raises Invalid with every fault."""
        input = self.row(context={"actor": actor})
        values = {name: _value(input.fields.get(name), text) for name, text in row.values.items()}
        try:
            return dict(input.run_validation(values))
        except ValidationError as fault:
            raise invalid(faults_from(fault.detail)) from None

    def measure(self, file: Upload, mode: str) -> int:
        """How many rows the table has. Raises Invalid, ``wrong_header`` or ``too_many_rows``."""
        total = sum(1 for _ in self._rows(file.content))
        if not total:
            raise invalid([Fault("/file", "empty", "The table has no rows.")])
        most = self.most_atomic if mode == Job.Mode.ATOMIC else self.most_rows
        if total > most:
            words = f"At most {most:,} rows in mode {mode}; the table has {total:,}."
            raise self.too_many_rows(words, errors=[Fault("/file", "too_long", words)])
        return total

    def _rows(self, content: bytes) -> Iterator[Row]:
        lines = records(content)
        names = [cell.casefold() for cell in next(lines, [])]
        while names and not names[-1]:
            names.pop()
        if faults := self._header_faults(names):
            raise self.wrong_header(errors=faults)
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


def _value(field: Any, text: str) -> Any:
    if isinstance(field, serializers.ListField):
        items = (item.strip() for item in text.split(SEPARATOR))
        return [fields.primitive(field.child, item) for item in items if item]
    return text if field is None else fields.primitive(field, text)


def accept(
    kind: str, *, actor: Any, file: Upload, mode: str, parameters: dict[str, Any] | None = None
) -> Job:
    """Queue the work on a table whose header and length are right; for the service that accepts it."""
    sort = registry[kind]
    assert issubclass(sort, TableKind)
    job: Job = services.queue(
        actor=actor,
        kind=kind,
        total=sort().measure(file, mode),
        mode=mode,
        parameters=parameters,
        file_name=file.name,
        file_sha256=file.sha256,
        content=file.content,
    )
    return job
