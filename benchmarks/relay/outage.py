"""Part f: writers while Pub/Sub is down."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.faults.world import PROJECT, PubSubPlace, World
from benchmarks.relay import ground
from benchmarks.relay.deployment import Deployment
from benchmarks.relay.figures import Part, median, paired, spread

WRITERS = 4
# Attempts count poison only, so any at all would be wrong.
FAILED = (
    "SELECT count(*) FROM event_outbox WHERE status IN ('failed', 'processing') OR processing_attempts > 0"
)
WAITING = "SELECT count(*) FROM event_outbox WHERE status = 'pending'"


def measure(world: World, sizes: ground.Sizes, report: ground.Report) -> Part:
    """The writers' rate without and with an outage, in turns; and what became of the events."""
    rounds, writes = sizes(4, 1), sizes(2_500, 100)
    part = Part(
        "f",
        "An outage of Pub/Sub",
        f"{WRITERS} processes write through services (a commodity is created, then changed four times);"
        f" {writes:,} writes with Pub/Sub up, then {writes:,} with it down, {rounds} times. Relay shifts by Celery"
        " beat run beside them all the time, and a subscriber writes down what arrives.",
    )
    up, down, recovered = [], [], []
    failed = waiting = 0
    with ground.a_place(world, "outage") as place, Deployment(place) as running, _writers(place) as writers:
        running.drained()
        for turn in range(rounds):
            report(f"f: {writes:,} writes with Pub/Sub up and down, round {turn + 1} of {rounds}")
            up.append(_rate(writers, writes))
            running.drained()
            world.pubsub.stop()
            down.append(_rate(writers, writes))
            failed += running.value(FAILED)
            waiting += running.value(WAITING)
            back = world.start_pubsub()
            running.drained()
            recovered.append(time.time() - back)
        failed += running.value(FAILED)
        rows = running.value("SELECT count(*) FROM event_outbox")
        seen: dict[str, list[int]] = {}

        def all_there() -> bool:
            seen.clear()
            for arrival in running.arrivals():
                sequences = seen.setdefault(arrival.stream, [])
                if arrival.sequence not in sequences:
                    sequences.append(arrival.sequence)
            return sum(map(len, seen.values())) >= rows

        running.until(all_there, 60, "every event received")
    ordered = all(sequences == list(range(1, len(sequences) + 1)) for sequences in seen.values())
    share = paired(down, up)
    part.add("writes a second, Pub/Sub up", spread(up))
    part.add("writes a second, Pub/Sub down", spread(down))
    part.add("down against up", f"{share:.0%}", "≥ 80 %", share >= 0.8)
    part.add("rows failed, put aside or with an attempt counted", str(failed), "0", failed == 0, hard=True)
    part.add("events that waited for the end of the outages", f"{waiting:,}")
    part.add(
        f"events received of {rows:,}, each stream in order",
        f"{sum(map(len, seen.values())):,}{'' if ordered else ', not in order'}",
        "all",
        ordered,
        hard=True,
    )
    part.add("outage over to everything published", f"{median(recovered):.1f} s")
    return part


@contextmanager
def _writers(place: PubSubPlace) -> Iterator[list["subprocess.Popen[str]"]]:
    with ExitStack() as running:
        writers = []
        for number in range(WRITERS):
            log = running.enter_context(open(place.folder / "log" / f"writer-{number}.log", "w"))
            writer = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.relay.writer"],
                cwd=PROJECT,
                env=place.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            running.callback(writer.wait)
            running.callback(writer.kill)
            writers.append(writer)
        for writer in writers:
            _line(writer)
        yield writers


def _line(writer: "subprocess.Popen[str]") -> str:
    assert writer.stdout is not None
    if not (line := writer.stdout.readline()):
        raise RuntimeError("a writer ended")
    return line


def _rate(writers: list["subprocess.Popen[str]"], writes: int) -> float:
    """All writers together, from the first one's beginning to the last one's end; writes a second."""
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(f"{writes // len(writers)}\n")
        writer.stdin.flush()
    times = [json.loads(_line(writer)) for writer in writers]
    return writes / (max(end for _, end in times) - min(begin for begin, _ in times))
