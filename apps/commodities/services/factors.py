"""What contracts pin: the definitions in force, and what a package weighs. Reads only."""

from collections.abc import Iterable, Mapping
from datetime import date

from django.db.models import Q

from apps.commodities.exact import Factor, Price
from apps.commodities.models import Commodity, PackWeight, PricingUnit, UnitDefinition
from erp.errors import RuleBroken

Status = UnitDefinition.Status


class NoDefinition(RuleBroken):
    """The unit isn't defined on that date, or not in that version."""


class WeightNeeded(RuleBroken):
    """What a package weighs isn't known: give the weight."""


def factors(
    codes: Iterable[str], *, on: date, versions: Mapping[str, int] | None = None
) -> dict[str, Factor]:
    """The definitions of units, by code: of the version asked for, else the one in force on that day.

    A version asked for may be withdrawn by now, it resolves for ever. Raises NoDefinition.
    """
    wanted, asked = set(codes), versions or {}
    named = Q(pk=None)
    for code, version in asked.items():
        named |= Q(unit__code=code, unit_version=version, status__in=UnitDefinition.PUBLIC)
    in_force = Q(pk__in=UnitDefinition.objects.active().on(on)) & ~Q(unit__code__in=asked)
    rows = UnitDefinition.objects.filter(named | in_force, unit__code__in=wanted).select_related("unit")
    found = {row.code: factor_of(row) for row in rows}
    if missing := sorted(wanted - found.keys()):
        told = [f"{code} version {asked[code]}" if code in asked else f"{code} on {on}" for code in missing]
        raise NoDefinition(f"There is no definition of {', '.join(told)}.")
    return found


def factor_of(definition: UnitDefinition) -> Factor:
    """A definition as it is pinned."""
    return Factor(
        unit=definition.code,
        unit_version=definition.unit_version,
        dimension=definition.unit.dimension,
        numerator=int(definition.numerator),
        denominator=int(definition.denominator),
        source=definition.source,
    )


def price_of(pricing_unit: PricingUnit, factor: Factor) -> Price:
    """How a pricing unit quotes, with its unit as it is pinned."""
    return Price(pricing_unit.currency, pricing_unit.divisor, factor.dimension, factor.value)


def package_weight(commodity: Commodity, package_unit: str, *, origin_country: str, on: date) -> PackWeight:
    """The row that says what one package weighs: NOMINAL, else STATISTICAL_NET. Raises WeightNeeded."""
    known = PackWeight.objects.on(on).filter(
        commodity=commodity,
        package_unit=package_unit,
        origin_country=origin_country,
        basis__in=(PackWeight.Basis.NOMINAL, PackWeight.Basis.STATISTICAL_NET),
        value__isnull=False,
    )
    weight: PackWeight | None = known.order_by("basis").first()  # NOMINAL stands first
    if weight is None:
        raise WeightNeeded(f"{package_unit} of {commodity} from {origin_country} has no weight of its own.")
    return weight
