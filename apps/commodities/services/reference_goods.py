"""Load the commodities that the product includes, with their parameters, varieties, grades and schedules."""

from decimal import Decimal
from typing import Any

from apps.commodities import capabilities
from apps.commodities.events import commodities as commodities_events
from apps.commodities.events import grades, varieties
from apps.commodities.events import parameters as parameters_events
from apps.commodities.events import schedules as schedules_events
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.grades import Grade
from apps.commodities.models.parameters import ParameterTemplate, QualityParameter
from apps.commodities.models.schedules import QualitySchedule
from apps.commodities.models.varieties import Variety
from apps.commodities.reference import FILES, goods, schedules
from apps.commodities.services.commodities import create, update
from apps.commodities.services.grades import create_grade
from apps.commodities.services.parameters import create_parameter, create_template
from apps.commodities.services.schedules import QUALITY_SCHEDULE, write_lines
from apps.commodities.services.soundness import require_sound
from apps.commodities.services.varieties import create_variety
from erp.access import Actor
from erp.errors import Conflict, RuleBroken
from erp.reference_data import ReferenceTable
from erp.services import attempt, service


def _create_parameter(*, actor: Actor, commodity: Commodity, code: str, **values: Any) -> Any:
    """Add a parameter; of the commodity that its category's templates come from, as a copy of its template."""
    template = None
    if goods.SOURCES.get(commodity.category) == commodity.code:
        templates = ParameterTemplate.objects.active().filter(category=commodity.category)
        template = templates.filter(code=code).first()
    return create_parameter(actor=actor, commodity=commodity, code=code, template=template, **values)


def _create_variety(*, actor: Actor, commodity: Commodity, presets: dict[str, Any], **values: Any) -> Any:
    parameters = {row.code: row for row in commodity.quality_parameters.active().filter(code__in=presets)}
    limits = [
        {"parameter": parameters[code], "low": _decimal(low), "high": _decimal(high)}
        for code, (low, high) in presets.items()
        if code in parameters
    ]
    return create_variety(actor=actor, commodity=commodity, presets=limits, **values)


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _publish(*, actor: Actor, lines: list[dict[str, Any]], **values: Any) -> QualitySchedule:
    schedule = QualitySchedule(valid_from=schedules.SINCE, **values)
    schedule.save()
    write_lines(schedule, lines)
    require_sound(schedule)
    QUALITY_SCHEDULE.release(schedule, actor)
    return schedule


PART = ("commodity", "code")
TEMPLATES = ReferenceTable(
    model=ParameterTemplate,
    rows=goods.TEMPLATES,
    create=create_template,
    key=("category", "code"),
)
COMMODITIES = ReferenceTable(model=Commodity, rows=FILES / "commodities.csv", create=create)
PARTS = (
    ReferenceTable(
        model=QualityParameter,
        rows=goods.PARAMETERS,
        create=_create_parameter,
        key=PART,
    ),
    ReferenceTable(model=Variety, rows=goods.VARIETIES, create=_create_variety, key=PART),
    ReferenceTable(model=Grade, rows=FILES / "grades.csv", create=create_grade, key=PART),
)
SCHEDULES = ReferenceTable(model=QualitySchedule, rows=schedules.SCHEDULES, create=_publish)


@service(
    requires=capabilities.CREATE,
    emits=[
        commodities_events.CommodityCreated,
        commodities_events.CommodityUpdated,
        grades.GradeAdded,
        parameters_events.ParameterAdded,
        parameters_events.ParameterTemplateCreated,
        varieties.VarietyAdded,
    ],
)
def load_commodities(*, actor: Actor) -> int:
    """Add missing commodities, templates and parts of commodities; returns how many are new.

    A new commodity is activated once it has its parts. A second run changes nothing.
    """
    templates, commodities = TEMPLATES.load(actor), COMMODITIES.load(actor)
    parts = [part for table in PARTS for part in table.load(actor)]
    for commodity in commodities:
        values = {name: getattr(commodity, name) for name in update.keywords}
        try:
            with attempt():
                update(commodity, actor=actor, **{**values, "status": Commodity.Status.ACTIVE})
        except (Conflict, RuleBroken):
            continue  # it remains a draft
    return len(templates) + len(commodities) + len(parts)


@service(
    requires=capabilities.MANAGE_SPECIFICATIONS,
    emits=[schedules_events.QUALITY_SCHEDULE.published],
    advisory_lock=QUALITY_SCHEDULE.lock,
)
def load_schedules(*, actor: Actor) -> int:
    """Publish the schedules whose code isn't known yet; returns how many.

    They need the commodities, and the definitions of their pricing units.
    """
    return len(SCHEDULES.load(actor))
