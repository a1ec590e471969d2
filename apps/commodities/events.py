"""What others may learn of commodities."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from apps.commodities import capabilities
from erp.events import EVERYONE, Event, event, rows_of

rows_of("commodity", model="commodity.Commodity", reads=capabilities.VIEW)


class Change(BaseModel):
    """A field's value before and after, in plain text as the API shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    old: Any
    new: Any


# A commodity begins as a draft, which partners don't see; nor do they learn later what it was.
@event("commodity.created", version=1, aggregate=("commodity", "commodity_id"), readers={})
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
    aggregate=("commodity", "commodity_id"),
    readers={EVERYONE: ["version"]},
)
class CommodityUpdated(Event):
    commodity_id: UUID
    version: int
    changes: dict[str, Change]
