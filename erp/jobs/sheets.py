"""Tables as files, both ways: CSV in UTF-8, and the first visible sheet of a workbook; lists in JSON are read, too."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO, TextIOWrapper
from typing import Any, Final

from erp.api.parsers import parse_json
from erp.csv_files import FORMULA, cell
from erp.errors import Malformed
from erp.jobs.limits import MAX_COLUMNS, Budget
from erp.jobs.workbooks import Line, TypedCell, read_lines, unreadable

MOST_JSON: Final = 500
_WORDS: Final = {None: "", True: "true", False: "false"}
_ITEM: Final = re.compile(r"(?:[^\\;]|\\.)+")


def plain(cell: str) -> str:
    """The text that a cell stands for, trimmed."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def items(text: str) -> list[str]:
    r"""The items of a list in one cell; a semicolon that belongs to an item stands as ``\;``."""
    found = (re.sub(r"\\([\\;])", r"\1", item).strip() for item in _ITEM.findall(text))
    return [item for item in found if item]


def records(content: bytes, budget: Budget) -> Iterator[Line]:
    """The lines of a table with their numbers, one after the other; what a workbook skips is left out.

    Raises Invalid for a file that can't be read, LimitExceeded for one beyond the budget.
    """
    budget.spend("size", len(content))
    if content.lstrip()[:1] == b"[":
        yield from _of_json(content, budget)
        return
    if not content.startswith(b"PK"):
        yield from _of_csv(content, budget)
        return
    for number, cells in read_lines(content, budget):
        yield number, [cell if isinstance(cell, TypedCell) else plain(cell) for cell in cells]


def _of_csv(content: bytes, budget: Budget) -> Iterator[Line]:
    lines = csv.reader(TextIOWrapper(BytesIO(content), encoding="utf-8-sig", newline=""), strict=True)
    try:
        for number, cells in enumerate(lines, start=1):
            budget.spend("lines")
            budget.spend("cells", len(cells))
            budget.spend("characters", sum(map(len, cells)))
            budget.check_time()
            if len(cells) > MAX_COLUMNS:
                budget.check_columns(max(place for place, cell in enumerate(["x", *cells]) if cell.strip()))
            yield number, [plain(cell) for cell in cells]
    except csv.Error as error:
        raise unreadable(f"Line {lines.line_num} can't be read: {error}.") from None


def _of_json(content: bytes, budget: Budget) -> Iterator[Line]:
    """The rows of a list of objects: members are columns, values text, true, false or null. At most ``MOST_JSON``."""
    try:
        rows = parse_json(content, depth=2)
    except Malformed as error:
        raise unreadable(error.detail) from None
    shapes = (isinstance(row, dict) and all(_is_cell(value) for value in row.values()) for row in rows)
    if not all(shapes):
        raise unreadable("Send a list of objects whose members are text, true, false or null.")
    if len(rows) > MOST_JSON:
        raise unreadable(f"A list in JSON has at most {MOST_JSON} rows. Send more as CSV.", "too_long")
    names = list(dict.fromkeys(name for row in rows for name in row))
    budget.spend("lines", len(rows) + 1)
    budget.spend("cells", len(names) * (len(rows) + 1))
    budget.check_columns(len(names))
    yield 1, names
    for number, row in enumerate(rows, start=2):
        cells = [_WORDS.get(row.get(name), row.get(name)) for name in names]
        budget.spend("characters", sum(map(len, cells)))
        yield number, [cell.strip() for cell in cells]


def _is_cell(value: Any) -> bool:
    return value is None or isinstance(value, str | bool)


# What XML can't hold or wouldn't give back, and text that reads like its escape (ISO 29500-1, 22.9.2.19).
_NOT_XML: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def as_workbook(lines: Iterable[Iterable[Any]], notes: Mapping[str, str] | None = None) -> bytes:
    """Return lines of values as a workbook of one sheet; ``notes`` describe columns, shown at the header's cells."""
    import openpyxl  # a tenth of a process's start, for what few processes do

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Rows")
    for number, line in enumerate(lines):
        texts = [_NOT_XML.sub(lambda match: f"_x{ord(match[0]):04X}_", cell(value)) for value in line]
        sheet.append([_noted(sheet, text, notes) for text in texts] if notes and not number else texts)
    packed = BytesIO()
    book.save(packed)
    return packed.getvalue()


def _noted(sheet: Any, name: str, notes: Mapping[str, str]) -> Any:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.comments import Comment

    header = WriteOnlyCell(sheet, name)
    if name in notes:
        header.comment = Comment(notes[name], "Cotton ERP", width=320, height=120)
    return header
