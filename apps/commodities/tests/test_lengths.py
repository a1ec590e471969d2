"""Staple and length classes by the tables of the trade."""

from decimal import Decimal

import pytest

from apps.commodities.lengths import length_class, staple_32


@pytest.mark.parametrize(
    ("inches", "staple"),
    [
        ("0.70", 24),
        ("0.79", 24),
        ("0.80", 26),
        ("0.89", 28),
        ("1.04", 33),
        ("1.05", 34),
        ("1.13", 36),
        ("1.35", 43),
        ("1.36", 44),
    ],
)
def test_staple_comes_from_a_table(inches, staple):
    assert staple_32(Decimal(inches)) == staple


@pytest.mark.parametrize(
    ("millimetres", "name"),
    [
        ("20.0", "SHORT"),
        ("20.5", "MEDIUM"),
        ("24.5", "MEDIUM"),
        ("25.0", "MEDIUM_LONG"),
        ("27.0", "MEDIUM_LONG"),
        ("27.5", "LONG"),
        ("32.0", "LONG"),
        ("32.5", "EXTRA_LONG"),
    ],
)
def test_length_classes_take_their_upper_end(millimetres, name):
    assert length_class(Decimal(millimetres)) == name
