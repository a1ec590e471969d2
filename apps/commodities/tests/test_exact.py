"""Exact arithmetic: no float, one rounding at the end, and the figures of the trade."""

import ast
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import apps.commodities
from apps.commodities.exact import (
    Factor,
    Price,
    Rounding,
    UnitDimension,
    amount,
    converted,
    exponent_of,
    requoted,
    rounded,
)
from apps.commodities.reference import FILES
from apps.commodities.reference.units import DIMENSIONS
from apps.commodities.seasons import days_of, season_of
from erp.reference_data import read

EVERY = {
    row["unit"]: Factor(
        unit=row["unit"],
        unit_version=1,
        dimension=DIMENSIONS[row["unit"]],
        numerator=int(row["numerator"]),
        denominator=int(row["denominator"]),
        source=row["source"],
    )
    for row in read(FILES / "unit_definitions.csv")
}
PAIRS = [(a, b) for a, b in product(EVERY.values(), repeat=2) if a.dimension == b.dimension]
KG, LB, QTL = EVERY["KG"], EVERY["LB"], EVERY["QTL"]


def per(code, currency="INR", divisor=1):
    return Price(currency, divisor, EVERY[code].dimension, EVERY[code].value)


CENTS = per("LB", "USD", 100)


@pytest.mark.parametrize(
    ("candy", "value"),
    [
        ("CANDY", "14341150.67"),
        ("CANDY_784LB", "14341295.12"),
        ("CANDY_MCX", "14343570.71"),
        ("CANDY_CCI", "14325842.70"),
    ],
)
def test_six_hundred_bales_at_fifty_thousand_per_candy(candy, value):
    exact = amount(600 * 170, KG, 50000, per(candy))
    assert rounded(exact, 2) == Decimal(value)


def test_nothing_is_rounded_on_the_way():
    exact = amount(102000, KG, 50000, per("CANDY"))
    assert f"{rounded(exact, 12):f}" == "14341150.666441707441"
    per_kg = rounded(requoted(50000, per("CANDY"), per("KG")), 2)
    assert rounded(amount(102000, KG, per_kg, per("KG")), 2) == Decimal("14341200.00")
    candies = rounded(converted(102000, KG, EVERY["CANDY"]), 2)
    assert rounded(amount(candies, EVERY["CANDY"], 50000, per("CANDY")), 2) == Decimal("14341000.00")


def test_pounds_candies_and_maunds():
    assert rounded(converted(85000, KG, LB), 3) == Decimal("187392.923")
    assert converted(1, EVERY["CANDY_784LB"], LB) == 784
    assert rounded(amount(17000, KG, 53500, per("CANDY")), 2) == Decimal("2557505.20")
    assert requoted(1400, per("MAUND_20"), per("QTL")) == 7000


@pytest.mark.parametrize(("candy", "value"), [("CANDY_784LB", "50974.31"), ("CANDY", "50974.82")])
def test_cents_per_pound_become_rupees_per_candy(candy, value):
    rupees = requoted(Decimal("73.26"), CENTS, per(candy), exchange=Decimal("88.75"))
    assert rounded(rupees, 2) == Decimal(value)
    assert requoted(rupees, per(candy), CENTS, exchange=1 / Fraction("88.75")) == Fraction("73.26")


def test_the_units_are_those_that_the_trade_knows():
    assert EVERY["CANDY"].value == Fraction("355.62")
    assert EVERY["CANDY_784LB"].value == Fraction("355.61641808")
    assert EVERY["TROY_OZ"].value == Fraction("0.0311034768")
    assert EVERY["MAUND_82LB"].value == Fraction(576, 7) * LB.value
    assert EVERY["BUSHEL_60"].value == 60 * LB.value
    assert EVERY["BUSHEL_56"].value == 56 * LB.value
    assert EVERY["SHORT_TON"].value == 2000 * LB.value
    assert EVERY["LONG_TON"].value == 2240 * LB.value
    assert EVERY["OZ"].value * 16 == LB.value
    assert EVERY["SQ_YARD"].value == EVERY["YARD"].value ** 2
    assert EVERY["SQ_FOOT"].value == EVERY["FOOT"].value ** 2
    assert EVERY["US_GALLON"].value == 231 * EVERY["INCH"].value ** 3 * 1000
    assert EVERY["BARREL"].value == 42 * EVERY["US_GALLON"].value
    assert len(EVERY) == 40
    assert len(read(FILES / "pricing_units.csv")) == 14


