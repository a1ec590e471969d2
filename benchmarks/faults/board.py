"""Numbers that the harness's processes share while they run, in a file that each of them maps."""

import mmap
import struct
from enum import IntEnum
from pathlib import Path

WRITERS = 4  # at most


class BoardSlot(IntEnum):
    """The position of each number; one process writes each."""

    ALLOWED = 0  # events that the writers may have committed by now, all together
    DELIVERIES = 1
    IDLE = 2  # looks of the checker at an empty subscription
    COMMITTED = 8  # acknowledged events of writer 0; the next writers follow
    DOUBTFUL = COMMITTED + WRITERS  # events of transactions whose end the writer didn't learn
    ABANDONED = DOUBTFUL + WRITERS  # events that were rolled back


class Board:
    """A fixed row of 64-bit numbers. Reading is always current; there is nothing to lock."""

    _NUMBER = struct.Struct("q")
    _BYTES = 64 * _NUMBER.size

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(self._BYTES))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), self._BYTES)

    def __getitem__(self, slot: int) -> int:
        return int(self._NUMBER.unpack_from(self._memory, slot * self._NUMBER.size)[0])

    def __setitem__(self, slot: int, value: int) -> None:
        self._NUMBER.pack_into(self._memory, slot * self._NUMBER.size, value)

    def total(self, first: int) -> int:
        """Sum over the writers of the numbers that begin at ``first``."""
        return sum(self[first + writer] for writer in range(WRITERS))
