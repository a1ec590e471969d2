"""Prices per kilogram: net of tax, at the base quality of a schedule; exact fractions, each amount rounded once."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.commodities import differences
from apps.commodities.differences import DifferenceLine, DifferenceSchedule, Form, Result, Side
from apps.commodities.exact import Price, rounded

PLACES: Final = 8
MOST: Final = Decimal(10) ** 10  # INR per kg: beyond it a price is an error, and would leave 64 bits
Results = Mapping[tuple[str, str], Decimal | str]  # by parameter and method


class NotComparable(ValueError):
    """A price can't be brought to INR per kg at base quality; says why in a word."""


def net(ask: Decimal, divisor: int, gst: Fraction | None) -> Fraction:
    """A price without tax, in whole units of its currency; ``gst`` is the share that it includes."""
    price = Fraction(ask) / divisor
    return price if gst is None else price / (1 + gst)


def per_kg(price: Fraction, unit_kg: Fraction) -> Decimal:
    """A price per kilogram, of one per so many. Raises NotComparable."""
    if unit_kg <= 0:
        raise NotComparable("unit")
    amount = rounded(price / unit_kg, PLACES)
    if abs(amount) > MOST:
        raise NotComparable("range")
    return amount


def is_beyond(schedule: DifferenceSchedule, results: Results) -> bool:
    """Whether a result is beyond a reject limit on the side that is judged."""
    for line in schedule.lines:
        value = results.get((line.parameter, line.method))
        if not isinstance(value, Decimal):
            continue
        below = line.reject_below is not None and value < line.reject_below and line.side is not Side.ABOVE
        above = line.reject_above is not None and value > line.reject_above and line.side is not Side.BELOW
        if below or above:
            return True
    return False


def equalised(price: Fraction, unit_kg: Fraction, schedule: DifferenceSchedule, results: Results) -> Fraction:
    """The price at base quality of goods that cost ``price`` INR per ``unit_kg`` as they are.

    What the schedule does to a rate is affine, caps included, so its inverse follows from two rates. A missing result
    adds nothing; beyond the limits the nearest band or step counts. Raises NotComparable.
    """
    lines = tuple(_open(line) for line in schedule.lines if _counts(line, results))
    if not lines:
        return price
    own = replace(schedule, lines=lines)
    wanted = Price("INR", 1, "MASS", unit_kg)
    found = [Result(parameter, method, value) for (parameter, method), value in results.items()]
    try:
        at_zero, at_one = (
            differences.evaluate(own, found, rate=rate, net_weight=1, price=wanted).trace[-1].rate
            for rate in (0, 1)
        )
    except (differences.ScheduleGap, differences.ResultUnfit, differences.CurrencyMismatch) as problem:
        raise NotComparable("schedule") from problem
    slope = at_one - at_zero
    if slope <= 0:
        raise NotComparable("schedule")
    return (price - at_zero) / slope


def _counts(line: DifferenceLine, results: Results) -> bool:
    names = [line.parameter, *([line.second_parameter] if line.second_parameter else [])]
    return line.form not in (Form.WEIGHT, Form.NO_LIMIT) and all(
        (name, line.method) in results for name in names
    )


def _open(line: DifferenceLine) -> DifferenceLine:
    """The line without limits: its outer bands and last step go on for ever."""
    bands, steps = list(line.bands), sorted(line.steps, key=lambda step: step.up_to)
    if bands:
        bands.sort(key=lambda band: (band.start is not None, band.start or Decimal(0)))
        bands[0], bands[-1] = replace(bands[0], start=None), replace(bands[-1], end=None)
    if steps:
        steps[-1] = replace(steps[-1], up_to=Decimal("Infinity"))
    return replace(line, reject_below=None, reject_above=None, bands=tuple(bands), steps=tuple(steps))
