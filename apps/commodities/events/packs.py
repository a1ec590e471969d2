"""Events of the weights of packages."""

from datetime import date
from uuid import UUID

from apps.commodities.events.commodities import COMMODITY
from erp.events import DecimalText, Event, event


# Partners don't see drafts, so they get no event of new parts.
@event("commodity.pack_weight.set", version=1, aggregate=COMMODITY, readers={})
class PackWeightSet(Event):
    commodity_id: UUID
    pack_weight_id: UUID
    package_unit: str
    origin_country: str
    basis: str
    value: DecimalText | None
    unit: str
    low: DecimalText
    high: DecimalText
    valid_from: date
    valid_to: date | None
