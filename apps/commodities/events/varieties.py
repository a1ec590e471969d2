"""Events of varieties."""

from uuid import UUID

from apps.commodities.events.commodities import COMMODITY
from erp.events import EVERYONE, Event, FieldChange, event

# Partners don't see drafts, so they get no event of new parts.


@event("commodity.variety.added", version=1, aggregate=COMMODITY, readers={})
class VarietyAdded(Event):
    commodity_id: UUID
    variety_id: UUID
    code: str
    name: str
    is_standard: bool


@event(
    "commodity.variety.updated", version=1, aggregate=COMMODITY, readers={EVERYONE: ["variety_id", "version"]}
)
class VarietyUpdated(Event):
    commodity_id: UUID
    variety_id: UUID
    version: int
    changes: dict[str, FieldChange]
