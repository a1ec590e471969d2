"""Read what contracts store: definitions of units and pack weights."""

from collections.abc import Iterable, Mapping
from datetime import date

from django.db.models import Q

from apps.commodities.exact import Factor, Price
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import PackWeight, UnitDefinition
from erp.errors import RuleBroken

Status = UnitDefinition.Status


class NoDefinition(RuleBroken):
    """The unit isn't defined on that date, or not in that version."""


class WeightNeeded(RuleBroken):
    """The weight of a package is not known: enter the weight."""


def factors(
    codes: Iterable[str], *, on: date, versions: Mapping[str, int] | None = None
) -> dict[str, Factor]:
    """Return the definitions of units by code: of the requested version, else the one effective on that day.

    A requested version may be withdrawn: it can always be read. Raises NoDefinition.
    """
    wanted, requested = set(codes), versions or {}
    named = Q(pk=None)
    for code, version in requested.items():
        named |= Q(unit__code=code, unit_version=version, status__in=UnitDefinition.PUBLIC)
    effective = Q(pk__in=UnitDefinition.objects.active().on(on)) & ~Q(unit__code__in=requested)
    rows = UnitDefinition.objects.filter(named | effective, unit__code__in=wanted).select_related("unit")
    found = {row.code: factor_of(row) for row in rows}
    if missing := sorted(wanted - found.keys()):
        names = [
            f"{code} version {requested[code]}" if code in requested else f"{code} on {on}"
            for code in missing
        ]
        raise NoDefinition(f"There is no definition of {', '.join(names)}.")
    return found


def factor_of(definition: UnitDefinition) -> Factor:
    """Convert a definition to the factor that contracts store."""
    return Factor(
        unit=definition.code,
        unit_version=definition.unit_version,
        dimension=definition.unit.dimension,
        numerator=int(definition.numerator),
        denominator=int(definition.denominator),
        source=definition.source,
    )


def price_of(pricing_unit: PricingUnit, factor: Factor) -> Price:
    """Convert a pricing unit, with the stored factor of its unit, to a price."""
    return Price(pricing_unit.currency, pricing_unit.divisor, factor.dimension, factor.value)


def package_weight(commodity: Commodity, package_unit: str, *, origin_country: str, on: date) -> PackWeight:
    """Return the weight of one package: NOMINAL, else STATISTICAL_NET. Raises WeightNeeded."""
    known = PackWeight.objects.on(on).filter(
        commodity=commodity,
        package_unit=package_unit,
        origin_country=origin_country,
        basis__in=(PackWeight.Basis.NOMINAL, PackWeight.Basis.STATISTICAL_NET),
        value__isnull=False,
    )
    weight: PackWeight | None = known.order_by("basis").first()  # NOMINAL sorts first
    if weight is None:
        raise WeightNeeded(f"{package_unit} of {commodity} from {origin_country} has no weight of its own.")
    return weight
