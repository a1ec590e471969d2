"""What the product knows of units also before they are loaded."""

from typing import Final

from apps.commodities.reference import FILES
from erp.reference_data import read

DIMENSIONS: Final = {row["code"]: row["dimension"] for row in read(FILES / "units.csv")}
