"""Conversion of quantities and calculation of prices."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from apps.commodities.exact import (
    Factor,
    Rounding,
    UnitDimension,
    amount,
    converted,
    exponent_of,
    rounded,
)
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import Unit
from apps.commodities.services.factors import WeightNeeded, factors, package_weight, price_of
from apps.commodities.services.rules import FieldsContradict
from erp import clock
from erp.access import Actor
from erp.errors import FieldError, Invalid

CONVERTED_PLACES: Final = 9
UNROUNDED_PLACES: Final = 12
COUNT: Final = Unit.Dimension.COUNT


def calculate_conversion(
    commodity: Commodity,
    *,
    actor: Actor,
    quantity: Mapping[str, Any],
    to_unit: str | None = None,
    rate: Decimal | None = None,
    pricing_unit: str | None = None,
    unit_versions: Mapping[str, int] | None = None,
    origin_country: str | None = None,
    on_date: date | None = None,
    rounding: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Convert a quantity and calculate its price. The answer names every factor used.

    A count is converted by the pack weight of the commodity and country on the date; a given weight overrides it.
    The amount is rounded once, at the end, half up to the currency's decimals unless ``rounding`` differs.
    """
    day = on_date or clock.today()
    count, weight = quantity.get("count"), quantity.get("weight")
    price = _price(commodity, rate, pricing_unit)
    count_unit = quantity.get("count_unit") or (commodity.package_unit if count is not None else None)
    weight_unit = quantity.get("weight_unit") or (commodity.base_unit if weight is not None else None)
    _check_shape(count, count_unit, weight, weight_unit)
    named = {
        "/quantity/count_unit": count_unit,
        "/quantity/weight_unit": weight_unit,
        "/to_unit": to_unit,
        "/pricing_unit": None if price is None else str(price.unit_id),
    }
    kinds = _dimensions(named, unit_versions or {})
    if count_unit is not None and kinds[count_unit] != COUNT:
        raise _misfit("/quantity/count_unit", f"{count_unit} is not a unit of packages.")
    if weight_unit is not None and kinds[weight_unit] == COUNT:
        raise _misfit("/quantity/weight_unit", f"{weight_unit} is not a unit of weight.")
    dimensions = [kinds[code] for code in (to_unit, named["/pricing_unit"]) if code is not None]
    sheet = _Sheet(day, unit_versions or {})
    sheet.count = (count, str(count_unit)) if count is not None else None
    sheet.weight = (weight, str(weight_unit), "given") if weight is not None else None
    if sheet.weight is None:
        sheet.weigh(
            commodity, origin_country or commodity.origin_country, any(d != COUNT for d in dimensions)
        )
    return {
        "converted": None if to_unit is None else sheet.convert(to_unit, kinds[to_unit]),
        "amount": None if price is None else sheet.price(rate, price, kinds[price.unit_id], rounding or {}),
        "weight": sheet.weighed(),
        "definitions": [
            {
                "unit": used.unit,
                "unit_version": used.unit_version,
                "numerator": str(used.numerator),
                "denominator": str(used.denominator),
                "source": used.source,
            }
            for used in sheet.used.values()
        ],
        "steps": sheet.steps,
    }


