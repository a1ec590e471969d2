"""What others may learn of commodities."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from erp.events import Event, event


class Change(BaseModel):
    """A field's value before and after, in plain text as the API shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    old: Any
    new: Any


@event("commodity.created", version=1, aggregate=("commodity", "commodity_id"))
class CommodityCreated(Event):
    commodity_id: UUID
    code: str
    name: str
    category: str
    base_unit: str
    quantity_mode: str
    hsn_code: str | None


@event("commodity.updated", version=1, aggregate=("commodity", "commodity_id"))
class CommodityUpdated(Event):
    commodity_id: UUID
    version: int
    changes: dict[str, Change]
