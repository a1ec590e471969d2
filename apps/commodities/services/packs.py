"""How it changes what packages weigh."""

from datetime import date
from decimal import Decimal

from apps.commodities import capabilities, events
from apps.commodities.exact import UnitDimension
from apps.commodities.models import Commodity, PackWeight, Unit
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
    """Say what a package of a commodity from a country weighs, from a day on: ``value`` of ``unit``, within limits.

    Without ``value`` only the limits are known, and nothing is counted into weight. The open weight before it ends
    the day before. Raises UnitDimension, LimitsInverted, NotActive, Overlap.
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
        ("package_unit", Unit.Dimension.COUNT, "Packages are counted."),
        ("unit", Unit.Dimension.MASS, "A weight is measured in a unit of mass."),
    )
    faults = [
        FieldError(f"/{name}", "dimension", words)
        for name, dimension, words in kinds
        if getattr(weight, name).dimension != dimension
    ]
    if faults:
        raise UnitDimension(errors=faults)
    if weight.low > weight.high:
        raise LimitsInverted(errors=[FieldError("/high", "inverted", "It lies below low.")])
    if weight.value is not None and not weight.low <= weight.value <= weight.high:
        raise LimitsInverted(errors=[FieldError("/value", "outside", "It lies outside low and high.")])
    require_dates_in_order(weight)