@dataclass
class _Sheet:
    """The state of a conversion, with its steps."""

    day: date
    versions: Mapping[str, int]
    count: tuple[Decimal, str] | None = None
    weight: tuple[Decimal, str, str] | None = None  # value, unit, basis
    used: dict[str, Factor] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def weigh(self, commodity: Commodity, origin: str, needed: bool) -> None:
        """Convert the count to a weight by the pack weight. Raises WeightNeeded if the weight is needed."""
        assert self.count is not None
        count, unit = self.count
        try:
            pack = package_weight(commodity, unit, origin_country=origin, on=self.day)
        except WeightNeeded:
            if needed:
                raise
            return
        assert pack.value is not None
        total = count * pack.value
        self.weight = total, pack.unit_id, "nominal"
        self.steps.append(
            f"{count:f} {unit} × {pack.value:f} {pack.unit_id} = {total:f} {pack.unit_id} ({pack.source})"
        )

    def weighed(self) -> dict[str, Any] | None:
        """Return the weight for the response."""
        if self.weight is None:
            return None
        value, unit, basis = self.weight
        return {"value": f"{value:.3f}", "unit": unit, "basis": basis}

    def convert(self, to_unit: str, dimension: str) -> dict[str, Any]:
        """Convert the quantity to another unit."""
        value, unit = self._quantity(dimension, "/to_unit")
        source, target = self._factors(unit, to_unit)
        result = converted(value, source, target)
        self.steps.append(f"{value:f} {unit} × {source.value} ÷ {target.value} = {result} {to_unit}")
        return {
            "value": f"{rounded(result, CONVERTED_PLACES):f}",
            "unit": to_unit,
            "numerator": str(result.numerator),
            "denominator": str(result.denominator),
        }

    def price(
        self, rate: Decimal | None, price: PricingUnit, dimension: str, rounding: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Calculate the price of the quantity; a price per package multiplies the count."""
        assert rate is not None
        value, unit = self._quantity(dimension, "/pricing_unit")
        source, per = self._factors(unit, price.unit_id)
        result: Fraction = amount(value, source, rate, price_of(price, per))
        self.steps.append(
            f"{value:f} {unit} × {source.value} ÷ {per.value} × {rate:f} ÷ {price.divisor} = {result} {price.currency}"
        )
        mode = Rounding(rounding.get("mode", Rounding.HALF_UP))
        places = rounding.get("places", exponent_of(price.currency))
        return {
            "value": f"{rounded(result, places, mode):f}",
            "currency": price.currency,
            "unrounded": f"{rounded(result, UNROUNDED_PLACES):f}",
        }

    def _quantity(self, dimension: str, pointer: str) -> tuple[Decimal, str]:
        """The count for what is counted, else the weight."""
        if dimension == COUNT:
            if self.count is None:
                raise _misfit(pointer, "A weight cannot be converted to packages: enter the count.")
            return self.count
        assert self.weight is not None
        return self.weight[0], self.weight[1]

    def _factors(self, *codes: str) -> list[Factor]:
        self.used |= factors(
            [code for code in codes if code not in self.used], on=self.day, versions=self.versions
        )
        return [self.used[code] for code in codes]


def _price(commodity: Commodity, rate: Decimal | None, code: str | None) -> PricingUnit | None:
    """Return the pricing unit of the rate: the requested one, else the commodity's."""
    if rate is None:
        if code is not None:
            raise FieldsContradict(
                errors=[FieldError("/rate", "required", "Enter the rate of the pricing unit.")]
            )
        return None
    price = commodity.pricing_unit if code is None else PricingUnit.objects.filter(code=code).first()
    if price is None and code is not None:
        raise Invalid(
            errors=[FieldError("/pricing_unit", "does_not_exist", "This pricing unit does not exist.")]
        )
    if price is None:
        raise FieldsContradict(
            errors=[FieldError("/pricing_unit", "required", "The commodity has no pricing unit: enter one.")]
        )
    return price


def _check_shape(count: Any, count_unit: str | None, weight: Any, weight_unit: str | None) -> None:
    """Check that there is a count or a weight, each with its unit."""
    faults = []
    if count is None and weight is None:
        faults.append(FieldError("/quantity", "required", "Enter a count or a weight."))
    for name, value, unit in (("count", count, count_unit), ("weight", weight, weight_unit)):
        if (value is None) != (unit is None):
            missing = name if value is None else f"{name}_unit"
            faults.append(
                FieldError(f"/quantity/{missing}", "required", "Enter both the number and its unit.")
            )
    if faults:
        raise FieldsContradict(errors=faults)


def _dimensions(named: Mapping[str, str | None], versions: Mapping[str, int]) -> dict[str, str]:
    """Return the dimensions of the requested units. Raises Invalid for an unknown or unused one."""
    kinds = dict(Unit.objects.filter(code__in=named.values()).values_list("code", "dimension"))
    faults = [
        FieldError(pointer, "does_not_exist", "This unit does not exist.")
        for pointer, code in named.items()
        if code is not None and code not in kinds
    ]
    faults += [
        FieldError(f"/unit_versions/{code}", "not_used", "This unit is not used in the conversion.")
        for code in versions
        if code not in kinds
    ]
    if faults:
        raise Invalid(errors=faults)
    return kinds


def _misfit(pointer: str, words: str) -> UnitDimension:
    return UnitDimension(words, errors=[FieldError(pointer, "dimension", words)])
