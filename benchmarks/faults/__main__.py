"""``python -m benchmarks.faults``: inject faults around the outbox and check that no event is lost."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.faults import mutants
from benchmarks.faults.judge import Judgement, judge
from benchmarks.faults.run import Facts, Run, Size
from benchmarks.faults.storm import CUT, RELAY, ROBBED, SCALES, FaultRates, Storm
from benchmarks.faults.world import World
from erp.embedded.process import CannotStart

SMALL_EVENTS, SMALL_KILLS = 20_000, 18
EVENTS, KILLS = 1_000_000, 1_000
console = Console(highlight=False, width=max(Console().width, 120))


def main() -> int:
    """Run the selected parts; return 1 if an invariant broke or a mutant was not detected."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--events", type=int, help=f"default {EVENTS:,}; 0: only what else is asked for")
    parser.add_argument("--kills", type=int, help=f"of relays, default {KILLS:,}")
    parser.add_argument(
        "--small", action="store_true", help=f"{SMALL_EVENTS:,} events, {SMALL_KILLS} kills, mutants"
    )
    parser.add_argument("--mutants", action="store_true", help="also try relays that are wrong on purpose")
    parser.add_argument("--ordering", choices=("aggregate", "bucket"), default="aggregate")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    arguments = parser.parse_args()
    events = arguments.events if arguments.events is not None else SMALL_EVENTS if arguments.small else EVENTS
    kills = arguments.kills if arguments.kills is not None else SMALL_KILLS if arguments.small else KILLS
    started = time.monotonic()
    signal.signal(signal.SIGTERM, ended)
    ok = True
    try:
        with folder(keep_folder=arguments.keep) as path, World(path) as world:
            world.seed, world.ordering = arguments.seed, arguments.ordering
            if events:
                ok &= storm(world, arguments.seed, events, kills, small=arguments.small)
            if arguments.small or arguments.mutants:
                ok &= mutants.try_all(world, console)
    except CannotStart as error:
        console.print(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    console.print(
        f"{'All held' if ok else 'BROKEN'} after {time.monotonic() - started:.0f} s, seed {arguments.seed}."
    )
    return 0 if ok else 1


def ended(number: int, frame: object) -> None:
    """Leave, and let nothing disturb the clearing up."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit("Ended by SIGTERM.")


@contextmanager
def folder(*, keep_folder: bool) -> Iterator[Path]:
    """A temporary folder for everything."""
    path = Path(tempfile.mkdtemp(prefix="erp-faults-"))
    if os.geteuid() == 0:
        path.chmod(0o711)  # PostgreSQL runs as another user then
    try:
        yield path
    finally:
        if keep_folder:
            console.print(f"Kept {path}")
        else:
            shutil.rmtree(path, ignore_errors=True)


def storm(world: World, seed: int, events: int, kills: int, *, small: bool) -> bool:
    """Run the product's relay under all faults; return whether every invariant held."""
    size = Size(events=events, streams=max(400, min(20_000, events // 40)), poison=1 / 500)
    rates = FaultRates(
        kills,
        pubsub_down=20.0 if small else 120.0,
        redis_down=3.0 if small else 30.0,
        topic_gone=1.0 if small else 5.0,
    )
    console.print(
        f"{events:,} events over {size.streams:,} streams, {kills:,} kills of relays, seed {seed}, ordering by"
        f" {world.ordering}; PostgreSQL with fsync, Redis and Pub/Sub on 127.0.0.1."
    )
    began = time.monotonic()
    with Run(world, "storm", size, seed, RELAY, armed=0.6) as run, bar(kills, events) as progress:
        run.sample_every(1.0 if small else 15.0)
        Storm(run, rates).blow(lambda done: progress(done, run.committed))
        run.finish_writing(120 + events / 200)
        progress(run.fleet.kills.total(), run.committed)
        run.fleet.scale(3)
        run.settle()
        run.sample()
        run.end()
        run.facts.seconds = time.monotonic() - began
        judgement = judge(run.place, run.facts, cut_off=cut_off(run))
        report(run.facts, run, judgement)
        return not judgement.violated


def cut_off(run: Run) -> int:
    """How often some relay was killed, or lost its database or Pub/Sub; what cuts off all counts for each."""
    done = run.facts.done
    together = done[ROBBED] + sum(outage.what != "Redis down" for outage in run.facts.outages)
    return sum(run.fleet.kills.values()) + done[CUT] + max(SCALES) * together


@contextmanager
def bar(kills: int, events: int) -> Iterator[Callable[[int, int], None]]:
    """Progress on a terminal; elsewhere a line now and then."""
    columns = (TextColumn("{task.description:7}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        tasks = shown.add_task("kills", total=kills), shown.add_task("events", total=events)
        reported = 0

        def progress(killed: int, committed: int) -> None:
            nonlocal reported
            shown.update(tasks[0], completed=min(killed, kills))
            shown.update(tasks[1], completed=committed)
            if not console.is_terminal and committed >= reported + events // 10:
                reported = committed
                console.print(f"  {committed:,} events committed, {killed:,} kills")

        yield progress


def report(facts: Facts, run: Run, judgement: Judgement) -> None:
    """Tables of what was done and of what was seen."""
    faults = Table("what happened", "times", title="Faults")
    for point, count in sorted(run.fleet.kills.items()):
        faults.add_row(f"relays killed -9, {point}", f"{count:,}")
    for what, count in sorted(facts.done.items()):
        faults.add_row(what, f"{count:,}")
    if run.fleet.refused_to_start:
        faults.add_row("relays that refused to start without a topic", str(run.fleet.refused_to_start))
    faults.add_row("relays ended by SIGTERM", f"{run.fleet.stopped_cleanly:,}")
    console.print(faults)
    outages = Table("outage", "times", "away", "next publish after, slowest", title="Outages")
    for what in dict.fromkeys(outage.what for outage, _ in judgement.recoveries):
        times = [(outage.seconds, took) for outage, took in judgement.recoveries if outage.what == what]
        slowest = (
            "never" if any(took is None for _, took in times) else f"{max(t or 0 for _, t in times):.2f} s"
        )
        outages.add_row(what, str(len(times)), f"{max(away for away, _ in times):.1f} s", slowest)
    console.print(outages)
    result = Table("must hold", "seen", "", title="Invariants", expand=True)
    for verdict in judgement.verdicts:
        result.add_row(verdict.what, verdict.seen, "[green]ok[/]" if verdict.ok else "[red]BROKEN[/]")
        for example in verdict.examples:
            result.add_row("", f"[red]{example}[/]", "")
    console.print(result)
    console.print(
        f"{run.committed:,} events in {facts.seconds:.0f} s; commit to publish, whatever happened:"
        f" p50 {judgement.latency[0] * 1000:.0f} ms, p99 {judgement.latency[1]:.1f} s."
    )


if __name__ == "__main__":
    sys.exit(main())
