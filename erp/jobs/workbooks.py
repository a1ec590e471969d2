"""Reads the first visible sheet of a workbook (XLSX) as a stream, within a ``Budget``.

openpyxl can't be bounded: it makes a record for each row number that a file skips and unpacks all shared strings.
"""

import math
import posixpath
import re
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO
from typing import Any, Final, Self
from xml.parsers import expat

from erp.api.serializers import invalid
from erp.errors import DomainError, FieldError
from erp.jobs.limits import MAX_CELL_LENGTH, Budget, LimitExceeded

_MAX_ROW: Final = 1_048_576
_MAX_DEPTH: Final = 64
_MAX_TOKEN: Final = 1_000_000  # bytes of one tag: expat scans an unfinished one again with each chunk
_MAX_RANGES: Final = 100
_CHUNK: Final = 65_536
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_ESCAPE: Final = re.compile("_x([0-9A-Fa-f]{4})_")
_DATE_FORMATS: Final = frozenset(
    (*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59), *range(71, 82))
)
_PERCENT_FORMATS: Final = frozenset((9, 10))
_LITERAL: Final = re.compile(r'"[^"]*"|\\.|_.')  # parts of a number format that are shown as they stand

Line = tuple[int, list[str]]  # its number from 1, its cells


class TypedCell(str):
    """A cell that isn't text, as text: a number, percent, boolean, date, error or formula (``kind``)."""

    kind: str

    def __new__(cls, text: str, kind: str) -> Self:
        cell = super().__new__(cls, text)
        cell.kind = kind
        return cell


class _Malformed(Exception):
    """The workbook isn't what a spreadsheet program writes."""


def unreadable(detail: str, code: str = "malformed") -> DomainError:
    """The problem of a file that can't be read."""
    return invalid([FieldError("/file", code, detail)])


def read_lines(content: bytes, budget: Budget) -> Iterator[Line]:
    """The lines that the first visible sheet holds; line numbers without cells are left out.

    Raises Invalid for a workbook that can't be read, LimitExceeded for one that is too large.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            if len(archive.NameToInfo) < len(archive.infolist()):
                raise _Malformed("two parts of one name: programs differ in which of them they show")
            book = _Workbook(archive, budget)
            rows = _Rows(book, budget)
            for _ in book.parse(book.find_sheet(), rows):
                yield from rows.take()
    except (DomainError, LimitExceeded):
        raise
    except Exception:  # a damaged workbook fails in any of a dozen ways
        raise unreadable("The workbook can't be read.") from None


class _Handler:
    """Receives the elements of a part by their local names."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, name: str) -> None:
        """An element ends."""

    def text(self, data: str) -> None:
        """Characters of an element, in pieces."""


