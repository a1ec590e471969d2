"""The product's relay as it runs for real: Celery beat, and a worker of its own for the shifts."""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks.faults.world import PROJECT, PubSubPlace
from erp.embedded.process import Child, Process

START_SECONDS = 60.0


class Arrival(NamedTuple):
    """One delivery at the subscriber."""

    at: float  # seconds of Unix time
    stream: str
    sequence: int
    ref: str


class Deployment:
    """Beat, relay worker and a subscriber beside each other on a place. A context manager."""

    def __init__(self, place: PubSubPlace) -> None:
        self.place = place
        self._arrivals = place.folder / "arrivals.txt"
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with self._running:
            self._arrivals.touch()
            self._start("subscriber", "-m", "benchmarks.relay.subscriber", str(self._arrivals))
            self._start("relay", "celery_worker.py", "relay")
            self._start("beat", "celery_worker.py", "beat")
            self.until(lambda: self.value(_OWNED) > 0, START_SECONDS, "a shift that owns buckets")
            self._running = self._running.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start(self, name: str, *argv: str) -> None:
        process = Process(name=name, argv=[sys.executable, *argv], env=self.place.env, cwd=PROJECT)
        child = Child(process, self.place.folder / "log" / f"{name}.log", {})
        self._running.callback(child.stop, 10, threading.Event())

    def value(self, statement: str) -> int:
        """A count."""
        with self.place.connect() as connection:
            row = connection.execute(statement).fetchone()
        return int(row[0]) if row else 0

    def drained(self, seconds: float = 120.0) -> None:
        """Wait until everything is published."""
        self.until(lambda: self.value(_UNPUBLISHED) == 0, seconds, "everything published")

    def arrivals(self) -> list[Arrival]:
        """What has arrived so far, in order of arrival."""
        lines = self._arrivals.read_text().splitlines()
        return [
            Arrival(int(at) / 1e9, stream, int(sequence), ref)
            for at, stream, sequence, ref in (line.split() for line in lines)
        ]

    @staticmethod
    def until(true: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for something. Raises RuntimeError when it doesn't come."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise RuntimeError(f"after {seconds:.0f} s still not: {what}")
            time.sleep(0.05)


_UNPUBLISHED = "SELECT count(*) FROM event_outbox WHERE status <> 'published'"
_OWNED = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
AND pid IN (SELECT pid FROM pg_stat_activity WHERE application_name = 'erp-relay')
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) HAVING count(*) > 2
"""


def commits(path: Path) -> dict[str, float]:
    """Moments of the commits by event number, as traffic wrote them; seconds of Unix time."""
    return {ref: int(at) / 1e9 for ref, at in (line.split() for line in path.read_text().splitlines())}
