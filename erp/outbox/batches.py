"""The relay's state: rows read, buckets with low-water marks, and which rows of a batch may be published."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from erp.outbox import wire
from erp.outbox.publisher import MAX_BYTES, MAX_MESSAGES
from erp.outbox.wire import Stream

_ENVELOPE_BYTES: Final = 1_500  # what a message weighs beyond its payload, rounded up


class OutboxRow(NamedTuple):
    """A waiting row and its predecessor, as READ gives them; without ``id`` only the snapshot's limits."""

    xmin: int
    xmax: int
    id: UUID | None
    bucket: int
    position: int
    sequence: int
    aggregate_type: str
    aggregate_id: UUID
    event_type: str
    event_version: int
    data: str
    size: int  # bytes of the data, and with those of the rows before it
    bytes: int
    created_at: datetime
    correlation_id: str
    causation_id: str
    traceparent: str
    processing_attempts: int
    resolution: str | None
    predecessor: UUID | None
    predecessor_status: str | None
    predecessor_wait: float | None

    @property
    def stream(self) -> Stream:
        """The stream that the row belongs to."""
        return Stream(self.aggregate_type, self.aggregate_id)

    def envelope(self) -> wire.Envelope:
        """Return the message for the row: the event, or a gap marker if it was skipped."""
        assert self.id is not None
        return wire.envelope(self, self.id, self.data)


@dataclass(slots=True)
class Hold:
    """A stream excluded from reads until ``row_id`` is resolved, or until ``due``."""

    row_id: UUID
    due: float | None


@dataclass(slots=True)
class Bucket:
    """The relay's state of a bucket that it owns."""

    number: int
    mark: int = 0  # no row at or below it waits, apart from held ones
    candidate: tuple[int, int] | None = None  # (xmax, position): the mark's next place once xmin reaches xmax
    holds: dict[Stream, Hold] = field(default_factory=dict)
    sweep_at: float = 0.0
    again: bool = False  # read on as soon as the batch is done
    behind: float | None = None  # when (monotonic) it was last read, if a limit cut that short
    busy: bool = False
    leaving: bool = False
    clean: bool = False  # nothing was found since, and by, a sweep

    def settle(self, xmin: int, xmax: int, last: int | None, done: int | None) -> None:
        """Move the low-water mark after a batch whose snapshot had these limits.

        ``last`` is the highest position that was read, ``done`` the one up to which nothing waits that the
        batch could see (None: nothing at all). What was done is remembered; the mark moves there with a later
        batch that began when no transaction was left that could still commit below it.
        """
        if done is not None and done < self.mark:
            self.mark, self.candidate = done, None
        if self.candidate is not None and xmin >= self.candidate[0]:
            position = self.candidate[1]
            if done is None or done >= position:
                self.candidate = None
            else:
                position = done
            self.mark = max(self.mark, position)
        if self.candidate is None and last is not None:
            position = last if done is None else min(last, done)
            if position > self.mark:
                self.candidate = (xmax, position)


@dataclass(slots=True)
class Batch:
    """The rows of one read of a bucket that are being published."""

    bucket: Bucket
    rows: list[OutboxRow]
    xmin: int
    xmax: int
    swept: bool  # read from the bucket's beginning
    full: bool  # cut short by a limit
    settled: set[UUID] = field(default_factory=set)
    stopped: set[Stream] = field(default_factory=set)  # streams of which nothing more may go out now

    def lanes(self) -> Iterator[tuple[str, list[OutboxRow]]]:
        """Return the publishable rows by ordering key: the runs of streams that are not blocked."""
        tails: dict[Stream, int] = {}
        lanes: dict[Stream, list[OutboxRow]] = {}
        ready: dict[str, list[OutboxRow]] = {}
        for row in self.rows:
            stream = row.stream
            if stream in self.stopped:
                continue
            if tails.get(stream) != row.sequence - 1 and not self._may_start(row):
                self.stopped.add(stream)
                continue
            tails[stream] = row.sequence
            lane = lanes.get(stream)
            if lane is None:
                lane = ready.setdefault(wire.ordering_key(stream, self.bucket.number), [])
                lanes[stream] = lane
            lane.append(row)
        yield from ready.items()

    def _may_start(self, row: OutboxRow) -> bool:
        """Return whether a run may start with the row; record what it waits for."""
        if row.predecessor_status in (None, "published"):
            return True
        if row.predecessor_status == "pending":
            # Not in this batch although it waits: it was committed below the low-water mark.
            if not self.swept:
                self.bucket.sweep_at, self.bucket.again = 0.0, True
            return False
        assert row.predecessor is not None
        due = None if row.predecessor_status == "failed" else time.monotonic() + (row.predecessor_wait or 0)
        self.bucket.holds[row.stream] = Hold(row.predecessor, due)
        return False

    def close(self) -> None:
        """Free the bucket, once everything acknowledged is marked."""
        last = self.rows[-1].position if self.rows else None
        done = last if self.full else None
        for row in self.rows:
            if row.id not in self.settled and row.stream not in self.bucket.holds:
                done = row.position - 1
                break
        self.bucket.settle(self.xmin, self.xmax, last, done)
        self.bucket.busy = False


@dataclass(frozen=True, slots=True)
class Published:
    """An acknowledged row."""

    row: OutboxRow
    message_id: str


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A row that Pub/Sub refused: it waits ``delay`` seconds, or has failed for good."""

    row: OutboxRow
    status: Literal["processing", "failed"]
    reason: str
    delay: float


def requests(rows: Iterable[OutboxRow]) -> Iterator[list[OutboxRow]]:
    """Cut the rows of one ordering key into requests within Pub/Sub's limits."""
    request: list[OutboxRow] = []
    size = 0
    for row in rows:
        weight = row.size + _ENVELOPE_BYTES
        if request and (len(request) == MAX_MESSAGES or size + weight > MAX_BYTES):
            yield request
            request, size = [], 0
        request.append(row)
        size += weight
    if request:
        yield request
