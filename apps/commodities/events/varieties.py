"""What others may learn of varieties."""

from uuid import UUID

from apps.commodities.events.commodities import COMMODITY
from erp.events import EVERYONE, Event, FieldChange, event

# A commodity begins as a draft, which partners don't see: its parts aren't told to them either.


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
