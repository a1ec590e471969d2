"""HSN codes of the cotton trade, and phrases that name their goods."""

from decimal import Decimal
from typing import Final, NamedTuple

from apps.commodities.reference import FILES
from erp.reference_data import read

# First schedule of the Customs Tariff Act 1975; 9961 is a service accounting code.
HSN_CODES: Final = {row["code"]: row["description"] for row in read(FILES / "hsn_codes.csv")}

PHRASES: Final = {
    "cotton seed oil cake": "2306",
    "cotton sewing thread": "5204",
    "cotton waste": "5202",
    "yarn waste": "5202",
    "carded cotton": "5203",
    "combed cotton": "5203",
    "cotton linters": "140420",
    "cotton fabric": "5208",
    "cotton yarn": "5205",
    "cotton seed": "1207",
    "seed cotton": "5201",
    "kapas": "5201",
    "cotton lint": "5201",
    "raw cotton": "5201",
    "cotton": "5201",
    "polyester staple": "5503",
    "viscose staple": "5504",
    "wheat": "1001",
    "maize": "1005",
    "rice": "1006",
    "paddy": "1006",
    "soybean": "1201",
    "groundnut": "1202",
    "sunflower seed": "1206",
    "chana": "0713",
    "gram": "0713",
    "tur": "0713",
    "moong": "0713",
    "urad": "0713",
    "masoor": "0713",
}

# The category of goods by what their code begins with; the longest prefix counts.
CATEGORIES: Final = {
    "52": "FIBRE",
    "5204": "YARN",
    "5205": "YARN",
    "5206": "YARN",
    "5207": "YARN",
    "5208": "FABRIC",
    "2306": "OILCAKE",
    "12": "OILSEED",
    "10": "CEREAL",
    "0713": "PULSE",
}

# The usual code of a category, if nothing else is known.
USUAL_CODES: Final = {
    "FIBRE": "5201",
    "SEED_COTTON": "5201",
    "YARN": "5205",
    "FABRIC": "5208",
    "OILCAKE": "2306",
    "OILSEED": "1207",
    "CEREAL": "1001",
    "PULSE": "0713",
}


class TaxLine(NamedTuple):
    """A line of the tariff by staple length in mm: above, or from, to, or below."""

    code: str
    above: Decimal | None = None
    start: Decimal | None = None
    to: Decimal | None = None
    below: Decimal | None = None

    def contains(self, staple_mm: Decimal) -> bool:
        """Whether cotton of this staple belongs to the line."""
        return (
            (self.above is None or staple_mm > self.above)
            and (self.start is None or staple_mm >= self.start)
            and (self.to is None or staple_mm <= self.to)
            and (self.below is None or staple_mm < self.below)
        )


# The tariff has no line for Indian cotton between 28.0 and 28.5 mm.
INDIAN_COTTON: Final = (
    TaxLine("52010012", to=Decimal("20.5")),
    TaxLine("52010013", above=Decimal("20.5"), to=Decimal("24.5")),
    TaxLine("52010014", above=Decimal("24.5"), to=Decimal("28.0")),
    TaxLine("52010015", start=Decimal("28.5"), below=Decimal("34.5")),
    TaxLine("52010019", start=Decimal("34.5")),
)
OTHER_COTTON: Final = (
    TaxLine("52010021", to=Decimal("20.0")),
    TaxLine("52010022", above=Decimal("20.0"), to=Decimal("24.5")),
    TaxLine("52010023", above=Decimal("24.5"), to=Decimal("27.0")),
    TaxLine("52010024", above=Decimal("27.0"), to=Decimal("32.0")),
    TaxLine("52010025", above=Decimal("32.0")),
)
BENGAL_DESHI: Final = "52010011"
