"""Events of quality parameters and their templates."""

from uuid import UUID

from apps.commodities import capabilities
from apps.commodities.events.commodities import COMMODITY
from erp.events import ALL, EVERYONE, Event, FieldChange, event, rows_of

TEMPLATE = ("parameter_template", "template_id")
rows_of("parameter_template", model="commodity.ParameterTemplate", reads=capabilities.VIEW)


# Partners don't see drafts, so they get no event of new parts.
@event("commodity.parameter.added", version=1, aggregate=COMMODITY, readers={})
class ParameterAdded(Event):
    commodity_id: UUID
    parameter_id: UUID
    code: str
    data_type: str
    unit: str | None
    direction: str
    is_mandatory: bool


@event(
    "commodity.parameter.updated",
    version=1,
    aggregate=COMMODITY,
    readers={EVERYONE: ["parameter_id", "version"]},
)
class ParameterUpdated(Event):
    commodity_id: UUID
    parameter_id: UUID
    version: int
    changes: dict[str, FieldChange]


@event("parameter_template.created", version=1, aggregate=TEMPLATE, readers={EVERYONE: ALL})
class ParameterTemplateCreated(Event):
    template_id: UUID
    category: str
    code: str


@event("parameter_template.updated", version=1, aggregate=TEMPLATE, readers={EVERYONE: ALL})
class ParameterTemplateUpdated(Event):
    template_id: UUID
    version: int
    changes: dict[str, FieldChange]
