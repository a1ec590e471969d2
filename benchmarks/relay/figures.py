"""The arithmetic of the benchmark and its table."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


def median(values: Sequence[float]) -> float:
    """Middle of the values. Raises ValueError without any."""
    if not values:
        raise ValueError("nothing was measured")
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of the values doesn't exceed."""
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def paired(one: Sequence[float], other: Sequence[float]) -> float:
    """Median of the ratios one / other of runs that followed each other. Raises ValueError when one is missing."""
    return median([a / b for a, b in zip(one, other, strict=True)])


def rate(per_second: float) -> str:
    """``12,300 /s``, to three digits."""
    return f"{float(f'{per_second:.3g}'):,.0f} /s" if per_second >= 100 else f"{per_second:.3g} /s"


def spread(values: Sequence[float]) -> str:
    """Median and extremes of rates."""
    return f"{rate(median(values))} ({rate(min(values))[:-3]} to {rate(max(values))[:-3]})"


@dataclass(frozen=True)
class FigureLine:
    """One row of the table.

    ``goal`` is empty where a figure only informs; ``met`` is None then. ``hard``: the goal isn't about time, so it
    must be met on any machine, however busy.
    """

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None
    hard: bool = False


@dataclass
class Part:
    """What a part of the benchmark found: its lines, and how it was measured in a sentence or two."""

    letter: str
    title: str
    how: str
    lines: list[FigureLine] = field(default_factory=list)

    def add(
        self, what: str, measured: str, goal: str = "", met: bool | None = None, *, hard: bool = False
    ) -> None:
        """One more line."""
        self.lines.append(FigureLine(what, measured, goal, met, hard))

    @property
    def met(self) -> bool:
        """Whether every goal is met."""
        return all(line.met is not False for line in self.lines)

    @property
    def sound(self) -> bool:
        """Whether every goal is met that has nothing to do with time."""
        return all(line.met is not False for line in self.lines if line.hard)


def markdown(part: Part) -> str:
    """The part as a section with a table."""
    verdicts = {True: "met", False: "**missed**", None: ""}
    rows = [
        f"| {' | '.join(_cell(each) for each in (line.what, line.measured, line.goal, verdicts[line.met]))} |"
        for line in part.lines
    ]
    head = ["| measured | figure | goal | |", "|---|---|---|---|"]
    return "\n".join([f"## {part.letter}. {part.title}", "", part.how, "", *head, *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
