"""Check a schedule of premiums and discounts before it is published."""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from apps.commodities.figures import plain
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.models.schedules import QualitySchedule, ScheduleLine
from apps.commodities.services.rules import (
    BandsNotContiguous,
    FieldsContradict,
    LimitsInverted,
    NotActive,
    OtherCommodity,
    require_active,
    require_own,
)
from erp.errors import FieldError

Form, Side = ScheduleLine.Form, ScheduleLine.Side
PRICED = (Form.BAND, Form.LADDER, Form.LINEAR, Form.MATRIX)
MEASURED_FROM_BASE = (Form.LADDER, Form.LINEAR, Form.WEIGHT)
Range = tuple[Decimal | None, Decimal | None]

SOUNDNESS_ERRORS = (NotActive, OtherCommodity, FieldsContradict, LimitsInverted, BandsNotContiguous)


def require_sound(schedule: QualitySchedule) -> None:
    """Check that every possible value has one effect or is rejected.

    Raises FieldsContradict, LimitsInverted, BandsNotContiguous, NotActive, OtherCommodity.
    """
    require_active(schedule.commodity, "/commodity_id")
    require_active(schedule.pricing_unit, "/pricing_unit_id")
    lines = list(schedule.line_rows.select_related("parameter", "second_parameter").order_by("order"))
    faults = [] if lines else [FieldError("/lines", "required", "Add at least one line.")]
    inverted: list[FieldError] = []
    for place, line in enumerate(lines):
        pointer = f"/lines/{place}"
        for name in ("parameter", "second_parameter"):
            require_own(schedule.commodity, getattr(line, name), f"{pointer}/{name}")
            require_active(getattr(line, name), f"{pointer}/{name}")
        faults += [
            FieldError(f"{pointer}/{name}", "contradicts", words) for name, words in _contradictions(line)
        ]
        faults += [
            FieldError(f"{pointer}/{name}", "contradicts", words) for name, words in _unpriced(schedule, line)
        ]
        for low, high in (("base_low", "base_high"), ("reject_below", "reject_above")):
            least, most = getattr(line, low), getattr(line, high)
            if least is not None and most is not None and least > most:
                inverted.append(
                    FieldError(f"{pointer}/{high}", "inverted", "The upper limit is below the lower limit.")
                )
    if faults:
        raise FieldsContradict(errors=faults)
    if inverted:
        raise LimitsInverted(errors=inverted)
    holes = [
        FieldError(f"/lines/{place}/{name}", "not_contiguous", words)
        for place, line in enumerate(lines)
        for name, words in _holes(line)
    ]
    if holes:
        raise BandsNotContiguous(errors=holes)


def _contradictions(line: ScheduleLine) -> Iterator[tuple[str, str]]:
    has_base = line.base_low is not None or line.base_high is not None
    expected = {
        "effect": (line.effect is not None, PRICED),
        "base_low": (has_base, MEASURED_FROM_BASE),
        "side": (line.side is not None, MEASURED_FROM_BASE),
        "rate": (line.rate is not None, (Form.LINEAR,)),
        "weight_rule": (line.weight_rule is not None, (Form.WEIGHT,)),
        "bands": (bool(line.bands), (Form.BAND,)),
        "steps": (bool(line.steps), (Form.LADDER,)),
        "cells": (bool(line.cells), (Form.MATRIX,)),
        "second_parameter": (line.second_parameter is not None, (Form.MATRIX,)),
    }
    for name, (has_value, forms) in expected.items():
        if has_value != (line.form in forms):
            yield name, f"Required with these forms only: {', '.join(str(form.label) for form in forms)}."
    for name, parameter in (("parameter", line.parameter), ("second_parameter", line.second_parameter)):
        if parameter is not None and line.method not in parameter.methods:
            yield "method", f"{parameter.name} isn't measured by {line.method}."
        if name == "parameter" and not line.parameter.is_number and _needs_figures(line):
            yield name, "The parameter's results are not numbers."
    if line.rate is not None and line.rate < 0:
        yield "rate", "The rate must be 0 or more."
    if line.reciprocal and (line.form not in MEASURED_FROM_BASE or line.side == Side.BOTH):
        yield "reciprocal", "Only a line with a base and one side can be reciprocal."
    if line.line_cap is not None and not line.reciprocal:
        yield "line_cap", "Only a reciprocal line has a cap."
    if line.tolerance and line.form not in MEASURED_FROM_BASE:
        yield "tolerance", "Only a line with a base has a tolerance."
    if line.weight_rule == ScheduleLine.WeightRule.DRY_MATTER:
        if line.side != Side.ABOVE:
            yield "side", "The dry matter rule applies above the base only."
        if has_base and max(_base(line)) >= 100:
            yield "base_low", "With the dry matter rule the base must be below 100."
    yield from (("cells", words) for words in _cell_faults(line))


