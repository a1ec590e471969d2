"""Staple length in the words of the trade: thirty-seconds of an inch, and the classes of the Ministry of Textiles."""

from bisect import bisect_left
from decimal import Decimal
from typing import Final

# Upper end of each class of UHML in inches, to two places → staple in 1/32 inch: the classers' table, which isn't
# what arithmetic would give.
STAPLES: Final = {
    Decimal(inches): staple
    for inches, staple in (
        ("0.79", 24), ("0.85", 26), ("0.89", 28), ("0.92", 29), ("0.95", 30), ("0.98", 31), ("1.01", 32),
        ("1.04", 33), ("1.07", 34), ("1.10", 35), ("1.13", 36), ("1.17", 37), ("1.20", 38), ("1.23", 39),
        ("1.26", 40), ("1.29", 41), ("1.32", 42), ("1.35", 43),
    )
}  # fmt: skip
LONGEST: Final = 44
# Upper end in mm of each length class; what is longer is EXTRA_LONG.
CLASSES: Final = {
    Decimal("20.0"): "SHORT",
    Decimal("24.5"): "MEDIUM",
    Decimal("27.0"): "MEDIUM_LONG",
    Decimal("32.0"): "LONG",
}
EXTRA_LONG: Final = "EXTRA_LONG"


def staple_32(uhml_inches: Decimal) -> int:
    """Staple in 1/32 inch of an upper half mean length in inches, as HVI reports it: to two places."""
    ends = list(STAPLES)
    place = bisect_left(ends, uhml_inches)
    return STAPLES[ends[place]] if place < len(ends) else LONGEST


def length_class(millimetres: Decimal) -> str:
    """Length class of lint by its staple in mm."""
    ends = list(CLASSES)
    place = bisect_left(ends, millimetres)
    return CLASSES[ends[place]] if place < len(ends) else EXTRA_LONG
