"""Faulty relays, each with one common error of relays, which the harness must detect.

``python -m benchmarks.faults.mutants NAME`` is such a relay as a process. Most share the product's publisher,
envelope and kill points, and differ in how they find, order and mark their rows. The last is the product's own relay
without its check of predecessors. The other safeguards of the order (low-water marks, ownership of buckets) hide
that, so it runs without them; the product's relay without them, but with the check, is a control.
"""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from benchmarks.faults.judge import Judgement, judge
from benchmarks.faults.run import Run, Size

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.faults.world import World

LEADER = 0x6F7E  # an advisory lock of the mutants' own
ROWS = """
SELECT id, position, bucket, sequence, aggregate_type, aggregate_id, event_type, event_version,
       payload::text AS data, created_at, correlation_id, causation_id, traceparent, resolution
FROM event_outbox
"""
MARK = "UPDATE event_outbox SET status = 'published', processed_at = clock_timestamp() WHERE id = ANY (%s)"
SEED = 11  # one for which each of them fails without fail
SIZE = Size(events=1_600, streams=300, writers=1, most=8, slow=0.4)
PENDING = "SELECT count(*) FROM event_outbox WHERE status = 'pending'"
BATCH = 100
QUIET_SECONDS = 2.0


@dataclass(frozen=True)
class MutantRow:
    """A waiting row."""

    id: UUID
    position: int
    bucket: int
    sequence: int
    aggregate_type: str
    aggregate_id: UUID
    event_type: str
    event_version: int
    data: str
    created_at: datetime
    correlation_id: str
    causation_id: str
    traceparent: str
    resolution: str | None


class Mutant:
    """What all of them do alike."""

    def __init__(self) -> None:
        from django.conf import settings

        from erp import heartbeat
        from erp.outbox import endpoint
        from erp.outbox.publisher import BlockingPublisher
        from erp.outbox.relay import CrashPoint

        self.connection = psycopg.connect(
            settings.DATABASE_DIRECT_URL,
            autocommit=True,
            application_name="erp-relay",
            row_factory=class_row(MutantRow),
        )
        self._publisher = BlockingPublisher()
        self._topic = endpoint.topic_path(settings.PUBSUB_TOPIC)
        self.fault = CrashPoint()
        heartbeat.touch("relay")

    def lead(self) -> None:
        """Wait until no other one works."""
        with self.connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            while not cursor.execute("SELECT pg_try_advisory_lock(%s)", [LEADER]).fetchone()[0]:  # type: ignore[index]
                time.sleep(0.05)

    def read(self, rest: str, *parameters: object) -> list[MutantRow]:
        """Waiting rows."""
        return self.connection.execute(ROWS + rest, parameters).fetchall()

    def publish(self, rows: Sequence[MutantRow]) -> None:
        """Each by itself, for as long as it takes."""
        from erp.outbox import wire
        from erp.outbox.publisher import NotPublished

        for row in rows:
            event = wire.envelope(row, row.id, row.data)
            message = wire.encode(event, wire.ordering_key(event.stream, row.bucket))
            self.fault("before_publish")
            while True:
                try:
                    self._publisher.publish(self._topic, [message])
                    break
                except NotPublished:
                    time.sleep(0.05)
            self.fault("after_publish")

    def mark(self, rows: Sequence[MutantRow]) -> None:
        """Published."""
        self.connection.execute(MARK, [[row.id for row in rows]])


def order_by_created_at(mutant: Mutant) -> None:
    """The oldest first, as the clock says."""
    mutant.lead()
    while True:
        rows = mutant.read("WHERE status = 'pending' ORDER BY created_at LIMIT %s", BATCH)
        mutant.publish(rows)
        mutant.mark(rows)
        time.sleep(0.0 if rows else 0.05)


def skip_locked_without_sequence(mutant: Mutant) -> None:
    """Several at once, each takes what no other one has locked."""
    while True:
        with mutant.connection.transaction():
            rows = mutant.read(
                "WHERE status = 'pending' ORDER BY position LIMIT %s FOR UPDATE SKIP LOCKED", BATCH // 5
            )
            mutant.publish(rows)
            mutant.mark(rows)
        time.sleep(0.0 if rows else 0.05)


def last_id_cursor(mutant: Mutant) -> None:
    """Whatever has a higher number than the last one."""
    mutant.lead()
    published = mutant.read("WHERE status = 'published' ORDER BY position DESC LIMIT 1")
    last = published[0].position if published else 0
    while True:
        rows = mutant.read("WHERE position > %s ORDER BY position LIMIT %s", last, BATCH)
        mutant.publish(rows)
        mutant.mark(rows)
        last = rows[-1].position if rows else last
        time.sleep(0.0 if rows else 0.02)


def mark_before_acknowledgement(mutant: Mutant) -> None:
    """In order, but the row counts as published before Pub/Sub has said so."""
    mutant.lead()
    while True:
        rows = mutant.read("WHERE status = 'pending' ORDER BY position LIMIT %s", BATCH)
        mutant.mark(rows)
        mutant.publish(rows)
        time.sleep(0.0 if rows else 0.05)


