"""Evaluation of a lot by a schedule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from apps.commodities import figures
from apps.commodities.differences.shapes import (
    DifferenceLine,
    DifferenceSchedule,
    Effect,
    Form,
    Mode,
    RejectMode,
    Side,
    WeightRule,
)
from apps.commodities.exact import Number, Price, requoted, rounded
from erp.errors import FieldError, RuleBroken

RATE_PLACES: Final = 6
WEIGHT_PLACES: Final = 3
POINT: Final = Fraction(1, 100)  # of the quoted cents


class ResultMissing(RuleBroken):
    """A line has no result by its method."""


class ScheduleGap(RuleBroken):
    """The schedule has no effect for this value."""


class ResultUnfit(RuleBroken):
    """The results can't be priced by this schedule."""


class CurrencyMismatch(RuleBroken):
    """The amounts of the schedule are not in the contract's currency and dimension."""


class Outcome(StrEnum):
    """The outcome for the lot."""

    ACCEPTED = "ACCEPTED"
    BUYER_OPTION = "BUYER_OPTION"
    REJECTED = "REJECTED"


@dataclass(frozen=True)
class Result:
    """A governing result: a figure, or the code of a choice."""

    parameter: str
    method: str
    value: Decimal | str


@dataclass(frozen=True)
class Traced:
    """The effect of one line, and the rate and weight (kg) after it."""

    order: int
    parameter: str
    method: str
    value: str
    deviation: Fraction
    kind: Effect | Form
    effect: Fraction
    rate: Fraction
    weight: Fraction


@dataclass(frozen=True)
class Evaluation:
    """The outcome; rate and weight (kg) are None where the lot is rejected."""

    outcome: Outcome
    adjusted_rate: Decimal | None
    accounted_weight: Decimal | None
    trace: tuple[Traced, ...]
    refused_by: tuple[int, ...] = ()  # orders of the lines whose limits were passed


def evaluate(
    schedule: DifferenceSchedule,
    results: Iterable[Result],
    *,
    rate: Number,
    net_weight: Number,
    price: Price | None = None,
) -> Evaluation:
    """Price a lot by its results.

    ``rate`` is the contract's, quoted in ``price`` (needed where lines are about money or points);
    ``net_weight`` is in kg. Raises ResultMissing, ResultUnfit, ScheduleGap, CurrencyMismatch.
    """
    lines = sorted(schedule.lines, key=lambda line: (line.form is not Form.WEIGHT, line.order))
    found = _by_line(lines, results)
    passed = [line for line in lines if _beyond_limits(line, found[line.order][0])]
    refused_by = tuple(sorted(line.order for line in passed))
    if any(line.reject_mode is RejectMode.ABSOLUTE for line in passed):
        return Evaluation(Outcome.REJECTED, None, None, (), refused_by)
    running = _Running(schedule, Fraction(rate), Fraction(net_weight), price)
    trace = tuple(running.apply(line, *found[line.order]) for line in lines)
    return Evaluation(
        Outcome.BUYER_OPTION if passed else Outcome.ACCEPTED,
        rounded(running.rate, RATE_PLACES),
        rounded(running.weight, WEIGHT_PLACES),
        trace,
        refused_by,
    )


def named(value: Decimal | str) -> str:
    """A result as cells name it: a code, or a number without trailing zeros."""
    return value if isinstance(value, str) else figures.plain(value)


def _by_line(
    lines: Sequence[DifferenceLine], results: Iterable[Result]
) -> dict[int, tuple[Decimal | str, Decimal | str | None]]:
    known: dict[tuple[str, str], Decimal | str] = {}
    for result in results:
        key = result.parameter, result.method
        if known.setdefault(key, result.value) != result.value:
            raise ResultUnfit(f"Two results govern {result.parameter} by {result.method}.")
    missing = [
        FieldError("/results", "result_missing", f"{name} by {line.method} is needed.")
        for line in lines
        for name in (line.parameter, line.second_parameter)
        if name is not None and (name, line.method) not in known
    ]
    if missing:
        raise ResultMissing(" ".join(fault.detail for fault in missing), errors=missing)
    return {
        line.order: (
            known[line.parameter, line.method],
            None if line.second_parameter is None else known[line.second_parameter, line.method],
        )
        for line in lines
    }


def _figure(line: DifferenceLine, value: Decimal | str) -> Fraction:
    if isinstance(value, str):
        raise ResultUnfit(f"{line.parameter} is not a number.")
    return Fraction(value)


def _beyond_limits(line: DifferenceLine, value: Decimal | str) -> bool:
    if line.reject_below is None and line.reject_above is None:
        return False
    figure = _figure(line, value)
    below = line.reject_below is not None and figure < line.reject_below
    return below or (line.reject_above is not None and figure > line.reject_above)


def _deviation(line: DifferenceLine, figure: Fraction) -> tuple[Fraction, int]:
    """Return the deviation of a value from its base less the tolerance, and its sign: discount −1, premium 1."""
    low, high = line.base()
    above, below = figure - high, low - figure
    bad = {Side.ABOVE: above, Side.BELOW: below, Side.BOTH: max(above, below)}[line.side]
    tolerance = Fraction(line.tolerance)
    if line.reciprocal and line.side is not Side.BOTH:
        good = below if line.side is Side.ABOVE else above
        if good > 0:
            return max(good - tolerance, Fraction(0)), 1
    return max(bad - tolerance, Fraction(0)), -1