@given(st.fractions(min_value=0, max_denominator=10**6))
def test_there_and_back_is_the_same_fraction_for_every_pair(value):
    for source, target in PAIRS:
        assert converted(converted(value, source, target), target, source) == value


@given(
    st.decimals(min_value=0, max_value=10**9, places=3), st.decimals(min_value=0, max_value=10**9, places=6)
)
def test_an_amount_is_the_same_in_whatever_unit_the_weight_is(weight, rate):
    exact = amount(weight, KG, rate, per("CANDY"))
    for unit in EVERY.values():
        if unit.dimension == "MASS":
            assert amount(converted(weight, KG, unit), unit, rate, per("CANDY")) == exact


def test_dimensions_never_mix():
    one = {factor.dimension: factor for factor in EVERY.values()}
    for source, target in combinations(one.values(), 2):
        with pytest.raises(UnitDimension):
            converted(1, source, target)
    with pytest.raises(UnitDimension):
        amount(1, EVERY["BALE"], 1, per("CANDY"))
    with pytest.raises(UnitDimension):
        requoted(1, per("BALE"), per("CANDY"))


@pytest.mark.parametrize(
    ("value", "up", "even", "down"),
    [
        ("2.345", "2.35", "2.34", "2.34"),
        ("2.355", "2.36", "2.36", "2.35"),
        ("-2.345", "-2.35", "-2.34", "-2.34"),
        ("2.3450001", "2.35", "2.35", "2.34"),
        ("2.3449999", "2.34", "2.34", "2.34"),
        ("0", "0.00", "0.00", "0.00"),
    ],
)
def test_a_number_between_two_is_rounded_by_the_mode(value, up, even, down):
    exact = Fraction(value)
    values = [
        f"{rounded(exact, 2, mode):f}" for mode in (Rounding.HALF_UP, Rounding.HALF_EVEN, Rounding.DOWN)
    ]
    assert values == [up, even, down]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_rounding_is_that_of_decimals(value):
    for mode in Rounding:
        assert rounded(Fraction(value), 2, mode) == value.quantize(Decimal("0.01"), f"ROUND_{mode}")


def test_figures_beyond_the_precision_of_decimals_keep_every_digit():
    assert f"{rounded(Fraction(10**40) + Fraction(1, 8), 3):f}" == f"{10**40}.125"


def test_amounts_have_the_decimals_of_their_currency():
    assert [exponent_of(code) for code in ("INR", "USD", "JPY", "KWD")] == [2, 2, 0, 3]


@pytest.mark.parametrize(
    ("day", "month", "label"),
    [
        (date(2025, 9, 30), 10, "2024-25"),
        (date(2025, 10, 1), 10, "2025-26"),
        (date(2026, 9, 30), 10, "2025-26"),
        (date(1999, 10, 1), 10, "1999-00"),
        (date(2025, 1, 1), 1, "2025"),
        (date(2025, 12, 31), 1, "2025"),
        (date(2026, 3, 31), 4, "2025-26"),
    ],
)
def test_a_day_falls_into_one_season(day, month, label):
    assert season_of(day, month) == label
    first, last = days_of(label, month)
    assert first <= day <= last


def test_a_season_lasts_twelve_months():
    assert days_of("2025-26", 10) == (date(2025, 10, 1), date(2026, 9, 30))
    assert days_of("2024", 1) == (date(2024, 1, 1), date(2024, 12, 31))


@pytest.mark.parametrize(
    "label", ["2025-27", "2025-25", "2025", "25-26", "2025-2026", "२०२५-२६", "", "0000-01"]
)
def test_other_labels_are_not_seasons(label):
    with pytest.raises(ValueError):  # noqa: PT011 - the words don't matter here
        days_of(label, 10)


SOURCES = sorted(
    path
    for path in Path(apps.commodities.__file__).parent.rglob("*.py")
    if not {"tests", "migrations"} & set(path.parts)
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_figure_is_ever_a_float(path):
    """Neither a literal, nor the type, nor a true division of two whole numbers that are written there."""
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), ast.unparse(node)
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"line {node.lineno}"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            sides = [side for side in (node.left, node.right) if isinstance(side, ast.Constant)]
            assert len(sides) < 2, ast.unparse(node)
