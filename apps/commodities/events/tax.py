"""Events of codes and rates of tax."""

from uuid import UUID

from apps.approvals.events import draft_events
from apps.commodities import capabilities
from erp.events import ALL, EVERYONE, DecimalText, Event, FieldChange, event, rows_of

rows_of("hsn_code", model="commodity.HsnCode", reads=capabilities.VIEW)
rows_of("hsn_mapping", model="commodity.HsnMapping", reads=capabilities.VIEW)

HSN_CODE = ("hsn_code", "hsn_code_id")


@event("hsn_code.created", version=1, aggregate=HSN_CODE, readers={EVERYONE: ALL})
class HsnCodeCreated(Event):
    hsn_code_id: UUID
    code: str
    description: str


@event("hsn_code.updated", version=1, aggregate=HSN_CODE, readers={EVERYONE: ALL})
class HsnCodeUpdated(Event):
    hsn_code_id: UUID
    version: int
    changes: dict[str, FieldChange]


@event("commodity.hsn_mapping.confirmed", version=1, aggregate=("hsn_mapping", "mapping_id"), readers={})
class HsnMappingConfirmed(Event):
    mapping_id: UUID
    name_key: str
    hsn_code: str


TAX_RATE = draft_events(
    "commodity.TaxRate",
    reads=capabilities.VIEW,
    readers={EVERYONE: ALL},
    published={"old_rate_percent": DecimalText | None, "new_rate_percent": DecimalText},
    pinned="billed",
    hsn=str,
    condition=str,
)
