"""What others may learn of units of measure."""

from datetime import date
from uuid import UUID

from apps.commodities import capabilities
from erp.events import ALL, EVERYONE, Event, event, rows_of

rows_of("unit", model="commodity.Unit", reads=capabilities.VIEW)
rows_of("unit_definition", model="commodity.UnitDefinition", reads=capabilities.VIEW)

DEFINITION = ("unit_definition", "unit_definition_id")


@event("unit.created", version=1, aggregate=("unit", "unit_id"), readers={EVERYONE: ALL})
class UnitCreated(Event):
    unit_id: UUID
    code: str
    dimension: str
    symbol: str
    name: str


class Definition(Event):
    """What each event says of its definition."""

    unit_definition_id: UUID
    code: str
    unit_version: int
    version: int
    valid_from: date
    valid_to: date | None


# Until it is published a definition is the staff's alone.
@event("unit_definition.drafted", version=1, aggregate=DEFINITION, readers={})
class UnitDefinitionDrafted(Definition):
    """Somebody wrote a definition."""


@event("unit_definition.edited", version=1, aggregate=DEFINITION, readers={})
class UnitDefinitionEdited(Definition):
    """Somebody changed a draft."""


@event("unit_definition.submitted", version=1, aggregate=DEFINITION, readers={})
class UnitDefinitionSubmitted(Definition):
    """A second person is asked."""


@event("unit_definition.returned", version=1, aggregate=DEFINITION, readers={})
class UnitDefinitionReturned(Definition):
    """It is a draft again: refused, taken back, not decided in time, or changed meanwhile."""


@event("unit_definition.published", version=1, aggregate=DEFINITION, readers={EVERYONE: ALL})
class UnitDefinitionPublished(Definition):
    """It holds from its first day on; the open one before it ends the day before."""


@event("unit_definition.withdrawn", version=1, aggregate=DEFINITION, readers={EVERYONE: ALL})
class UnitDefinitionWithdrawn(Definition):
    """It isn't chosen any more; what was agreed by it stays."""
