"""How it changes what prices are quoted in."""

from apps.commodities import capabilities, events
from apps.commodities.models import PricingUnit
from apps.commodities.services.rules import Duplicate, InForce, require_unchanged
from erp.reference import reference


def _check(pricing_unit: PricingUnit) -> None:
    require_unchanged(pricing_unit, "currency", "divisor", "unit", because="Prices were quoted in it.")


create_pricing_unit, update_pricing_unit = reference(
    PricingUnit,
    noun="pricing_unit",
    creates=capabilities.MANAGE_TERMS,
    updates=capabilities.MANAGE_TERMS,
    created=events.PricingUnitCreated,
    updated=events.PricingUnitUpdated,
    fields=("code", "currency", "divisor", "unit", "places", "tick"),
    check=_check,
    create_raises=[Duplicate],
    update_raises=[InForce],
)