class _Workbook:
    """The parts of a workbook's archive."""

    def __init__(self, archive: zipfile.ZipFile, budget: Budget) -> None:
        self._archive, self._budget = archive, budget
        relations = _Elements("Relationship")
        self._load("xl/_rels/workbook.xml.rels", relations)
        self._targets: dict[str, tuple[str, str]] = {
            found["Id"]: (found["Type"].rpartition("/")[2], _resolve(found["Target"]))
            for found in relations.found
        }
        self.strings = self._shared_strings()
        self._load_styles()

    def find_sheet(self) -> str:
        """The part of the first visible sheet. Raises Invalid where every sheet is hidden."""
        sheets = _Elements("sheet")
        self._load("xl/workbook.xml", sheets)
        for sheet in sheets.found:
            kind, part = self._targets[sheet["id"]]
            if kind == "worksheet" and sheet.get("state", "visible") == "visible":
                return part
        raise unreadable("All sheets of the workbook are hidden; unhide the one to import.", "hidden_sheet")

    def parse(self, part: str, handler: _Handler) -> Iterator[None]:
        """Feed a part to the handler, piece by piece."""
        info = self._archive.getinfo(part)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Malformed(info.compress_type)
        depth = fed = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            if depth > _MAX_DEPTH:
                raise _Malformed("depth")
            handler.start(_local(name), {_local(key): value for key, value in attributes.items()})

        def end(name: str) -> None:
            nonlocal depth
            depth -= 1
            handler.end(_local(name))

        def refuse(*_: Any) -> None:
            raise _Malformed("document type")

        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = handler.text
        parser.StartDoctypeDeclHandler = refuse  # no entities, so no expansion
        with self._archive.open(info) as stream:
            while chunk := stream.read(_CHUNK):
                self._budget.spend("unpacked", len(chunk))
                self._budget.check_time()
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > _MAX_TOKEN:
                    raise _Malformed("tag")
                yield
            parser.Parse(b"", True)
            yield

    def _load(self, part: str, handler: _Handler) -> None:
        for _ in self.parse(part, handler):
            pass

    def _shared_strings(self) -> list[str]:
        strings = _Strings(self._budget)
        for kind, part in self._targets.values():
            if kind == "sharedStrings":
                self._load(part, strings)
        return strings.found

    def _load_styles(self) -> None:
        """Find the numbers of the cell styles that show a number as a date or time, and as a percentage."""
        from openpyxl.styles.numbers import is_date_format  # a tenth of a process's start

        styles = _Styles()
        for kind, part in self._targets.values():
            if kind == "styles":
                self._load(part, styles)
        shown = [styles.formats.get(number, number) for number in styles.cells]
        self.date_styles = frozenset(
            place
            for place, format in enumerate(shown)
            if (is_date_format(format) if isinstance(format, str) else format in _DATE_FORMATS)
        )
        self.percent_styles = frozenset(
            place
            for place, format in enumerate(shown)
            if ("%" in _LITERAL.sub("", format) if isinstance(format, str) else format in _PERCENT_FORMATS)
        )


class _Elements(_Handler):
    """The attributes of each element of one name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.found: list[dict[str, str]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == self._name:
            self.found.append(attributes)


class _Styles(_Handler):
    """Number formats by number, and the number of each cell style."""

    def __init__(self) -> None:
        self.formats: dict[int, str] = {}
        self.cells: list[int] = []
        self._in_cells = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            self.formats[int(attributes["numFmtId"])] = attributes["formatCode"][:255]
        elif name == "cellXfs":
            self._in_cells = True
        elif name == "xf" and self._in_cells:
            self.cells.append(int(attributes.get("numFmtId", 0)))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._in_cells = False


class _Text(_Handler):
    """Collects the text of ``t`` elements, of all runs of rich text, without phonetic hints."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.parts: list[str] = []
        self.length = 0
        self.collecting = self._phonetic = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "t":
            self.collecting = not self._phonetic
        elif name == "rPh":
            self._phonetic = True

    def end(self, name: str) -> None:
        if name == "t":
            self.collecting = False
        elif name == "rPh":
            self._phonetic = False

    def text(self, data: str) -> None:
        if self.collecting:
            self.length += len(data)
            if self.length > MAX_CELL_LENGTH:
                raise LimitExceeded(f"A cell has more than {MAX_CELL_LENGTH:,} characters.")
            self.budget.spend("characters", len(data))
            self.parts.append(data)

    def take_text(self) -> str:
        """What was collected, once."""
        text = "".join(self.parts)
        self.parts, self.length = [], 0
        return text


