"""Commodities that the product brings along, with their parameters, varieties, grades and schedules.

What is there already stays as it is, and goes before what would be added: staff may have changed it.
"""

from collections.abc import Callable
from typing import Any

from apps.commodities import capabilities, events
from apps.commodities.models import Commodity, ParameterTemplate, PricingUnit, QualitySchedule
from apps.commodities.reference import goods, schedules
from apps.commodities.services.commodities import create, update
from apps.commodities.services.grades import create_grade
from apps.commodities.services.parameters import create_parameter, create_template
from apps.commodities.services.schedules import QUALITY_SCHEDULE, write_lines
from apps.commodities.services.soundness import require_sound
from apps.commodities.services.varieties import create_variety
from erp.access import Actor
from erp.errors import Conflict, RuleBroken
from erp.services import attempt, service


@service(
    requires=capabilities.CREATE,
    emits=[
        events.CommodityCreated,
        events.CommodityUpdated,
        events.GradeAdded,
        events.ParameterAdded,
        events.ParameterTemplateCreated,
        events.VarietyAdded,
    ],
)
def load_commodities(*, actor: Actor) -> int:
    """Add the commodities that are missing, templates and whatever part a commodity lacks; returns how many are new.

    A new commodity is active once its parts are there. A second run changes nothing.
    """
    made = _load_templates(actor)
    prices = {unit.code: unit for unit in PricingUnit.objects.all()}
    for said in goods.commodities():
        values = {**said, "pricing_unit": prices.get(said["pricing_unit"])}
        commodity = Commodity.objects.filter(code=said["code"]).first()
        is_new = commodity is None
        if is_new:
            commodity = _added(create, actor=actor, **values)
            made += commodity is not None
        if commodity is None or commodity.status == Commodity.Status.ARCHIVED:
            continue
        made += _load_parts(commodity, actor)
        if is_new:
            del values["code"]
            _added(update, commodity, actor=actor, **values, status=Commodity.Status.ACTIVE)
    return made


@service(
    requires=capabilities.MANAGE_SPECIFICATIONS,
    emits=[events.QUALITY_SCHEDULE.published],
    advisory_lock=QUALITY_SCHEDULE.lock,
)
def load_schedules(*, actor: Actor) -> int:
    """Publish the schedules whose code isn't known yet; returns how many.

    They need the commodities, and the definitions of their pricing units.
    """
    known = set(QualitySchedule.objects.values_list("code", flat=True))
    missing = [said for said in schedules.SCHEDULES if said["code"] not in known]
    return sum(_added(_publish, said, actor=actor) is not None for said in missing)


def _publish(said: dict[str, Any], *, actor: Actor) -> QualitySchedule | None:
    commodity = Commodity.objects.filter(code=said["commodity"]).first()
    price = PricingUnit.objects.filter(code=said["pricing_unit"]).first()
    if commodity is None:
        return None
    values = {name: value for name, value in said.items() if name != "lines"}
    values |= {"commodity": commodity, "pricing_unit": price, "valid_from": schedules.SINCE}
    schedule = QualitySchedule(**values)
    schedule.save()
    write_lines(schedule, said["lines"])
    require_sound(schedule)
    QUALITY_SCHEDULE.release(schedule, actor)
    return schedule


def _added(make: Callable[..., Any], *target: Any, **said: Any) -> Any:
    """What ``make`` makes; None, and nothing changed, where a row that is there speaks against it."""
    try:
        with attempt():
            return make(*target, **said)
    except (Conflict, RuleBroken):
        return None


def _load_templates(actor: Actor) -> int:
    known = set(ParameterTemplate.objects.values_list("category", "code"))
    made = 0
    for category, commodity in goods.TEMPLATES.items():
        for said in goods.parameters(commodity):
            if (category, said["code"]) not in known:
                del said["is_mandatory"]
                made += _added(create_template, actor=actor, category=category, **said) is not None
    return made


def _load_parts(commodity: Commodity, actor: Actor) -> int:
    made = 0
    for create_part, known, rows in (
        (create_parameter, commodity.quality_parameters, _parameters(commodity)),
        (create_variety, commodity.varieties, goods.varieties(commodity.code)),
        (create_grade, commodity.grades, goods.grades(commodity.code)),
    ):
        there = set(known.values_list("code", flat=True))
        for said in rows:
            if said["code"] not in there:
                if "presets" in said:
                    said["presets"] = _presets(commodity, said["presets"])
                made += _added(create_part, actor=actor, commodity=commodity, **said) is not None
    return made


def _parameters(commodity: Commodity) -> list[dict[str, Any]]:
    """The parameters of a commodity; the one that its category's templates come from copies them."""
    rows = goods.parameters(commodity.code)
    if goods.TEMPLATES.get(commodity.category) == commodity.code:
        templates = ParameterTemplate.objects.active().filter(category=commodity.category)
        by_code = {template.code: template for template in templates}
        rows = [{**said, "template": by_code.get(said["code"])} for said in rows]
    return rows


def _presets(commodity: Commodity, ranges: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = {row.code: row for row in commodity.quality_parameters.active().filter(code__in=ranges)}
    return [
        {"parameter": parameters[code], "low": low, "high": high}
        for code, (low, high) in ranges.items()
        if code in parameters
    ]
