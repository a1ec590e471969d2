"""The shape of a schedule of premiums and discounts, as it is applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from apps.commodities.exact import Price


class Mode(StrEnum):
    """How percentages are combined: added up, or one after the other."""

    ADDITIVE = "ADDITIVE"
    COMPOUND = "COMPOUND"


class Form(StrEnum):
    """How a line determines its effect."""

    BAND = "BAND"
    LADDER = "LADDER"
    LINEAR = "LINEAR"
    MATRIX = "MATRIX"
    WEIGHT = "WEIGHT"
    NO_LIMIT = "NO_LIMIT"


class Effect(StrEnum):
    """The meaning of a line's figure: percents of the contract's rate, money, or points of the quoted cents."""

    PERCENT = "PERCENT"
    MONEY = "MONEY"
    POINTS = "POINTS"


class Side(StrEnum):
    """On which side of its base a line counts a deviation."""

    ABOVE = "ABOVE"
    BELOW = "BELOW"
    BOTH = "BOTH"


class WeightRule(StrEnum):
    """Whether a WEIGHT line reduces by the deviation itself, or to the same dry matter."""

    ONE_FOR_ONE = "ONE_FOR_ONE"
    DRY_MATTER = "DRY_MATTER"


class RejectMode(StrEnum):
    """Whether a lot outside the limits is rejected, or the buyer may reject it."""

    ABSOLUTE = "ABSOLUTE"
    BUYER_OPTION = "BUYER_OPTION"


@dataclass(frozen=True)
class Band:
    """Values from ``start``, included, to ``end``, excluded; None is without end."""

    start: Decimal | None
    end: Decimal | None
    effect: Decimal


@dataclass(frozen=True)
class Step:
    """Deviations up to ``up_to``, included."""

    up_to: Decimal
    effect: Decimal


@dataclass(frozen=True, kw_only=True)
class DifferenceLine:
    """One line of a schedule. Figures are in the unit of the parameter; ``line_cap`` bounds what good quality earns."""

    order: int
    parameter: str
    method: str
    form: Form
    effect: Effect = Effect.PERCENT
    second_parameter: str | None = None
    base_low: Decimal | None = None
    base_high: Decimal | None = None
    side: Side = Side.BOTH
    tolerance: Decimal = Decimal(0)
    rate: Decimal | None = None
    weight_rule: WeightRule = WeightRule.ONE_FOR_ONE
    reciprocal: bool = False
    line_cap: Decimal | None = None
    reject_below: Decimal | None = None
    reject_above: Decimal | None = None
    reject_mode: RejectMode = RejectMode.ABSOLUTE
    bands: Sequence[Band] = ()
    steps: Sequence[Step] = ()
    cells: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)

    def base(self) -> tuple[Fraction, Fraction]:
        """Both ends of the base; a missing one equals the other."""
        low = self.base_low if self.base_low is not None else self.base_high
        high = self.base_high if self.base_high is not None else self.base_low
        if low is None or high is None:
            raise ValueError(f"line {self.order} has no base")
        return Fraction(low), Fraction(high)


@dataclass(frozen=True, kw_only=True)
class DifferenceSchedule:
    """A schedule as it is applied. ``price``: in what MONEY and POINTS are quoted."""

    mode: Mode
    lines: Sequence[DifferenceLine]
    price: Price | None = None
    cap_percent: Decimal | None = None
