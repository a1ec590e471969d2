"""Events of pricing units."""

from uuid import UUID

from apps.commodities import capabilities
from erp.events import ALL, EVERYONE, Event, FieldChange, event, rows_of

rows_of("pricing_unit", model="commodity.PricingUnit", reads=capabilities.VIEW)

PRICING_UNIT = ("pricing_unit", "pricing_unit_id")


@event("pricing_unit.created", version=1, aggregate=PRICING_UNIT, readers={EVERYONE: ALL})
class PricingUnitCreated(Event):
    pricing_unit_id: UUID
    code: str
    currency: str
    divisor: int
    unit: str


@event("pricing_unit.updated", version=1, aggregate=PRICING_UNIT, readers={EVERYONE: ALL})
class PricingUnitUpdated(Event):
    pricing_unit_id: UUID
    version: int
    changes: dict[str, FieldChange]
