"""The arithmetic of matching: pure functions, exact but for the ramps and sums of the score, without a database."""

from typing import Final

VERSION: Final = 1  # of the formulas; stored with every match and part of its digest
