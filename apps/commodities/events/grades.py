"""Events of grades."""

from uuid import UUID

from apps.commodities.events.commodities import COMMODITY
from erp.events import EVERYONE, Event, FieldChange, event

# Partners don't see drafts, so they get no event of new parts.


@event("commodity.grade.added", version=1, aggregate=COMMODITY, readers={})
class GradeAdded(Event):
    commodity_id: UUID
    grade_id: UUID
    code: str
    rank: int
    is_basis: bool


@event("commodity.grade.updated", version=1, aggregate=COMMODITY, readers={EVERYONE: ["grade_id", "version"]})
class GradeUpdated(Event):
    commodity_id: UUID
    grade_id: UUID
    version: int
    changes: dict[str, FieldChange]
