"""Change units of measure and their definitions."""

from decimal import Decimal
from fractions import Fraction

from apps.approvals.services.drafts import DraftProcedure
from apps.commodities import capabilities
from apps.commodities.events import units as events
from apps.commodities.models.units import Unit, UnitDefinition
from apps.commodities.services.rules import DRAFT_ERRORS, Duplicate
from erp.access import Actor
from erp.reference import event_of
from erp.services import emit, service


def _touch_unit(definition: UnitDefinition) -> None:
    """A unit is shown with its definitions, so its version rises with them."""
    unit = Unit.objects.locked().get(pk=definition.unit_id)
    unit.raise_version()
    unit.save()


def _reduce(definition: UnitDefinition) -> None:
    """Bring the factor to lowest terms."""
    factor = Fraction(int(definition.numerator), int(definition.denominator))
    definition.numerator, definition.denominator = Decimal(factor.numerator), Decimal(factor.denominator)


UNIT_DEFINITION = DraftProcedure(
    UnitDefinition,
    title="Definition of a unit",
    requires=capabilities.MANAGE_TERMS,
    events=events.UNIT_DEFINITION,
    errors=DRAFT_ERRORS,
    prepare=_reduce,
    after_save=_touch_unit,
)
draft_unit_definition = UNIT_DEFINITION.draft
edit_unit_definition = UNIT_DEFINITION.edit
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
    """Add a unit of measure. Conversions need a published definition of it.

    ``gst_uqc`` is its quantity code in GST returns, ``unece_code`` its code of UN/ECE Recommendation 20 or 21.
    """
    unit = Unit(
        code=code, dimension=dimension, symbol=symbol, name=name, gst_uqc=gst_uqc, unece_code=unece_code
    )
    unit.save()
    emit(event_of(events.UnitCreated, unit, "unit"))
    return unit