def _earned(line: DifferenceLine, gain: Fraction) -> Fraction:
    return gain if line.line_cap is None else min(gain, Fraction(line.line_cap))


def _effect(
    line: DifferenceLine, value: Decimal | str, second: Decimal | str | None
) -> tuple[Fraction, Fraction]:
    """Deviation and effect of a line on the rate. Raises ScheduleGap."""
    nothing = Fraction(0)
    if line.form is Form.NO_LIMIT:
        return nothing, nothing
    if line.form is Form.MATRIX:
        cell = line.cells.get((named(value), named(second if second is not None else "")))
        if cell is None:
            raise _gap(line, f"{named(value)} with {named(second if second is not None else '')}")
        return nothing, Fraction(cell)
    figure = _figure(line, value)
    if line.form is Form.BAND:
        for band in line.bands:
            if (band.start is None or figure >= band.start) and (band.end is None or figure < band.end):
                return nothing, Fraction(band.effect)
        raise _gap(line, named(value))
    deviation, sign = _deviation(line, figure)
    if not deviation:
        return deviation, nothing
    if line.form is Form.LINEAR:
        change = Fraction(line.rate or 0) * deviation
    else:
        step = min(
            (step for step in line.steps if step.up_to >= deviation), key=lambda s: s.up_to, default=None
        )
        if step is None:
            raise _gap(line, named(value))
        change = -Fraction(step.effect)
    return deviation, _earned(line, change) if sign > 0 else -change


def _weight_factor(line: DifferenceLine, value: Decimal | str) -> tuple[Fraction, Fraction]:
    """Deviation of a WEIGHT line, and the factor of the weight that is paid for."""
    deviation, sign = _deviation(line, _figure(line, value))
    if line.weight_rule is WeightRule.ONE_FOR_ONE:
        change = sign * deviation / 100
    else:
        low, high = line.base()
        base = low if sign > 0 else high
        change = sign * deviation / (100 - base)  # (100 − value) ÷ (100 − base) − 1
    if sign > 0 and line.line_cap is not None:
        change = min(change, Fraction(line.line_cap) / 100)
    return deviation, 1 + change


def _gap(line: DifferenceLine, value: str) -> ScheduleGap:
    return ScheduleGap(
        f"Line {line.order} has no effect for {line.parameter} {value}.",
        line=line.order,
        parameter=line.parameter,
    )


class _Running:
    """Rate and weight while the lines are applied, one after the other."""

    def __init__(
        self, schedule: DifferenceSchedule, rate: Fraction, weight: Fraction, price: Price | None
    ) -> None:
        self.schedule, self.contract_rate, self.rate, self.weight, self.price = (
            schedule,
            rate,
            rate,
            weight,
            price,
        )
        self.percent, self.money = Fraction(0), Fraction(0)
        self.product, self.compound = Fraction(1), rate

    def apply(self, line: DifferenceLine, value: Decimal | str, second: Decimal | str | None) -> Traced:
        """Apply a line; returns what it did."""
        kind: Effect | Form = line.effect
        if line.form is Form.WEIGHT:
            deviation, effect = _weight_factor(line, value)
            self.weight *= effect
            kind = line.form
        else:
            deviation, effect = _effect(line, value, second)
            if line.effect is Effect.PERCENT:
                self._percent(effect)
            elif effect:
                self._money(effect * (POINT if line.effect is Effect.POINTS else 1))
        shown = named(value) if second is None else f"{named(value)} {named(second)}"
        return Traced(
            line.order, line.parameter, line.method, shown, deviation, kind, effect, self.rate, self.weight
        )

    def _percent(self, percent: Fraction) -> None:
        if self.schedule.mode is Mode.ADDITIVE:
            self.percent += percent
            self._add_up()
            return
        self.product *= 1 + percent / 100
        self.compound *= 1 + percent / 100
        self._cap_product()

    def _money(self, amount: Fraction) -> None:
        money = _converted(amount, self.schedule.price, self.price)
        self.money += money
        if self.schedule.mode is Mode.ADDITIVE:
            self._add_up()
            return
        self.compound += money
        self._cap_product()

    def _cap_product(self) -> None:
        """Line by line; where the percents together pass the cap: rate × (1 ± cap) + all money."""
        change = self.product - 1
        capped = self._capped(change)
        self.rate = self.compound if capped == change else self.contract_rate * (1 + capped) + self.money

    def _add_up(self) -> None:
        self.rate = self.contract_rate * (1 + self._capped(self.percent / 100)) + self.money

    def _capped(self, change: Fraction) -> Fraction:
        if self.schedule.cap_percent is None:
            return change
        cap = Fraction(self.schedule.cap_percent) / 100
        return max(-cap, min(cap, change))


def _converted(amount: Fraction, quoted: Price | None, wanted: Price | None) -> Fraction:
    """Money as the schedule quotes it, in the way that the contract quotes its rate."""
    if quoted is None or wanted is None:
        raise CurrencyMismatch("Money needs the pricing units of schedule and contract.")
    if (quoted.currency, quoted.dimension) != (wanted.currency, wanted.dimension):
        raise CurrencyMismatch(f"{quoted.currency} per {quoted.dimension} doesn't fit the contract's rate.")
    return requoted(amount, quoted, wanted)
