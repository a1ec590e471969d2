"""Part c: from commit to a subscriber."""

import time

from benchmarks.faults.world import World
from benchmarks.relay import ground
from benchmarks.relay.deployment import Deployment, commits
from benchmarks.relay.figures import Part, percentile

RATE, QUIET_RATE = 200, 1  # events a second


def measure(world: World, sizes: ground.Sizes, report: ground.Report) -> Part:
    """With wake-ups over a change of shifts, on a quiet system, and without Redis."""
    heard, deaf, quiet, warm = sizes(50, 3), sizes(25, 3), sizes(60, 12), sizes(4, 2)
    part = Part(
        "c",
        "Commit to subscriber",
        f"{RATE} events a second of 1 KB, each committed in a transaction of its own by one process with four"
        " threads; relay shifts started by Celery beat; a subscriber with streaming pull as `consume_events` has"
        f" it. {heard} s with wake-ups (long enough for a change of shifts, which the full run includes), then"
        f" {quiet} s of one event a second, each of which follows a silence, then {deaf} s with Redis stopped."
        " PostgreSQL and Pub/Sub both write to disk before they answer.",
    )
    with ground.a_place(world, "latency") as place, Deployment(place) as running:
        first = 0
        for name, rate, seconds, goals in (
            ("with wake-ups", RATE, heard, (15, 60)),
            ("quiet", QUIET_RATE, quiet, (15, 60)),
            ("Redis stopped", RATE, deaf, (60, 150)),
        ):
            if name == "Redis stopped":
                world.redis.stop()
                time.sleep(1)
            report(f"c: {name}, {seconds} s")
            latencies = _traffic(running, rate, seconds + warm, first)
            skipped = first + rate * warm
            taken = [latency for ref, latency in latencies.items() if int(ref) >= skipped]
            p50, p99 = percentile(taken, 0.5) * 1000, percentile(taken, 0.99) * 1000
            worst = max(taken) * 1000
            part.add(f"{name}: median", f"{p50:.1f} ms", f"≤ {goals[0]} ms", p50 <= goals[0])
            part.add(f"{name}: 99th percentile", f"{p99:.0f} ms", f"≤ {goals[1]} ms", p99 <= goals[1])
            part.add(f"{name}: slowest of {len(taken):,}", f"{worst:.0f} ms")
            first += 1_000_000
        world.redis.start()
    return part


def _traffic(running: Deployment, rate: float, seconds: float, first: int) -> dict[str, float]:
    """Latency in seconds by event, from its first arrival."""
    path = running.place.folder / f"commits-{first}.txt"
    ground.run(
        running.place,
        "benchmarks.relay.traffic",
        *("--rate", rate, "--seconds", seconds, "--first", first, "--file", path),
    )
    committed = commits(path)
    arrived: dict[str, float] = {}

    def all_there() -> bool:
        for arrival in running.arrivals():
            arrived.setdefault(arrival.ref, arrival.at)
        return committed.keys() <= arrived.keys()

    running.until(all_there, 30, "every event received")
    return {ref: arrived[ref] - at for ref, at in committed.items()}
