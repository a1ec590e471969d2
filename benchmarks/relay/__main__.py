"""``python -m benchmarks.relay``: measure the outbox and write the table to docs/benchmarks/relay.md."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from os import geteuid
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.faults.world import PROJECT, World
from benchmarks.relay import claims, emitting, ground, latency, others, outage, throughput
from benchmarks.relay.figures import Part, markdown
from erp.embedded.process import CannotStart

PARTS = {
    "a": throughput.measure,
    "b": others.measure,
    "c": latency.measure,
    "d": claims.measure,
    "e": emitting.measure,
    "f": outage.measure,
}
PAGE = PROJECT / "docs" / "benchmarks" / "relay.md"
BY_HAND = "<!-- From here on written by hand. -->"
console = Console(highlight=False, stderr=True)


def main() -> int:
    """Run the selected parts; return 1 if a goal is missed (in a quick run only goals without time)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small counts, for CI: proves that it runs, writes nothing; without b, which installs packages",
    )
    parser.add_argument("--only", default="", metavar="a,c", help="some parts, printed, not written")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    arguments = parser.parse_args()
    letters = [letter.strip() for letter in arguments.only.split(",") if letter.strip()] or [
        letter for letter in PARTS if not (arguments.quick and letter == "b")
    ]
    if unknown := set(letters) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    started = time.monotonic()
    parts: list[Part] = []
    try:
        with (
            folder(keep_folder=arguments.keep) as path,
            World(path, tables="") as world,
            bar(len(letters)) as progress,
        ):
            on = ground.machine(ground.PubSubPlace(world, "erp"))
            for letter in letters:
                part = PARTS[letter](world, ground.Sizes(quick=arguments.quick), progress.report)
                progress.step()
                print(markdown(part), flush=True)
                parts.append(part)
    except CannotStart as error:
        console.print(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    seconds = time.monotonic() - started
    print(f"{on}; {seconds:.0f} s")
    if not arguments.quick and letters == list(PARTS):
        write(parts, on, seconds)
    return 0 if all(part.sound if arguments.quick else part.met for part in parts) else 1


def write(parts: list[Part], on: str, seconds: float) -> None:
    """Put the table on its page; what was written there by hand stays."""
    today = datetime.now(UTC).date().isoformat()
    by_hand = PAGE.read_text().partition(BY_HAND)[2] if PAGE.exists() else "\n"
    head = [
        "# What the outbox costs, and how fast it is",
        "",
        f"Measured on {today} by `make bench-relay` in one run of {seconds / 60:.0f} minutes: {on},"
        " all servers on the same machine. Figures are medians, with the slowest and the fastest run in brackets;"
        " ratios are medians over pairs of runs that followed each other. Absolute figures hold for this machine"
        " only.",
        "",
    ]
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join([*head, *(markdown(part) for part in parts), BY_HAND]) + by_hand)


@contextmanager
def folder(*, keep_folder: bool) -> Iterator[Path]:
    """A temporary folder for everything."""
    path = Path(tempfile.mkdtemp(prefix="erp-bench-"))
    if geteuid() == 0:
        path.chmod(0o711)  # PostgreSQL runs as another user then
    try:
        yield path
    finally:
        if keep_folder:
            console.print(f"Kept {path}")
        else:
            shutil.rmtree(path, ignore_errors=True)


class Bar:
    """What is going on now, on a terminal."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("starting the servers", total=total)

    def report(self, what: str) -> None:
        """Print the current step."""
        self._progress.update(self._task, description=what)

    def step(self) -> None:
        """One part is done."""
        self._progress.advance(self._task)


@contextmanager
def bar(total: int) -> Iterator[Bar]:
    """Progress on a terminal, silence elsewhere."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, total)


if __name__ == "__main__":
    sys.exit(main())