class _Strings(_Text):
    """The shared strings."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.found: list[str] = []

    def end(self, name: str) -> None:
        super().end(name)
        if name == "si":
            self.budget.spend("cells")
            self.found.append(_unescape(self.take_text()))


class _Rows(_Text):
    """The rows of a sheet, as far as it was fed."""

    def __init__(self, book: _Workbook, budget: Budget) -> None:
        super().__init__(budget)
        self._book = book
        self._ready: list[Line] = []
        self._in_data = False
        self._number = self._place = 0
        self._cells: dict[int, str] = {}
        self._cell: dict[str, str] = {}
        self._has_formula = False
        self._ranges: list[
            tuple[int, int, int, int]
        ] = []  # of array formulas: columns and rows, both inclusive

    def take(self) -> list[Line]:
        """The rows that are complete, once."""
        ready, self._ready = self._ready, []
        return ready

    def start(self, name: str, attributes: dict[str, str]) -> None:
        super().start(name, attributes)
        if name == "sheetData":
            self._in_data = True
        elif not self._in_data:
            self.collecting = False
        elif name == "row":
            self._start_row(attributes)
        elif name == "c":
            self._start_cell(attributes)
        elif name == "f":
            self._has_formula = True
            self._add_range(attributes.get("ref", ""))
        elif name == "v":
            self.collecting = True

    def end(self, name: str) -> None:
        super().end(name)
        if name == "sheetData":
            self._in_data = False
        elif not self._in_data:
            return
        elif name == "v":
            self.collecting = False
        elif name == "c":
            self._end_cell()
        elif name == "row":
            last = max(self._cells, default=0)
            self._ready.append((self._number, [self._cells.get(place, "") for place in range(1, last + 1)]))

    def _start_row(self, attributes: dict[str, str]) -> None:
        self.budget.spend("lines")
        number = int(attributes.get("r", self._number + 1))
        if not self._number < number <= _MAX_ROW:
            raise _Malformed("row number")
        self._number, self._place, self._cells = number, 0, {}
        self._ranges = [found for found in self._ranges if found[3] >= number]

    def _start_cell(self, attributes: dict[str, str]) -> None:
        self.budget.spend("cells")
        place = _place(attributes["r"])[0] if "r" in attributes else self._place + 1
        if place <= self._place:
            raise _Malformed("cell reference")
        self._place, self._cell, self._has_formula = place, attributes, False
        self.take_text()

    def _add_range(self, reference: str) -> None:
        """Only the first cell of an array formula or a data table holds it; the others hold its results."""
        first, _, last = reference.partition(":")
        if not last or first == last:
            return
        (left, top), (right, bottom) = _place(first), _place(last)
        self._ranges.append((left, right, top, bottom))
        if len(self._ranges) > _MAX_RANGES:
            raise LimitExceeded(f"The sheet has more than {_MAX_RANGES} array formulas.")

    def _end_cell(self) -> None:
        value = self._value(self.take_text())
        if not value:
            return
        self.budget.check_columns(self._place)
        self._cells[self._place] = value

    def _value(self, text: str) -> str:
        if self._has_formula or any(
            left <= self._place <= right and top <= self._number <= bottom
            for left, right, top, bottom in self._ranges
        ):
            return TypedCell(text or "=", "formula")
        kind = self._cell.get("t", "n")
        if kind in ("inlineStr", "str"):
            return _unescape(text)
        if not text:
            return ""
        if kind == "s":
            if not text.isdecimal():
                raise _Malformed("string number")
            shared = self._book.strings[int(text)]
            self.budget.spend("characters", len(shared))
            return shared
        if kind == "b":
            return TypedCell("true" if text == "1" else "false", "boolean")
        if kind == "e":
            return TypedCell(text, "error")
        if kind == "d" or (kind == "n" and int(self._cell.get("s", 0)) in self._book.date_styles):
            return TypedCell(text, "date")
        if kind != "n":
            raise _Malformed("cell type")
        if int(self._cell.get("s", 0)) in self._book.percent_styles:
            return TypedCell(text, "percent")
        number = _number(text)
        return TypedCell(text, "error") if number is None else TypedCell(number, "number")


def _number(text: str) -> str | None:
    """The shortest decimal that means the stored double: what the sheet shows, without its binary tail.

    None for what is no finite number.
    """
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        return None
    number = Decimal(repr(float(text)))
    return f"{number.normalize() if number == number.to_integral_value() else number:f}"


def _place(reference: str) -> tuple[int, int]:
    """Column and row of a cell reference such as ``B7``."""
    match = _REFERENCE.fullmatch(reference.replace("$", ""))
    if match is None:
        raise _Malformed("cell reference")
    column = 0
    for letter in match[1]:
        column = column * 26 + ord(letter) - 64
    return column, int(match[2])


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _resolve(target: str) -> str:
    return target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"xl/{target}")
