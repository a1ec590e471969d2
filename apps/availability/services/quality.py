"""Quality values: what is wrong with them, and which one of several governs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from apps.availability.models import Availability, QualityValue
from apps.availability.services.rules import QualityInvalid
from apps.commodities.models.parameters import QualityParameter
from erp.errors import FieldError

_Type = QualityParameter.DataType
_EARLY = datetime(1900, 1, 1, tzinfo=UTC)
_NUMBERS = "0123456789.-"


def checked_values(
    offer: Availability, submitted: Sequence[Mapping[str, Any]], *, pointer: str = "/quality", **fixed: Any
) -> list[QualityValue]:
    """Unsaved values from rows of an input. ``fixed`` columns apply to all. Raises QualityInvalid with every fault."""
    parameters = {row.code: row for row in offer.commodity.quality_parameters.active()}
    lots = {lot.lot_no: lot for lot in offer.lots.all()}
    faults: list[FieldError] = []
    values: list[QualityValue] = []
    seen: set[tuple[Any, ...]] = set()
    for place, row in enumerate(submitted):

        def wrong(name: str, code: str, words: str, place: int = place) -> None:
            faults.append(FieldError(f"{pointer}/{place}/{name}", code, words))

        parameter = parameters.get(row["parameter"])
        if parameter is None:
            wrong("parameter", "unknown_parameter", "The commodity has no such parameter.")
            continue
        lot = lots.get(row["lot_no"]) if row.get("lot_no") else fixed.get("lot")
        if row.get("lot_no") and lot is None:
            wrong("lot_no", "unknown_lot", "The offer has no such lot.")
        method = row.get("method") or fixed.get("method") or parameter.default_method
        if method not in parameter.methods:
            words = f"Choose one of {', '.join(parameter.methods)}."
            wrong("method", "method_not_allowed", words)
        value = QualityValue(
            availability=offer, parameter=parameter, lot=lot, method=method,
            source=fixed.get("source") or row.get("source") or QualityValue.Source.DECLARED,
            sample_no=fixed.get("sample_no") or row.get("sample_no") or "",
            tested_at=fixed.get("tested_at") or row.get("tested_at"),
            test_report=fixed.get("test_report"), chosen=bool(fixed.get("chosen", row.get("governing"))),
        )  # fmt: skip
        problem = set_value(value, row["value"])
        if problem is not None:
            wrong("value", *problem)
        key = (value.lot_id, value.parameter_id, value.source)
        if key in seen:
            wrong("parameter", "duplicate", "This parameter is already in the list.")
        seen.add(key)
        values.append(value)
    if faults:
        raise QualityInvalid(errors=faults)
    return values


def set_value(value: QualityValue, text: str) -> tuple[str, str] | None:
    """Set the result from its text; return code and words of what is wrong with it, or None."""
    parameter = value.parameter
    if not parameter.is_number:
        value.value_text = text
        return _text_fault(parameter, text)
    try:
        number = Decimal(text) if text and set(text) <= set(_NUMBERS) else None
    except InvalidOperation:
        number = None
    if number is None:
        return "not_a_number", "Enter a number, such as 29.2."
    value.value_number = number
    places = 0 if parameter.data_type == _Type.INTEGER else min(parameter.precision or 0, 4)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > places:
        return "too_precise", f"At most {places} decimals."
    low, high = parameter.possible_min, parameter.possible_max
    if (low is not None and number < low) or (high is not None and number > high) or abs(number) >= 10**8:
        ends = " to ".join(format(end.normalize(), "f") for end in (low, high) if end is not None)
        return "out_of_limits", f"The value must be within {ends or 'eight digits'}."
    return None


def _text_fault(parameter: QualityParameter, text: str) -> tuple[str, str] | None:
    if parameter.data_type == _Type.ENUM and text not in [choice["code"] for choice in parameter.choices]:
        return "not_a_choice", "Choose a code of the parameter's list."
    if parameter.data_type == _Type.BOOLEAN and text not in ("true", "false"):
        return "not_a_choice", "Enter true or false."
    return None if text else ("required", "Enter the result.")


def choose_governing(offer: Availability) -> bool:
    """Let exactly one value of each lot and parameter govern; return whether that changed.

    What somebody chose governs; else verified results of a laboratory or controller, then unverified ones, then tests
    of the seller, then declared ones; of equals the newest test, then the id.
    """
    groups: dict[tuple[UUID | None, UUID], list[QualityValue]] = {}
    for value in offer.quality.select_related("test_report"):
        groups.setdefault((value.lot_id, value.parameter_id), []).append(value)
    winners = {max(values, key=_rank).pk for values in groups.values()}
    every = [value for values in groups.values() for value in values]
    losers = [value for value in every if value.governing and value.pk not in winners]
    risen = [value for value in every if not value.governing and value.pk in winners]
    for value in [*losers, *risen]:  # losers first: a constraint allows one at a time
        value.governing = value.pk in winners
        value.save()
    return bool(losers or risen)


def _rank(value: QualityValue) -> tuple[Any, ...]:
    source = QualityValue.Source
    weight = {source.LAB: 2, source.CONTROLLER: 2, source.SELLER_TEST: 1}.get(source(value.source), 0)
    tested = value.tested_at or _EARLY
    return value.chosen, weight + value.is_verified, tested, str(value.pk)


def governing(offer: Availability) -> Iterable[QualityValue]:
    """The governing values with their parameters and lots, in a fixed order."""
    rows = offer.quality.filter(governing=True).select_related("parameter", "lot")
    return rows.order_by("parameter__code", "lot__lot_no")
