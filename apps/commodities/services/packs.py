"""Change pack weights."""

from datetime import date
from decimal import Decimal

from apps.commodities import capabilities
from apps.commodities.events import packs as events
from apps.commodities.exact import UnitDimension
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.units import PackWeight, Unit
from apps.commodities.services.rules import (
    LimitsInverted,
    NotActive,
    Overlap,
    end_predecessor,
    require_active,
    require_dates_in_order,
)
from erp.access import Actor
from erp.errors import FieldError
from erp.reference import event_of
from erp.services import emit, service


@service(
    requires=capabilities.MANAGE_TERMS,
    emits=[events.PackWeightSet],
    raises=[NotActive, UnitDimension, LimitsInverted, Overlap],
)
def set_pack_weight(
    commodity: Commodity,
    *,
    actor: Actor,
    package_unit: Unit,
    unit: Unit,
    low: Decimal,
    high: Decimal,
    source: str,
    valid_from: date,
    origin_country: str = "IN",
    basis: str = PackWeight.Basis.NOMINAL,
    value: Decimal | None = None,
    valid_to: date | None = None,
) -> PackWeight:
    """Set the weight of a package of a commodity from a country. The previous weight ends the day before.

    Without ``value`` only the limits are known, so counts can't be converted to weights.

    Raises UnitDimension, LimitsInverted, NotActive, Overlap.
    """
    require_active(commodity, "/commodity_id")
    weight = PackWeight(
        commodity=commodity,
        package_unit=package_unit,
        origin_country=origin_country,
        basis=basis,
        value=value,
        unit=unit,
        low=low,
        high=high,
        source=source,
        valid_from=valid_from,
        valid_to=valid_to,
    )
    _check(weight)
    key = ("commodity_id", "package_unit_id", "origin_country", "basis")
    end_predecessor(PackWeight.objects.filter(**{name: getattr(weight, name) for name in key}), weight)
    weight.save()
    emit(event_of(events.PackWeightSet, weight, "pack_weight"))
    return weight


def _check(weight: PackWeight) -> None:
    kinds = (
        ("package_unit", Unit.Dimension.COUNT, "Choose a unit that counts packages."),
        ("unit", Unit.Dimension.MASS, "Choose a unit of weight."),
    )
    faults = [
        FieldError(f"/{name}", "dimension", words)
        for name, dimension, words in kinds
        if getattr(weight, name).dimension != dimension
    ]
    if faults:
        raise UnitDimension(errors=faults)
    if weight.low > weight.high:
        raise LimitsInverted(
            errors=[FieldError("/high", "inverted", "The highest weight is below the lowest weight.")]
        )
    if weight.value is not None and not weight.low <= weight.value <= weight.high:
        raise LimitsInverted(
            errors=[
                FieldError(
                    "/value", "outside", "The weight must be between the lowest and the highest weight."
                )
            ]
        )
    require_dates_in_order(weight)
