"""Exact arithmetic of units, weights and prices: fractions all the way, one rounding at the end of a named amount.

Pure functions: the values that a contract stored always give the same result.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from erp.errors import RuleBroken

Number = Fraction | Decimal | int
HALF: Final = Fraction(1, 2)
# Decimals of a currency's amounts (ISO 4217); of every other: two.
NO_DECIMALS: Final = (
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"),
    *("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
)
EXPONENTS: Final = {
    **dict.fromkeys(NO_DECIMALS, 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


class UnitDimension(RuleBroken):
    """The units measure different things."""


class Rounding(StrEnum):
    """How a number is rounded."""

    HALF_UP = "HALF_UP"
    HALF_EVEN = "HALF_EVEN"
    DOWN = "DOWN"


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A unit as a contract stores it: its value in the base unit of its dimension, and its version."""

    unit: str
    unit_version: int
    dimension: str
    numerator: int
    denominator: int
    source: str

    @property
    def value(self) -> Fraction:
        """The value of the unit in KG, M, M2, L or EACH."""
        return Fraction(self.numerator, self.denominator)


@dataclass(frozen=True)
class Price:
    """The quotation of a price: per ``factor`` base units of its dimension, in 1 ÷ ``divisor`` of a currency."""

    currency: str
    divisor: int
    dimension: str
    factor: Fraction


def converted(value: Number, source: Factor, target: Factor) -> Fraction:
    """``value`` of one unit in another. Raises UnitDimension."""
    _require_same(source.dimension, target.dimension, f"{source.unit} cannot be converted to {target.unit}.")
    return Fraction(value) * source.value / target.value


def amount(quantity: Number, unit: Factor, rate: Number, price: Price) -> Fraction:
    """Calculate the price of ``quantity`` of a unit at ``rate``, quoted in ``price``; in the price's currency.

    Raises UnitDimension.
    """
    _require_same(unit.dimension, price.dimension, f"{unit.unit} isn't priced per {price.dimension}.")
    return Fraction(quantity) * unit.value / price.factor * Fraction(rate) / price.divisor


def requoted(rate: Number, quoted: Price, wanted: Price, exchange: Number = 1) -> Fraction:
    """A rate as another price quotes it. ``exchange``: how many of the wanted currency one of the quoted is.

    Cents per pound become rupees per candy: ÷ 100 × USDINR × candy ÷ pound. Raises UnitDimension.
    """
    _require_same(
        quoted.dimension, wanted.dimension, f"{quoted.dimension} isn't priced per {wanted.dimension}."
    )
    return (
        Fraction(rate) / quoted.divisor * Fraction(exchange) * wanted.factor / quoted.factor * wanted.divisor
    )


def rounded(value: Fraction, places: int, mode: Rounding = Rounding.HALF_UP) -> Decimal:
    """A fraction as a decimal of so many places; HALF_UP goes away from zero, DOWN towards it."""
    scaled = abs(value) * 10**places
    whole, rest = divmod(scaled, 1)
    up = rest > HALF or (
        rest == HALF and (mode is Rounding.HALF_UP or (mode is Rounding.HALF_EVEN and whole % 2 == 1))
    )
    digits = whole + (up and mode is not Rounding.DOWN)
    # From text, which has every digit; arithmetic on decimals is limited to 28.
    return Decimal(f"{digits if value >= 0 else -digits}E-{places}")


def exponent_of(currency: str) -> int:
    """Decimals of the currency's amounts."""
    return EXPONENTS.get(currency, 2)


def _require_same(one: str, other: str, words: str) -> None:
    if one != other:
        raise UnitDimension(words)
