"""Events of commodities."""

from uuid import UUID

from apps.commodities import capabilities
from erp.events import EVERYONE, Event, FieldChange, event, rows_of

rows_of("commodity", model="commodity.Commodity", reads=capabilities.VIEW)

COMMODITY = ("commodity", "commodity_id")  # events of a commodity's parts go in its stream


# Partners don't see drafts, so they get no event of a new commodity.
@event("commodity.created", version=1, aggregate=COMMODITY, readers={})
class CommodityCreated(Event):
    commodity_id: UUID
    code: str
    name: str
    category: str
    base_unit: str
    quantity_mode: str
    hsn_code: str | None


@event(
    "commodity.updated",
    version=1,
    aggregate=COMMODITY,
    readers={EVERYONE: ["version"]},
)
class CommodityUpdated(Event):
    commodity_id: UUID
    version: int
    changes: dict[str, FieldChange]