MUTANTS: dict[str, Callable[[Mutant], None]] = {
    "created-at": order_by_created_at,
    "skip-locked": skip_locked_without_sequence,
    "last-id-cursor": last_id_cursor,
    "mark-before-ack": mark_before_acknowledgement,
}


def without_marks_and_locks() -> None:
    """Leave the order to the check of predecessors.

    Low-water marks move past what open transactions may still commit, and every relay works on every bucket.
    """
    from django.conf import settings

    from erp.outbox import relay
    from erp.outbox.batches import Bucket
    from erp.outbox.ownership import Ownership

    settle = Bucket.settle

    def settle_early(bucket: Bucket, xmin: int, xmax: int, last: int | None, done: int | None) -> None:
        settle(bucket, 2**62, xmax, last, done)

    async def take_all(owner: Ownership) -> tuple[set[int], int]:
        gained = set(range(settings.OUTBOX_BUCKETS)) - owner.buckets
        owner.buckets |= gained
        return gained, 0

    setattr(Bucket, "settle", settle_early)  # noqa: B010
    setattr(Ownership, "balance", take_all)  # noqa: B010
    setattr(relay, "SWEEP_SECONDS", 1.0)  # noqa: B010 - finds what lies below the marks before the run ends


def start_behind_pending() -> None:
    """The same, and a run starts behind a predecessor that is still pending."""
    from erp.outbox.batches import Batch, MutantRow

    without_marks_and_locks()
    may_start = Batch._may_start

    def start(batch: Batch, row: MutantRow) -> bool:
        return row.predecessor_status == "pending" or may_start(batch, row)

    setattr(Batch, "_may_start", start)  # noqa: B010


ALTERED: dict[str, Callable[[], None]] = {
    "behind-pending": start_behind_pending,
    "check-alone": without_marks_and_locks,
}
CONTROLS = ("relay_outbox", "check-alone")


def try_all(world: "World", console: "Console") -> bool:
    """Run the mutants and, as controls, the product's relay; whether the former fail and the latter don't."""
    from benchmarks.faults.storm import RELAY

    argvs: dict[str, Sequence[str]] = {
        name: (sys.executable, "-m", "benchmarks.faults.mutants", name) for name in (*MUTANTS, *ALTERED)
    } | {"relay_outbox": RELAY}
    world.plan(())
    ok = True
    with ThreadPoolExecutor(3) as pool:
        tries = {name: pool.submit(_try, world, name, argv) for name, argv in argvs.items()}
        for name, tried in tries.items():
            try:
                judgement = tried.result()
            except BaseException:
                world.closing.set()
                for other in tries.values():
                    other.cancel()
                raise
            seen = [", ".join((verdict.seen, *verdict.examples[:1])) for verdict in judgement.violated]
            if name in CONTROLS:
                ok &= not seen
                console.print(
                    f"control {name}: {'nothing wrong' if not seen else 'BROKEN: ' + '; '.join(seen)}"
                )
            else:
                ok &= bool(seen)
                console.print(
                    f"mutant {name}: {'caught (' + '; '.join(seen) + ')' if seen else 'NOT caught'}"
                )
    return ok


def _try(world: "World", name: str, argv: Sequence[str]) -> Judgement:
    """Writers get ahead while no relay runs and the clock steps back; then two relays come and are killed."""
    run = Run(world, name.replace("-", "_"), SIZE, SEED, argv, armed=1.0, points={"before_publish": 150})
    run.place.env["OUTBOX_BUCKETS"] = "1"  # so that every late commit lies below some mark
    with run:
        run.start_writers()
        for share, clock in ((0.35, -3.0), (0.7, 0.0)):
            run.allow(share)
            run.wait_committed(share)
            run.step_clock(clock)
        run.fleet.scale(2)
        run.fleet.disarm()  # those that come after them live
        run.until(lambda: run.value(PENDING) == 0, 60, "the backlog worked off")
        for percent in range(71, 100):  # no faster than the slowest of them can follow
            run.allow(percent / 100)
            time.sleep(0.16)
        run.finish_writing(60)
        run.until(
            lambda: run.fleet.kills.total() >= 1 and len(run.fleet.working()) == 2, 60, "relays working"
        )
        seen, until = -1, 0.0
        while run.delivered != seen or time.monotonic() < until:
            if run.delivered != seen:
                seen, until = run.delivered, time.monotonic() + QUIET_SECONDS
            time.sleep(0.1)
        run.sample()
        return judge(run.place, run.facts)


def main() -> None:
    """Be a mutant."""
    name = sys.argv[1]
    if name in MUTANTS:
        MUTANTS[name](Mutant())
    else:
        from django.core.management import execute_from_command_line

        ALTERED[name]()
        execute_from_command_line(["manage.py", "relay_outbox"])


if __name__ == "__main__":
    main()
