"""Writers: transactions that move lots and emit events, and a ledger of what PostgreSQL acknowledged.

A process of its own: ``python -m benchmarks.faults.writer …``. Half of the streams are lots: their row is locked
and their version counted up, so that the order of a stream is known from the business's side too. The other half
is written without any row of its own, where only the flush itself can keep order.
"""

import argparse
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid5

from benchmarks.faults.board import Board, BoardSlot

NAMESPACE = UUID("6f1d2a50-3f0c-5f55-9b0e-3a7f9a4b7c11")
SIZES = (1, 2, 3, 5, 8, 13, 21, 34, 40)  # of transactions, in events
MOST = SIZES[-1]
THREADS = 4
TRANSACTIONS = 10_000_000  # of one thread, at most: tells the numbers of the threads apart
REF = 1000  # an event's number is its transaction's times this, and its place within
POISON = "refused"  # a payload that the topic's schema doesn't take says so
HOT = 8  # lots and notes that every tenth event is about


def streams(seed: int, count: int) -> list[tuple[str, UUID]]:
    """The streams of a run: aggregate type and id."""
    return [(("lot", "note")[n % 2], uuid5(NAMESPACE, f"{seed}:{n}")) for n in range(count)]


class WriteLedger:
    """A file of one thread; what it says of commits is on disk before the thread goes on.

    ``B`` transaction events: about to commit. Then one of ``C`` transaction time: acknowledged; ``R``: certainly
    rolled back; ``U``: the answer to COMMIT was lost.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def write(self, kind: str, transaction: int, what: float, *, sync: bool = False) -> None:
        """One line."""
        os.write(self._file, f"{kind} {transaction} {what}\n".encode())
        if sync:
            os.fdatasync(self._file)


class RolledBack(Exception):
    """The business changed its mind after the flush."""


class Counts:
    """What the threads of a process did, on the board."""

    def __init__(self, board: Board, writer: int) -> None:
        self._board, self._writer, self._lock = board, writer, threading.Lock()
        self.share = 1

    def add(self, slot: BoardSlot, events: int) -> None:
        """More events."""
        with self._lock:
            self._board[slot + self._writer] += events

    def wait_for_leave(self, events: int) -> None:
        """Wait until a thread that has committed so many events may commit more."""
        while events * self.share >= self._board[BoardSlot.ALLOWED]:
            time.sleep(0.005)


class WriterThread(threading.Thread):
    """One connection's worth of transactions."""

    def __init__(self, number: int, arguments: argparse.Namespace, counts: Counts) -> None:
        super().__init__(name=f"writer {number}")
        self._pick = random.Random(f"{arguments.seed}:{number}")
        self._streams = streams(arguments.seed, arguments.streams)
        self._quota, self._poison, self._slow = arguments.events, arguments.poison, arguments.slow
        self._sizes = [size for size in SIZES if size <= arguments.most]
        self._number, self._counts = number * TRANSACTIONS, counts
        self._ledger = WriteLedger(arguments.folder / f"ledger-{number}.log")
        self._poisoned: set[UUID] = set()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Write until the quota is committed."""
        from django.db import connection

        committed = 0
        try:
            while committed < self._quota:
                self._counts.wait_for_leave(committed)
                self._number += 1
                count = min(self._pick.choice(self._sizes), self._quota - committed)
                committed += self._write(count, last=committed > 0.5 * self._quota)
        except BaseException as error:
            self.failure = error
            raise
        finally:
            connection.close()

    def _write(self, count: int, *, last: bool) -> int:
        """One transaction; how many events were acknowledged."""
        from django.db import DatabaseError, InterfaceError, connection, transaction

        chosen = [self._stream() for _ in range(count)]
        texts = [self._poison_text(stream) if not last else "" for _, stream in chosen]
        undo, pause = self._pick.random() < 0.1, self._pick.random() < self._slow
        seconds, cause = self._pick.uniform(0.02, 0.3), self._pick.random()
        self._ledger.write("B", self._number, count)
        flushed = False
        try:
            with transaction.atomic():
                self._work(chosen, texts)
                if pause:
                    time.sleep(seconds)  # numbers are taken, the commit comes late
                if undo and cause < 0.5:
                    raise RolledBack
                if undo:
                    connection.cursor().execute("SELECT 1 / 0")
                flushed = True
        except (RolledBack, DatabaseError, InterfaceError) as error:
            self._ledger.write("U" if flushed else "R", self._number, time.time())
            self._counts.add(BoardSlot.DOUBTFUL if flushed else BoardSlot.ABANDONED, count)
            if not undo:
                connection.close()
                if not isinstance(error, RolledBack):
                    time.sleep(self._pick.uniform(0.02, 0.1))
            return 0
        self._ledger.write("C", self._number, time.time(), sync=True)
        self._counts.add(BoardSlot.COMMITTED, count)
        return count

    def _work(self, chosen: Sequence[tuple[str, UUID]], texts: Sequence[str]) -> None:
        from erp.outbox.flush import Buffered, flush

        versions = self._move(Counter(stream for kind, stream in chosen if kind == "lot"))
        events = []
        for place, ((kind, stream), text) in enumerate(zip(chosen, texts, strict=True)):
            payload: dict[str, object] = {
                "ref": self._number * REF + place,
                "quantity": "12.500",
                "unit": "BALE",
            }
            if kind == "lot":
                versions[stream] += 1
                payload["version"] = versions[stream]
            if text:
                payload["seal"] = text
            events.append(Buffered(f"{kind}.moved", 1, payload, kind, stream))
        flush(events, causation_id=str(self._number))

    @staticmethod
    def _move(lots: Counter[UUID]) -> dict[UUID, int]:
        """Lock the lots in sorted order, count their versions up; the versions before."""
        from django.db import connection

        if not lots:
            return {}
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, version FROM faults_lot WHERE id = ANY (%s) ORDER BY id FOR UPDATE", [list(lots)]
            )
            versions = dict(cursor.fetchall())
            cursor.execute(
                "UPDATE faults_lot SET version = version + d.n FROM unnest(%s::uuid[], %s::int[]) AS d (id, n)"
                " WHERE faults_lot.id = d.id",
                [list(lots), list(lots.values())],
            )
        return versions

    def _stream(self) -> tuple[str, UUID]:
        among = self._streams[:HOT] if self._pick.random() < 0.1 else self._streams
        return self._pick.choice(among)

    def _poison_text(self, stream: UUID) -> str:
        """What makes this event poison, for most nothing: ``heal`` stands for a cause that will be removed."""
        if self._pick.random() >= self._poison or stream in self._poisoned:
            return ""
        self._poisoned.add(stream)
        return f"{POISON} {self._pick.choice(('skip', 'heal'))}"


def main() -> int:
    """Write this process's share."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--writer", type=int, required=True)
    parser.add_argument("--writers", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--events", type=int, required=True, help="of each thread")
    parser.add_argument("--most", type=int, default=MOST, help="events of one transaction")
    parser.add_argument("--poison", type=float, default=0.0)
    parser.add_argument("--slow", type=float, default=0.03, help="share of transactions that commit late")
    arguments = parser.parse_args()

    counts = Counts(Board(arguments.folder / "board"), arguments.writer)
    counts.share = arguments.writers * THREADS
    first = arguments.writer * THREADS
    threads = [WriterThread(number, arguments, counts) for number in range(first, first + THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return int(any(thread.failure for thread in threads))


if __name__ == "__main__":
    sys.exit(main())
