"""Tables as CSV, whose cells no spreadsheet takes for a formula."""

import csv
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

SEPARATOR: Final = ";"  # between the items of a list in one cell
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_BYTE_ORDER_MARK: Final = "\ufeff"  # without it Excel reads a CSV in the code page of its machine


def guarded(text: str) -> str:
    """The text for a cell that no spreadsheet takes for a formula (api §6); ``plain`` undoes it."""
    return f"'{text}" if FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def cell(value: Any) -> str:
    """The cell that reads back as the value: a list's items, ``true`` and ``false``, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return guarded(SEPARATOR.join(re.sub(r"([\\;])", r"\\\1", str(item)) for item in value))
    return guarded(f"{value:f}" if isinstance(value, Decimal) else str(value))


class _Line:
    """A file that hands back what is written to it."""

    @staticmethod
    def write(text: str) -> str:
        return text


def as_csv(lines: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Return lines of values as the text of a CSV, line by line."""
    writer = csv.writer(_Line())
    yield _BYTE_ORDER_MARK
    for line in lines:
        yield writer.writerow([cell(value) for value in line])
