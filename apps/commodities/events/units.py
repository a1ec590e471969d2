"""Events of units of measure."""

from uuid import UUID

from apps.approvals.events import draft_events
from apps.commodities import capabilities
from erp.events import ALL, EVERYONE, Event, event, rows_of

rows_of("unit", model="commodity.Unit", reads=capabilities.VIEW)


@event("unit.created", version=1, aggregate=("unit", "unit_id"), readers={EVERYONE: ALL})
class UnitCreated(Event):
    unit_id: UUID
    code: str
    dimension: str
    symbol: str
    name: str


UNIT_DEFINITION = draft_events(
    "commodity.UnitDefinition",
    reads=capabilities.VIEW,
    readers={EVERYONE: ALL},
    code=str,
    unit_version=int,
)
