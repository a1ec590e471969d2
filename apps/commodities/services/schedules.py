"""Change schedules of premiums and discounts, and prepare them for evaluation."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from apps.approvals.services.drafts import DraftProcedure
from apps.commodities import capabilities, differences
from apps.commodities.events import schedules as events
from apps.commodities.figures import plain
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.models.schedules import QualitySchedule, ScheduleLine
from apps.commodities.services.factors import factors, price_of
from apps.commodities.services.rules import (
    DRAFT_ERRORS,
    FieldsContradict,
    NotActive,
    OtherCommodity,
    require_active,
    require_own,
)
from apps.commodities.services.soundness import SOUNDNESS_ERRORS, require_sound
from erp.errors import FieldError


def _require_commodity(schedule: QualitySchedule) -> None:
    """Check the commodity of a new schedule: active, and that of the code's other versions."""
    if schedule.is_new:
        require_active(schedule.commodity, "/commodity_id")
        require_own(schedule.commodity, schedule.same_key().first(), "/code")  # versions end each other


def write_lines(schedule: QualitySchedule, lines: Sequence[Mapping[str, Any]]) -> bool:
    """Replace the lines of a schedule; returns whether they changed.

    ``lines`` hold the columns of a line, parameters by their code, figures in the parameter's unit, percents or
    money according to ``effect``. Raises FieldsContradict for a parameter that the commodity doesn't have, or an order
    that comes twice.
    """
    known = {row.code: row for row in QualityParameter.objects.filter(commodity=schedule.commodity_id)}
    faults: list[FieldError] = []
    rows: list[ScheduleLine] = []
    for place, line in enumerate(lines):
        named = {name: line.get(name) for name in ("parameter", "second_parameter")}
        faults += [
            FieldError(f"/lines/{place}/{name}", "does_not_exist", "The commodity has no such parameter.")
            for name, code in named.items()
            if code is not None and code not in known
        ]
        if line["order"] in (row.order for row in rows):
            faults.append(FieldError(f"/lines/{place}/order", "doubled", "Another line has this order."))
        lists = {name: _as_text(line.get(name) or ()) for name in ("bands", "steps", "cells")}
        parameters = {name: known.get(str(code)) for name, code in named.items()}
        if not faults:
            rows.append(ScheduleLine(schedule=schedule, **{**line, **parameters, **lists}))
    if faults:
        raise FieldsContradict(errors=faults)
    rows.sort(key=lambda row: row.order)
    if [row.written() for row in rows] == schedule.lines:
        return False
    schedule.line_rows.all().delete()
    ScheduleLine.objects.bulk_create(rows)
    return True


def _as_text(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: plain(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in rows
    ]


QUALITY_SCHEDULE = DraftProcedure(
    QualitySchedule,
    title="Schedule of premiums and discounts",
    requires=capabilities.MANAGE_SPECIFICATIONS,
    events=events.QUALITY_SCHEDULE,
    errors=DRAFT_ERRORS,
    fixed=("commodity",),
    prepare=_require_commodity,
    parts={"lines": write_lines},
    draft_raises=(NotActive, OtherCommodity, FieldsContradict),
    check=require_sound,
    publish_raises=SOUNDNESS_ERRORS,
)
draft_quality_schedule, edit_quality_schedule = QUALITY_SCHEDULE.draft, QUALITY_SCHEDULE.edit
submit_quality_schedule, withdraw_quality_schedule = QUALITY_SCHEDULE.submit, QUALITY_SCHEDULE.withdraw


def terms_of(schedule: QualitySchedule, *, day: date) -> differences.DifferenceSchedule:
    """Convert a schedule for ``differences.evaluate``, with the definition of its pricing unit on ``day``.

    Raises NoDefinition where the pricing unit's unit isn't defined on that day.
    """
    lines = QualitySchedule.objects.with_lines().get(pk=schedule.pk).line_rows.all()
    unit = schedule.pricing_unit
    return differences.DifferenceSchedule(
        mode=differences.Mode(schedule.mode),
        lines=tuple(_line_of(line) for line in lines),
        price=None if unit is None else price_of(unit, factors([unit.unit_id], on=day)[unit.unit_id]),
        cap_percent=schedule.cap_percent,
    )


def _line_of(line: ScheduleLine) -> differences.DifferenceLine:
    return differences.DifferenceLine(
        order=line.order,
        parameter=line.parameter.code,
        method=line.method,
        form=differences.Form(line.form),
        effect=differences.Effect(line.effect or differences.Effect.PERCENT),
        second_parameter=None if line.second_parameter is None else line.second_parameter.code,
        base_low=line.base_low,
        base_high=line.base_high,
        side=differences.Side(line.side or differences.Side.BOTH),
        tolerance=line.tolerance,
        rate=line.rate,
        weight_rule=differences.WeightRule(line.weight_rule or differences.WeightRule.ONE_FOR_ONE),
        reciprocal=line.reciprocal,
        line_cap=line.line_cap,
        reject_below=line.reject_below,
        reject_above=line.reject_above,
        reject_mode=differences.RejectMode(line.reject_mode),
        bands=tuple(
            differences.Band(_end(band["from"]), _end(band["to"]), Decimal(band["effect"]))
            for band in line.bands
        ),
        steps=tuple(differences.Step(Decimal(step["up_to"]), Decimal(step["effect"])) for step in line.steps),
        cells={(cell["first"], cell["second"]): Decimal(cell["effect"]) for cell in line.cells},
    )


def _end(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
