"""Change pricing units."""

from apps.commodities import capabilities
from apps.commodities.events import pricing as events
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.services.rules import Duplicate, InForce, require_unchanged
from erp.reference import ReferenceList


def _check(pricing_unit: PricingUnit) -> None:
    require_unchanged(
        pricing_unit, "currency", "divisor", "unit", because="It cannot be changed: prices are quoted in it."
    )


PRICING_UNITS = ReferenceList(
    PricingUnit,
    noun="pricing_unit",
    views=capabilities.VIEW,
    requires=capabilities.MANAGE_TERMS,
    created=events.PricingUnitCreated,
    updated=events.PricingUnitUpdated,
    check=_check,
    create_raises=[Duplicate],
    update_raises=[InForce],
)
create_pricing_unit, update_pricing_unit = PRICING_UNITS.create, PRICING_UNITS.update
