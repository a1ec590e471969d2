"""How units of measure and their definitions change."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from django.db.models import Max

from apps.commodities import capabilities, events
from apps.commodities.models import Unit, UnitDefinition
from apps.commodities.services.drafts import Procedure
from apps.commodities.services.rules import Duplicate, IllegalTransition, LimitsInverted
from erp.access import Actor
from erp.reference import event_of
from erp.services import emit, service


def _touch_unit(definition: UnitDefinition) -> None:
    """A unit is shown with its definitions, so its version rises with them."""
    unit = Unit.objects.locked().get(pk=definition.unit_id)
    unit.raise_version()
    unit.save()


UNIT_DEFINITION = Procedure(
    UnitDefinition,
    title="Definition of a unit",
    requires=capabilities.MANAGE_TERMS,
    drafted=events.UnitDefinitionDrafted,
    edited=events.UnitDefinitionEdited,
    submitted=events.UnitDefinitionSubmitted,
    returned=events.UnitDefinitionReturned,
    published=events.UnitDefinitionPublished,
    withdrawn=events.UnitDefinitionWithdrawn,
    after_save=_touch_unit,
)
submit_unit_definition = UNIT_DEFINITION.submit
withdraw_unit_definition = UNIT_DEFINITION.withdraw


@service(requires=capabilities.MANAGE_TERMS, emits=[events.UnitCreated], raises=[Duplicate])
def create_unit(
    *,
    actor: Actor,
    code: str,
    dimension: str,
    symbol: str,
    name: str,
    gst_uqc: str | None = None,
    unece_code: str | None = None,
) -> Unit:
    """Add a unit of measure; nothing converts to or from it before a definition of it is published.

    ``gst_uqc`` is its quantity code in GST returns, ``unece_code`` its code of UN/ECE Recommendation 20 or 21.
    """
    unit = Unit(
        code=code, dimension=dimension, symbol=symbol, name=name, gst_uqc=gst_uqc, unece_code=unece_code
    )
    unit.save()
    emit(event_of(events.UnitCreated, unit, "unit"))
    return unit


@service(
    requires=capabilities.MANAGE_TERMS,
    emits=[events.UnitDefinitionDrafted],
    raises=[LimitsInverted],
    advisory_lock=UNIT_DEFINITION.lock,
)
def draft_unit_definition(
    *,
    actor: Actor,
    unit: Unit,
    numerator: Decimal,
    denominator: Decimal,
    source: str,
    valid_from: date,
    valid_to: date | None = None,
) -> UnitDefinition:
    """Draft the next version of what a unit is: numerator / denominator of KG, M, M2, L or EACH."""
    definition = UnitDefinition(
        unit=unit,
        unit_version=next_version(unit),
        source=source,
        valid_from=valid_from,
        valid_to=valid_to,
    )
    _define(definition, numerator, denominator)
    UNIT_DEFINITION.begin(definition, actor)
    return definition


@service(
    requires=capabilities.MANAGE_TERMS,
    emits=[events.UnitDefinitionEdited, events.UnitDefinitionReturned],
    raises=[IllegalTransition, LimitsInverted],
)
def edit_unit_definition(
    definition: UnitDefinition,
    *,
    actor: Actor,
    numerator: Decimal,
    denominator: Decimal,
    source: str,
    valid_from: date,
    valid_to: date | None = None,
) -> UnitDefinition:
    """Replace what a draft says. What was submitted is a draft again, and its approval stale."""
    definition.source, definition.valid_from, definition.valid_to = source, valid_from, valid_to
    _define(definition, numerator, denominator)
    UNIT_DEFINITION.revise(definition, actor)
    return definition


def next_version(unit: Unit) -> int:
    """The number of the unit's next definition."""
    last = unit.definitions.aggregate(last=Max("unit_version"))["last"]
    return int(last or 0) + 1


def _define(definition: UnitDefinition, numerator: Decimal, denominator: Decimal) -> None:
    """Set the factor, in lowest terms."""
    factor = Fraction(int(numerator), int(denominator))
    definition.numerator, definition.denominator = Decimal(factor.numerator), Decimal(factor.denominator)
