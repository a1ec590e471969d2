"""Dimensions of the product's units, known before they are loaded."""

from typing import Final

from apps.commodities.reference import FILES
from erp.reference_data import read

DIMENSIONS: Final = {row["code"]: row["dimension"] for row in read(FILES / "units.csv")}
