"""Limits on the work that a table causes while it is read: real bytes, lines, cells, characters, processor time.

A file can claim any size, row number or count. Nothing here depends on a claim: each limit counts what was
actually read, and reading stops at the first thing beyond it.
"""

import time
from dataclasses import dataclass
from typing import Final, Self

from django.conf import settings

MAX_COLUMNS: Final = 200
MAX_CELL_LENGTH: Final = 32_767  # characters; Excel's own limit


class LimitExceeded(Exception):
    """The table is larger than this reader may read. The text says which limit, for the user."""


@dataclass
class Budget:
    """What is left of each limit. ``size`` is in bytes as uploaded, ``unpacked`` in bytes after decompression,
    ``seconds`` in processor time of the reading thread.
    """

    size: int
    unpacked: int
    seconds: float
    lines: int = 20_000
    cells: int = 500_000
    characters: int = 10_000_000

    def __post_init__(self) -> None:
        self._limits = dict(vars(self))
        self._end = time.thread_time() + self.seconds

    @classmethod
    def for_request(cls) -> Self:
        """Small enough for a web request to read the table itself."""
        size = settings.TABLE_REQUEST_BYTES
        return cls(size=size, unpacked=10 * size, seconds=settings.TABLE_REQUEST_SECONDS)

    @classmethod
    def for_job(cls) -> Self:
        """Large enough for every table that an import accepts."""
        return cls(size=settings.API_FILE_LIMIT, unpacked=60_000_000, seconds=60.0)

    def spend(self, limit: str, amount: int = 1) -> None:
        """Count ``amount`` against a limit. Raises LimitExceeded."""
        left = getattr(self, limit) - amount
        setattr(self, limit, left)
        if left < 0:
            raise LimitExceeded(f"The table has more than {self._limits[limit]:,} {_UNITS[limit]}.")

    def check_columns(self, count: int) -> None:
        """``count``: column of the last cell with a value. Raises LimitExceeded."""
        if count > MAX_COLUMNS:
            raise LimitExceeded(f"The table has values in more than {MAX_COLUMNS} columns.")

    def check_time(self) -> None:
        """Raises LimitExceeded once the processor time is used up."""
        if time.thread_time() > self._end:
            raise LimitExceeded(f"The table takes more than {self.seconds:g} seconds to process.")


_UNITS: Final = {
    "size": "bytes",
    "unpacked": "bytes after decompression",
    "lines": "lines, counting empty ones; delete the empty lines",
    "cells": "cells, counting formatted empty ones; delete the empty columns and lines",
    "characters": "characters",
}
