"""The approved terms of an offer, and which changes against them need another approval (availability §5.4)."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django.conf import settings

from apps.availability.models import Availability
from apps.availability.services.content import GROUPS
from apps.availability.services.quality import governing

# Differences between two laboratories within which results are the same; of others the share of the possible range.
TOLERANCES: Final = {
    "staple_length": Decimal("0.5"),
    "micronaire": Decimal("0.15"),
    "strength": Decimal("1.5"),
    "rd": Decimal("1.0"),
    "plus_b": Decimal("0.5"),
    "trash": Decimal("0.3"),
    "moisture": Decimal("0.5"),
}
OTHER_SHARE: Final = Decimal("0.02")
_PRICE_FIXED: Final = ("price_type", "currency", "pricing_unit_id", "price_basis", "tax_basis", "tax_condition",
                       "quality_schedule_id")  # fmt: skip
# What a price is made of. A change of any of it is a change of price.
_QUOTED: Final = ("price_type", "price_terms", "currency", "pricing_unit_id", "price_basis", "tax_basis")
PRICED: Final = ("unit_price", "price_steps", *_QUOTED)
# Reducing the minimum or the longest reservation isn't a change of what is offered.
_QUANTITY_FIXED: Final = ("weight_basis", "quantity_tolerance_percent", "allow_partial", "min_order_quantity")


def snapshot(offer: Availability) -> dict[str, Any]:
    """What is offered now, as plain JSON: what an approval covers."""
    columns = (
        *_PRICE_FIXED,
        "unit_price",
        "total_quantity",
        "total_weight_kg",
        *_QUANTITY_FIXED,
        *GROUPS["terms"],
    )
    lots = offer.lots.order_by("lot_no").values_list(
        "lot_no", "press_mark", "pr_from", "pr_to", "bales", "gin_type", "net_kg"
    )
    return {
        **{name: _plain(getattr(offer, name)) for name in columns},
        "price_terms": offer.price_terms,
        "price_steps": offer.price_steps,
        "window": [_plain(offer.available_from_date), _plain(offer.available_until_date)],
        "lots": [[_plain(cell) for cell in lot] for lot in lots],
        "quality": {_key(value): [value.shown, value.method] for value in governing(offer)},
    }


def price_changed(before: Availability, after: Availability) -> bool:
    """Whether the price differs: its figure, a step, its terms or how it is quoted."""
    return any(getattr(before, name) != getattr(after, name) for name in PRICED)


def requoted(before: Availability, after: Availability) -> bool:
    """Whether prices are quoted in another way, so that their figures can't be compared."""
    return any(getattr(before, name) != getattr(after, name) for name in _QUOTED)


def _key(value: Any) -> str:
    return f"{value.parameter.code}@{value.lot.lot_no if value.lot else ''}"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def beyond_approval(offer: Availability) -> list[str]:
    """Which changes against the last approved terms need another approval; empty when none does.

    Measured against the snapshot, so that small steps can't add up to a large one.
    """
    approved = offer.approved_terms
    if approved is None:
        return ["not_approved"]
    now = snapshot(offer)
    found = []
    if _price_moved(approved, now):
        found.append("price")
    total, before = Decimal(now["total_quantity"]), Decimal(approved["total_quantity"])
    if total > before * (1 + settings.AVAILABILITY_QUANTITY_THRESHOLD / 100) or _weight_moved(approved, now):
        found.append("quantity")
    if _quality_moved(offer, approved["quality"], now["quality"]):
        found.append("quality")
    if _terms_moved(approved, now):
        found.append("terms")
    if approved["lots"] != now["lots"]:
        found.append("lots")
    return found


def _weight_moved(approved: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a unit, such as a bale, weighs more than the threshold more or less than what was approved."""
    old, new = (
        Fraction(Decimal(terms["total_weight_kg"])) / Fraction(Decimal(terms["total_quantity"]))
        for terms in (approved, now)
    )
    return abs(new - old) > old * Fraction(settings.AVAILABILITY_QUANTITY_THRESHOLD) / 100


def _price_moved(approved: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    if any(approved[name] != now[name] for name in _PRICE_FIXED):
        return True
    if _moved(approved["unit_price"], now["unit_price"]):
        return True
    old_steps, new_steps = approved["price_steps"], now["price_steps"]
    if [step["min_quantity"] for step in old_steps] != [step["min_quantity"] for step in new_steps]:
        return True
    if any(
        _moved(old["unit_price"], new["unit_price"]) for old, new in zip(old_steps, new_steps, strict=True)
    ):
        return True
    old_terms, new_terms = approved["price_terms"] or {}, now["price_terms"] or {}
    figures = ("points", "difference")
    if any(_moved(old_terms.get(name), new_terms.get(name)) for name in figures):
        return True
    return {k: v for k, v in old_terms.items() if k not in figures} != {
        k: v for k, v in new_terms.items() if k not in figures
    }


def _moved(old: Any, new: Any) -> bool:
    """Whether a figure moved by more than the threshold; any move from nothing, or from 0, counts."""
    if old is None or new is None or Decimal(old) == 0:
        return (old is None) != (new is None) or (old is not None and Decimal(old) != Decimal(new))
    limit = abs(Decimal(old)) * settings.AVAILABILITY_PRICE_THRESHOLD / 100
    return bool(abs(Decimal(new) - Decimal(old)) > limit)


def _quality_moved(offer: Availability, approved: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    if approved.keys() != now.keys():
        return True
    parameters = {row.code: row for row in offer.commodity.quality_parameters.all()}
    for key, (old, method) in approved.items():
        new, new_method = now[key]
        parameter = parameters[key.partition("@")[0]]
        if method != new_method:
            return True
        if not parameter.is_number:
            if old != new:
                return True
        elif abs(Decimal(new) - Decimal(old)) > _tolerance(parameter):
            return True
    return False


def _tolerance(parameter: Any) -> Decimal:
    if parameter.code in TOLERANCES:
        return TOLERANCES[parameter.code]
    if parameter.tolerance is not None:
        return Decimal(parameter.tolerance)
    low, high = parameter.possible_min, parameter.possible_max
    return Decimal(0) if low is None or high is None else (high - low) * OTHER_SHARE


def _terms_moved(approved: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    fixed = (
        *_QUANTITY_FIXED,
        *(name for name in GROUPS["terms"] if name not in ("is_firm", "firm_until_at")),
    )
    return approved["window"][0] != now["window"][0] or any(approved[name] != now[name] for name in fixed)
