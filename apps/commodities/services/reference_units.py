"""Load the units, pricing units and pack weights that the product includes."""

from typing import Any

from apps.commodities import capabilities
from apps.commodities.events import packs, pricing, units
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import PackWeight, Unit, UnitDefinition
from apps.commodities.reference import FILES
from apps.commodities.reference.units import DIMENSIONS
from apps.commodities.services.packs import set_pack_weight
from apps.commodities.services.pricing import create_pricing_unit
from apps.commodities.services.units import UNIT_DEFINITION, create_unit
from erp.access import Actor
from erp.reference_data import ReferenceTable
from erp.services import service


def _publish(*, actor: Actor, unit: Unit, **values: Any) -> UnitDefinition | None:
    if unit.dimension != DIMENSIONS[unit.code]:
        return None
    definition = UnitDefinition(unit=unit, unit_version=1, **values)
    UNIT_DEFINITION.release(definition, actor)
    return definition


def _set_weight(*, actor: Actor, commodity: Commodity, **values: Any) -> Any:
    return set_pack_weight(commodity, actor=actor, **values)


TABLES = (
    ReferenceTable(model=Unit, rows=FILES / "units.csv", create=create_unit),
    ReferenceTable(model=UnitDefinition, rows=FILES / "unit_definitions.csv", create=_publish, key=("unit",)),
    ReferenceTable(model=PricingUnit, rows=FILES / "pricing_units.csv", create=create_pricing_unit),
)
WEIGHTS = ReferenceTable(
    model=PackWeight,
    rows=FILES / "pack_weights.csv",
    create=_set_weight,
    key=("commodity", "package_unit", "origin_country", "basis"),
)


@service(
    requires=capabilities.MANAGE_TERMS,
    emits=[units.UnitCreated, units.UNIT_DEFINITION.published, pricing.PricingUnitCreated],
    advisory_lock=UNIT_DEFINITION.lock,
)
def load_units(*, actor: Actor) -> int:
    """Add the units, their definitions and the pricing units that are missing; returns how many rows are new."""
    return sum(len(table.load(actor)) for table in TABLES)


@service(requires=capabilities.MANAGE_TERMS, emits=[packs.PackWeightSet])
def load_pack_weights(*, actor: Actor) -> int:
    """Add missing pack weights of existing commodities; returns how many are new."""
    return len(WEIGHTS.load(actor))
