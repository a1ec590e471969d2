"""Ranges of quality parameters in varieties (presets) and grades (limits)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from apps.commodities.figures import plain
from apps.commodities.models.parameters import Measured
from apps.commodities.services.rules import (
    FieldsContradict,
    LimitsInverted,
    NotActive,
    OtherCommodity,
    OutsidePossible,
    require_active,
    require_own,
)
from erp.errors import FieldError

LIMIT_ERRORS = (FieldsContradict, LimitsInverted, NotActive, OtherCommodity, OutsidePossible)


def normalize_limits(row: Any, name: str) -> None:
    """Check the ranges in the field ``name`` of a variety or grade, and convert them to text.

    Each of them is a mapping with ``parameter`` (a QualityParameter), ``low`` and ``high`` (Decimal in its unit
    or None, not both). An archived parameter may remain, but can't be added. Raises
    OtherCommodity, NotActive, FieldsContradict, LimitsInverted, OutsidePossible.
    """
    changes = row.changed_fields()
    if not row.is_new and name not in changes:
        return  # stored ranges were checked before
    ranges: Iterable[Mapping[str, Any]] = getattr(row, name)
    before, _ = changes.get(name, ((), ()))
    known = {limit["parameter_id"] for limit in before}
    checked: list[dict[str, str | None]] = []
    for place, limit in enumerate(ranges):
        parameter, low, high = limit["parameter"], limit.get("low"), limit.get("high")
        pointer, key = f"/{name}/{place}", str(parameter.pk)
        require_own(row.commodity, parameter, f"{pointer}/parameter_id")
        if key not in known:
            require_active(parameter, f"{pointer}/parameter_id")
        if key in {earlier["parameter_id"] for earlier in checked}:
            raise _contradiction(f"{pointer}/parameter_id", "doubled", "This parameter is listed twice.")
        if not parameter.is_number:
            raise _contradiction(
                f"{pointer}/parameter_id", "contradicts", "The parameter's results are not numbers."
            )
        if low is None and high is None:
            raise _contradiction(pointer, "required", "Enter a lower limit, an upper limit or both.")
        if low is not None and high is not None and low > high:
            raise LimitsInverted(
                errors=[
                    FieldError(f"{pointer}/high", "inverted", "The upper limit is below the lower limit.")
                ]
            )
        _check_possible(parameter, {"low": low, "high": high}, pointer)
        checked.append({"parameter_id": key, "low": _end(low), "high": _end(high)})
    setattr(row, name, checked)


def _check_possible(parameter: Measured, ends: Mapping[str, Decimal | None], pointer: str) -> None:
    least, most = parameter.possible_min, parameter.possible_max
    for end, value in ends.items():
        if value is not None and (
            (least is not None and value < least) or (most is not None and value > most)
        ):
            words = f"{parameter.name} can only be from {_end(least) or '…'} to {_end(most) or '…'}."
            raise OutsidePossible(errors=[FieldError(f"{pointer}/{end}", "outside_possible", words)])


def _end(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _contradiction(pointer: str, code: str, words: str) -> FieldsContradict:
    return FieldsContradict(errors=[FieldError(pointer, code, words)])
