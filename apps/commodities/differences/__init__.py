"""Premiums and discounts: the effect of a lot's quality on its rate and weight. Pure, and exact until the end.

A schedule has lines, each about one parameter measured by one method. WEIGHT lines run first and change the weight
that is paid for; the others change the rate, by percents of the contract's rate, by money or by points. Everything
is calculated in fractions; the adjusted rate (6 places) and the accounted weight (3 places) are rounded once, half up.
"""

from apps.commodities.differences.evaluation import (
    CurrencyMismatch,
    Evaluation,
    Outcome,
    Result,
    ResultMissing,
    ResultUnfit,
    ScheduleGap,
    Traced,
    evaluate,
)
from apps.commodities.differences.shapes import (
    Band,
    DifferenceLine,
    DifferenceSchedule,
    Effect,
    Form,
    Mode,
    RejectMode,
    Side,
    Step,
    WeightRule,
)
from apps.commodities.exact import Price

__all__ = [
    "Band",
    "CurrencyMismatch",
    "Effect",
    "Evaluation",
    "Form",
    "DifferenceLine",
    "Mode",
    "Outcome",
    "Price",
    "RejectMode",
    "Result",
    "ResultMissing",
    "ResultUnfit",
    "DifferenceSchedule",
    "ScheduleGap",
    "Side",
    "Step",
    "Traced",
    "WeightRule",
    "evaluate",
]
