"""The log on disk from which a restarted server takes up again: append, group commit, compaction.

A folder holds numbered logs. ``N.snapshot`` is the state before the first record of ``N.log``; recovery reads
the newest snapshot and then every log from its number on. A record is length, CRC-32, kind, name and body.
"""

import asyncio
import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

logger = logging.getLogger(__name__)

HEADER = struct.Struct("<II")  # length of what follows, its CRC-32
NAME = struct.Struct("<cH")  # kind, length of the name


class JournalRecord(NamedTuple):
    """One change: its kind (one byte), the resource's name, and a body that depends on the kind."""

    kind: bytes
    name: str
    body: bytes = b""

    def encode(self) -> bytes:
        """Return the record as written to the file."""
        name = self.name.encode()
        content = b"".join((NAME.pack(self.kind, len(name)), name, self.body))
        return HEADER.pack(len(content), zlib.crc32(content)) + content


class Damaged(Exception):
    """A journal file holds something other than what was written; it needs a person."""


class Journal:
    """Stores records in order, on disk before a request is answered. Used in one event loop.

    ``fsync=False`` leaves flushing to the kernel: that survives the death of the process, not of the machine.
    Once the logs hold more than ``compact_bytes`` and twice the last snapshot, ``snapshot()`` is called for
    records that describe the state at that moment; they are consumed in another thread.
    A write that fails ends up in ``broken``: what is in memory can then no longer be trusted.
    """

    def __init__(self, folder: Path, *, fsync: bool = True, compact_bytes: int = 64 * 2**20) -> None:
        """Open the folder (made if missing). Raises ``BlockingIOError`` when another server holds it."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.snapshot: Callable[[], Iterable[JournalRecord]] | None = None
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._folder, self._fsync, self._compact_bytes = folder, fsync, compact_bytes
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._file: BinaryIO | None = None
        self._buffer: list[bytes] = []
        self._next: asyncio.Future[None] | None = None  # done once the buffer is on disk
        self._flushing = self._compacting = False
        self._number = self._bytes = self._snapshot_bytes = 0

    def replay(self) -> Iterator[JournalRecord]:
        """All records since the newest snapshot, less a torn last one; call once, before ``append``."""
        snapshots = sorted(self._folder.glob("*.snapshot"))
        first = int(snapshots[-1].stem) if snapshots else 0
        logs = [path for path in sorted(self._folder.glob("*.log")) if int(path.stem) >= first]
        if snapshots:
            yield from self._read(snapshots[-1], last=False)
            self._snapshot_bytes = snapshots[-1].stat().st_size
        for path in logs:
            yield from self._read(path, last=path == logs[-1])
            self._bytes += path.stat().st_size
        self._number = int(logs[-1].stem) if logs else first
        self._open()
        self._remove_before(first)

    def append(self, record: JournalRecord) -> None:
        """Add a record; it is written in the background, and ``flushed`` waits for it."""
        self._buffer.append(record.encode())
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            # A failure is reported through ``broken``, because this write may have no waiter.
            self._next.add_done_callback(asyncio.Future.exception)
            if not self._flushing:
                self._flushing = True
                asyncio.get_running_loop().call_soon(self._flush)

    async def flushed(self) -> None:
        """Wait until what was just appended is on disk. Raises ``OSError`` when that can't be done."""
        if self._next is not None:
            # The caller may be cancelled; the others of its group still wait.
            await asyncio.shield(self._next)

    async def close(self) -> None:
        """Write what is left and let go of the folder."""
        while self._flushing:
            await asyncio.sleep(0.001)
        self._pool.shutdown()
        if self._file:
            self._file.close()
        os.close(self._lock)

    def _flush(self) -> None:
        """Write the buffer; whatever is appended meanwhile goes out together in the next round."""
        loop = asyncio.get_running_loop()
        (data, self._buffer), (waiting, self._next) = (b"".join(self._buffer), []), (self._next, None)
        assert waiting is not None

        def written(done: "asyncio.Future[None]") -> None:
            error = done.exception()
            if error is None:
                waiting.set_result(None)
                self._compact_when_due()
            else:
                waiting.set_exception(error)
                self._break(error)
            self._flushing = self._next is not None
            if self._flushing:
                self._flush()

        if self._fsync:
            loop.run_in_executor(self._pool, self._write, data).add_done_callback(written)
            return
        done: asyncio.Future[None] = loop.create_future()
        try:
            self._write(data)
            done.set_result(None)
        except OSError as error:
            done.set_exception(error)
        written(done)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        self._file.write(data)
        self._file.flush()
        if self._fsync:
            os.fdatasync(self._file.fileno())
        self._bytes += len(data)

    def _compact_when_due(self) -> None:
        """Close this log, open the next and write the state between the two as its snapshot."""
        small = self._bytes <= self._compact_bytes + 2 * self._snapshot_bytes
        if small or self._compacting or self.snapshot is None:
            return
        try:
            self._write(b"".join(self._buffer))  # already part of the state
            self._buffer.clear()
            self._number, self._bytes = self._number + 1, 0
            self._open()
        except OSError as error:
            self._break(error)
            return
        self._compacting = True
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(None, self._write_snapshot, self._number, self.snapshot())

        def compacted(done: "asyncio.Future[None]") -> None:
            self._compacting = False
            if error := done.exception():
                self._break(error)

        work.add_done_callback(compacted)

    def _write_snapshot(self, number: int, state: Iterable[JournalRecord]) -> None:
        final = self._folder / f"{number:012}.snapshot"
        draft = final.with_suffix(".draft")
        with open(draft, "wb") as file:
            file.writelines(record.encode() for record in state)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(final)
        self._sync_folder()
        self._snapshot_bytes = final.stat().st_size
        self._remove_before(number)

    def _open(self) -> None:
        if self._file:
            self._file.close()
        self._file = open(self._folder / f"{self._number:012}.log", "ab")  # noqa: SIM115
        self._sync_folder()

    def _break(self, error: BaseException) -> None:
        if not self.broken.done():
            self.broken.set_exception(error)

    def _remove_before(self, number: int) -> None:
        for path in self._folder.glob("*.*"):
            if path.suffix == ".draft" or int(path.stem) < number:
                path.unlink()

    def _sync_folder(self) -> None:
        if self._fsync:
            handle = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _read(self, path: Path, *, last: bool) -> Iterator[JournalRecord]:
        good = 0
        with open(path, "rb") as file:
            while header := file.read(HEADER.size):
                length, checksum = HEADER.unpack(header) if len(header) == HEADER.size else (0, -1)
                content = file.read(length)
                if len(content) < max(length, NAME.size) or zlib.crc32(content) != checksum:
                    break
                good += HEADER.size + length
                kind, name_length = NAME.unpack_from(content)
                body = NAME.size + name_length
                yield JournalRecord(kind, content[NAME.size : body].decode(), content[body:])
        if good == path.stat().st_size:
            return
        if not last:
            raise Damaged(f"{path} is damaged after byte {good}")
        logger.warning("cutting a torn record off %s at byte %d", path, good)
        os.truncate(path, good)
