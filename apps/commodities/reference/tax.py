"""Codes of the Customs Tariff that the cotton trade meets, words that name them, and rates of GST."""

from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

# First schedule of the Customs Tariff Act 1975; 9961 is a service accounting code.
HSN_CODES: Final = {
    "0713": "Dried leguminous vegetables, shelled",
    "07132020": "Bengal gram (desi chana), dried, shelled",
    "1001": "Wheat and meslin",
    "10019910": "Wheat, other than durum and for sowing",
    "1005": "Maize (corn)",
    "1006": "Rice",
    "1201": "Soya beans",
    "12019000": "Soya beans, other than seed",
    "1202": "Groundnuts, not roasted or otherwise cooked",
    "1206": "Sunflower seeds",
    "1207": "Other oil seeds and oleaginous fruits",
    "12072900": "Cotton seeds, other than for sowing",
    "140420": "Cotton linters",
    "2306": "Oil cake and other solid residues of vegetable fats or oils",
    "5201": "Cotton, not carded or combed",
    "52010011": "Indian cotton: Bengal deshi",
    "52010012": "Indian cotton of staple length 20.5 mm and below",
    "52010013": "Indian cotton of staple length above 20.5 mm, to 24.5 mm",
    "52010014": "Indian cotton of staple length above 24.5 mm, to 28.0 mm",
    "52010015": "Indian cotton of staple length 28.5 mm and above, below 34.5 mm",
    "52010019": "Indian cotton of staple length 34.5 mm and above",
    "52010021": "Other cotton of staple length 20.0 mm and below",
    "52010022": "Other cotton of staple length above 20.0 mm, to 24.5 mm",
    "52010023": "Other cotton of staple length above 24.5 mm, to 27.0 mm",
    "52010024": "Other cotton of staple length above 27.0 mm, to 32.0 mm",
    "52010025": "Other cotton of staple length above 32.0 mm",
    "5202": "Cotton waste, with yarn waste and garnetted stock",
    "5203": "Cotton, carded or combed",
    "5204": "Cotton sewing thread",
    "5205": "Cotton yarn, 85 % or more of cotton by weight, not for retail",
    "5206": "Cotton yarn, less than 85 % of cotton by weight, not for retail",
    "5208": "Woven fabrics of cotton, 85 % or more by weight, to 200 g/m2",
    "5503": "Synthetic staple fibres, not carded or combed",
    "5504": "Artificial staple fibres, not carded or combed",
    "9961": "Services in wholesale trade, with those of commission agents",
}

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

# The code that goods of a category bear where nothing else is known.
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


class Line(NamedTuple):
    """A line of the tariff by staple length in mm: above, or from, to, or below."""

    code: str
    above: Decimal | None = None
    start: Decimal | None = None
    to: Decimal | None = None
    below: Decimal | None = None

    def holds(self, staple_mm: Decimal) -> bool:
        """Whether cotton of this staple belongs to the line."""
        return (
            (self.above is None or staple_mm > self.above)
            and (self.start is None or staple_mm >= self.start)
            and (self.to is None or staple_mm <= self.to)
            and (self.below is None or staple_mm < self.below)
        )


# Between 28.0 and 28.5 mm the tariff is silent on Indian cotton.
INDIAN_COTTON: Final = (
    Line("52010012", to=Decimal("20.5")),
    Line("52010013", above=Decimal("20.5"), to=Decimal("24.5")),
    Line("52010014", above=Decimal("24.5"), to=Decimal("28.0")),
    Line("52010015", start=Decimal("28.5"), below=Decimal("34.5")),
    Line("52010019", start=Decimal("34.5")),
)
OTHER_COTTON: Final = (
    Line("52010021", to=Decimal("20.0")),
    Line("52010022", above=Decimal("20.0"), to=Decimal("24.5")),
    Line("52010023", above=Decimal("24.5"), to=Decimal("27.0")),
    Line("52010024", above=Decimal("27.0"), to=Decimal("32.0")),
    Line("52010025", above=Decimal("32.0")),
)
BENGAL_DESHI: Final = "52010011"


class Rate(NamedTuple):
    """A rate of GST and the notification of Central Tax (Rate) that it rests on."""

    hsn: str
    condition: str
    percent: Decimal
    valid_from: date
    valid_to: date | None
    notification: str

    @property
    def source(self) -> str:
        """The notification in full."""
        return f"Notification {self.notification}-Central Tax (Rate)"


GST, REFORM, REFORM_EVE = date(2017, 7, 1), date(2025, 9, 22), date(2025, 9, 21)
LABELLED = date(2022, 7, 18)  # since then what is packed and labelled is taxed, not what is branded


def _spans(hsn: str, condition: str, percent: int, start: date, first: str, second: str) -> tuple[Rate, Rate]:
    return (
        Rate(hsn, condition, Decimal(percent), start, REFORM_EVE, first),
        Rate(hsn, condition, Decimal(percent), REFORM, None, second),
    )


RATES: Final = (
    *(
        rate
        for hsn in ("5201", "5202", "5203", "5205", "5206")
        for rate in _spans(hsn, "ANY", 5, GST, "1/2017", "9/2025")
    ),
    *(
        rate
        for hsn in ("1201", "1207")
        for rate in (
            *_spans(hsn, "NOT_SEED_QUALITY", 5, GST, "1/2017", "9/2025"),
            *_spans(hsn, "SEED_QUALITY", 0, GST, "2/2017", "10/2025"),
        )
    ),
    *(
        rate
        for hsn in ("1001", "0713")
        for rate in (
            *_spans(hsn, "PREPACKED", 5, LABELLED, "6/2022", "9/2025"),
            *_spans(hsn, "NOT_PREPACKED", 0, LABELLED, "7/2022", "10/2025"),
        )
    ),
    Rate("9961", "ANY", Decimal(18), GST, None, "11/2017"),
)
