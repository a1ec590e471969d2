"""Part d: what a read of the relay costs while dead rows pile up; the process that measures it, too."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from benchmarks.faults.world import World
from benchmarks.relay import ground
from benchmarks.relay.figures import Part

CLAIM_ROWS = 640  # on average ten in each of the 64 buckets
BULK_ROWS = 2_000


def measure(world: World, sizes: ground.Sizes, report: ground.Report) -> Part:
    """Claims before and after many events, all under one old snapshot."""
    events, claims = sizes(60_000, 2_000), sizes(30, 4)
    part = Part(
        "d",
        "Claims while dead rows pile up",
        "A transaction holds a snapshot all the time, so nothing that the relay leaves behind can be cleared away."
        f" {claims} times {CLAIM_ROWS} events are committed and the relay's read that takes them is timed; then"
        f" {events:,} events are relayed; then the same again. A poll is the read that finds nothing; every tenth"
        " or so of it is a sweep from the bucket's beginning, the net under the low-water mark.",
    )
    report(f"d: claims before and after {events:,} events")
    with ground.a_place(world, "claims") as place:
        result: dict[str, Any] = ground.run(place, "benchmarks.relay.claims", events, claims)
    ratio = result["claim"][1] / result["claim"][0]
    polls = result["poll"][1] / result["poll"][0]
    for n, when in enumerate(("at the start", f"after {events:,} events")):
        part.add(f"claim of {CLAIM_ROWS} rows {when}, median", f"{result['claim'][n] * 1000:.1f} ms")
    part.add("claim, after against start", f"{ratio:.2f}", "≤ 2", ratio <= 2)
    for n, when in enumerate(("at the start", f"after {events:,} events")):
        part.add(f"poll that finds nothing {when}, median", f"{result['poll'][n] * 1000:.2f} ms")
    part.add("poll, after against start", f"{polls:.2f}")
    return part


class Clock:
    """Times every read of the relay in this process, by what it found."""

    def __init__(self) -> None:
        from erp.outbox.relay import Relay

        self.claims: list[float] = []
        self.polls: list[float] = []
        read = Relay._read

        async def timed(relay: Relay, due: list[Any]) -> None:
            before = len(relay._tasks)
            started = time.perf_counter()
            await read(relay, due)
            took = time.perf_counter() - started
            found = len(relay._tasks) - before
            if found >= 60:
                self.claims.append(took)
            elif len(due) == 64 and not relay._tasks:
                self.polls.append(took)

        Relay._read = timed  # type: ignore[method-assign]

    def forget(self) -> None:
        """Begin anew."""
        self.claims.clear()
        self.polls.clear()


def main() -> None:
    """Measure and print medians in seconds, before and after."""
    import django

    django.setup()
    from erp.outbox.relay import Relay

    events, claims = int(sys.argv[1]), int(sys.argv[2])
    clock = Clock()
    relay = Relay()
    loops: list[asyncio.AbstractEventLoop] = []

    async def work() -> None:
        loops.append(asyncio.get_running_loop())
        await relay.run()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        print(json.dumps(_phases(clock, events, claims)))
    finally:
        loops[0].call_soon_threadsafe(relay.stop)
        thread.join()


def _phases(clock: Clock, events: int, claims: int) -> dict[str, tuple[float, float]]:
    from statistics import median

    import psycopg
    from django.conf import settings

    found: list[tuple[float, float]] = []
    with psycopg.connect(settings.DATABASE_DIRECT_URL) as holder:
        _feed(CLAIM_ROWS)
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM event_outbox")
        for bulk in (0, events):
            for start in range(0, bulk, BULK_ROWS):
                _feed(min(BULK_ROWS, bulk - start))
            clock.forget()
            for _ in range(claims):
                _feed(CLAIM_ROWS)
                time.sleep(0.15)  # a poll that finds nothing
            found.append((median(clock.claims), median(clock.polls)))
    return {"claim": (found[0][0], found[1][0]), "poll": (found[0][1], found[1][1])}


def _feed(count: int) -> None:
    """Commit so many events in one transaction and wait until they are out."""
    from django.db import connection, transaction

    from erp.outbox.flush import Buffered, flush

    with transaction.atomic():
        flush([Buffered("lot.moved", 1, {"ref": n}, "lot", UUID(int=n + 1, version=4)) for n in range(count)])
    _until(lambda: _waiting(connection) == 0)


def _waiting(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM event_outbox WHERE status IN ('pending', 'processing')")
        return int(cursor.fetchone()[0])


def _until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not true():
        if time.monotonic() > give_up:
            raise SystemExit("the relay doesn't relay")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