def _cell_faults(line: ScheduleLine) -> Iterator[str]:
    pairs = [(cell["first"], cell["second"]) for cell in line.cells]
    if len(set(pairs)) < len(pairs):
        yield "A pair of results is listed twice."
    for name, parameter in (("first", line.parameter), ("second", line.second_parameter)):
        values = {cell[name] for cell in line.cells}
        if unknown := sorted(value for value in values if not _is_value(parameter, value)):
            yield f"{parameter} has no result {', '.join(unknown)}."


def _is_value(parameter: QualityParameter | None, text: str) -> bool:
    """Whether a cell's text is a value as results of the parameter are named: a choice's code, or a plain figure."""
    if parameter is None or not parameter.is_number:
        return parameter is None or text in {choice["code"] for choice in parameter.choices}
    try:
        return plain(Decimal(text)) == text
    except InvalidOperation:
        return False


def _needs_figures(line: ScheduleLine) -> bool:
    limited = line.reject_below is not None or line.reject_above is not None
    return limited or line.form not in (Form.MATRIX, Form.NO_LIMIT)


def _unpriced(schedule: QualitySchedule, line: ScheduleLine) -> Iterator[tuple[str, str]]:
    unit = schedule.pricing_unit
    if line.effect in (ScheduleLine.Effect.MONEY, ScheduleLine.Effect.POINTS) and unit is None:
        yield "effect", "Amounts and points require a pricing unit of the schedule."
    elif line.effect == ScheduleLine.Effect.POINTS and unit is not None and unit.divisor != 100:
        yield "effect", "Points require a pricing unit quoted in cents."


def _holes(line: ScheduleLine) -> Iterator[tuple[str, str]]:
    if line.form == Form.BAND:
        yield from (("bands", words) for words in _band_holes(line.bands, _priced_range(line)))
    elif line.form == Form.LADDER:
        yield from (("steps", words) for words in _step_holes(line))


def _priced_range(line: ScheduleLine) -> Range:
    """The values that need an effect: what is possible, less what is refused outright. None: no end."""
    parameter: QualityParameter = line.parameter
    least, most = parameter.possible_min, parameter.possible_max
    if line.reject_mode == ScheduleLine.RejectMode.ABSOLUTE:
        least = max((end for end in (least, line.reject_below) if end is not None), default=None)
        most = min((end for end in (most, line.reject_above) if end is not None), default=None)
    return least, most


def _band_holes(bands: Sequence[dict[str, Any]], needed: Range) -> Iterator[str]:
    rows = sorted(
        ((_decimal(band["from"]), _decimal(band["to"])) for band in bands),
        key=lambda row: (row[0] is not None, row[0] or 0),
    )
    for start, end in rows:
        if start is not None and end is not None and start >= end:
            yield f"The band from {start} ends at {end}."
    for (_, end), (start, _) in pairwise(rows):
        if end is None or start is None or end > start:
            yield f"Two bands overlap at {start if start is not None else end}."
        elif end < start:
            yield f"There is no band from {end} to {start}."
    (first, _), (_, last), (least, most) = rows[0], rows[-1], needed
    if first is not None and (least is None or first > least):
        yield f"There is no band below {first}."
    if last is not None and (most is None or last <= most):
        yield f"There is no band from {last} on."


def _step_holes(line: ScheduleLine) -> Iterator[str]:
    ends = [Decimal(step["up_to"]) for step in line.steps]
    if any(end <= 0 for end in ends) or any(after <= before for before, after in pairwise(ends)):
        yield "Each step must be above the one before."
        return
    (low, high), (least, most) = _base(line), _priced_range(line)
    sides = {Side.ABOVE, Side.BELOW} if line.reciprocal or line.side == Side.BOTH else {line.side}
    farthest = {
        Side.BELOW: None if least is None else low - least,
        Side.ABOVE: None if most is None else most - high,
    }
    for side in sorted(str(side) for side in sides):
        reach = farthest[Side(side)]
        if reach is None or reach - line.tolerance > ends[-1]:
            yield f"Values further {side.lower()} the base than {ends[-1]} have no step."


def _base(line: ScheduleLine) -> tuple[Decimal, Decimal]:
    low = line.base_low if line.base_low is not None else line.base_high
    high = line.base_high if line.base_high is not None else line.base_low
    assert low is not None
    assert high is not None
    return low, high


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
