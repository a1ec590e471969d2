"""How the units, pricing units and weights that the product brings along are loaded.

What is there already stays as it is, since staff may have changed it; so a second run changes nothing.
"""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from apps.commodities import capabilities, events
from apps.commodities.models import Commodity, PackWeight, PricingUnit, Unit, UnitDefinition
from apps.commodities.reference.units import PLACES, PRICES, UNITS, WEIGHTS
from apps.commodities.services.packs import set_pack_weight
from apps.commodities.services.pricing import create_pricing_unit
from apps.commodities.services.units import UNIT_DEFINITION, create_unit
from erp.access import Actor
from erp.services import service

SINCE: Final = date(1900, 1, 1)  # before any contract here


@service(
    requires=capabilities.MANAGE_TERMS,
    emits=[events.UnitCreated, events.UNIT_DEFINITION.published, events.PricingUnitCreated],
    advisory_lock=UNIT_DEFINITION.lock,
)
def load_units(*, actor: Actor) -> int:
    """Add the units, their definitions and the pricing units that are missing; returns how many rows are new."""
    there = Unit.objects.in_bulk(field_name="code")
    defined = set(UnitDefinition.objects.values_list("unit__code", flat=True))
    made = 0
    for dimension, rows in UNITS.items():
        for code, symbol, name, factor, source, uqc, unece in rows:
            unit = there.get(code)
            if unit is None:
                unit = create_unit(
                    actor=actor,
                    code=code,
                    dimension=dimension,
                    symbol=symbol,
                    name=name,
                    gst_uqc=uqc,
                    unece_code=unece,
                )
                made += 1
            if code in defined or unit.dimension != dimension:
                continue
            exact = Fraction(factor)
            definition = UnitDefinition(
                unit=unit,
                unit_version=1,
                numerator=Decimal(exact.numerator),
                denominator=Decimal(exact.denominator),
                source=source,
                valid_from=SINCE,
            )
            UNIT_DEFINITION.release(definition, actor)
            made += 1
    return made + _load_prices(actor)


def _load_prices(actor: Actor) -> int:
    known = set(PricingUnit.objects.values_list("code", flat=True))
    quoted = {(row.currency, row.divisor, row.unit_id) for row in PricingUnit.objects.all()}
    units = Unit.objects.in_bulk({unit for _, _, _, unit, _ in PRICES}, field_name="code")
    missing = [row for row in PRICES if row[0] not in known and row[1:4] not in quoted]
    for code, currency, divisor, unit, tick in missing:
        create_pricing_unit(
            actor=actor,
            code=code,
            currency=currency,
            divisor=divisor,
            unit=units[unit],
            places=PLACES,
            tick=None if tick is None else Decimal(tick),
        )
    return len(missing)


@service(requires=capabilities.MANAGE_TERMS, emits=[events.PackWeightSet])
def load_pack_weights(*, actor: Actor) -> int:
    """Add the weights of packages that are missing, of the commodities that are there; returns how many are new."""
    goods = Commodity.objects.exclude(status=Commodity.Status.ARCHIVED).in_bulk(
        {commodity for commodity, _ in WEIGHTS}, field_name="code"
    )
    units = Unit.objects.in_bulk(field_name="code")
    known = {
        (weight.commodity.code, weight.package_unit_id, weight.origin_country, weight.basis)
        for weight in PackWeight.objects.select_related("commodity")
    }
    made = 0
    for (commodity, package), rows in WEIGHTS.items():
        for origin, basis, value, low, high, unit, source in rows:
            if commodity not in goods or (commodity, package, origin, basis) in known:
                continue
            set_pack_weight(
                goods[commodity],
                actor=actor,
                package_unit=units[package],
                origin_country=origin,
                basis=basis,
                value=None if value is None else Decimal(value),
                unit=units[unit],
                low=Decimal(low),
                high=Decimal(high),
                source=source,
                valid_from=SINCE,
            )
            made += 1
    return made
