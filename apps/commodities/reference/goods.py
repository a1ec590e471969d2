"""Commodities and their quality parameters, from the tables beside this file.

- ``commodities.csv``: the goods of an Indian cotton trader, with their headings of the customs tariff.
- ``parameters.csv``, ``choices.csv``: their quality parameters, by HVI practice of the cotton trade (Cotton Association
  of India, USDA classing), the FCI's uniform specifications and the NCDEX's contract specifications. Colour grades are
  the USDA's 30 codes for upland cotton, each also with one of its four quadrants (31-3).
- ``varieties.csv``, ``grades.csv``: growths and grades of Indian cotton, with the usual results of their lots.

A range is ``26–32``, open where an end is missing; lists are separated by semicolons. ``practice`` is a note for
readers: what is usual in contracts.
"""

from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from apps.commodities.reference import FILES
from erp.reference_data import read

# HSN codes that the product includes, by the code of the commodity.
HSN_CODES: Final = {row["code"]: row["hsn_code"] for row in read(FILES / "commodities.csv")}
QUADRANTS: Final = range(1, 5)
# Categories whose templates are the parameters of a commodity.
SOURCES: Final = {
    "FIBRE": "COTTON",
    "SEED_COTTON": "KAPAS",
    "YARN": "COTTON_YARN",
    "CEREAL": "WHEAT",
    "PULSE": "CHANA",
    "OILSEED": "SOYBEAN",
}


def _parameter(row: dict[str, str], display_order: int) -> dict[str, Any]:
    """A parameter by the columns of its model."""
    ranges = {
        f"{name}_{end}": value
        for name, ends in (
            ("target", ("low", "high")),
            ("possible", ("min", "max")),
            ("usual", ("min", "max")),
        )
        for end, value in zip(ends, _range(row[name]), strict=True)
    }
    return {
        **{
            name: value
            for name, value in row.items()
            if name not in ("practice", "target", "possible", "usual")
        },
        **ranges,
        "data_type": "DECIMAL" if row["unit"] else "ENUM",
        "choices": _choices(row["commodity"], row["code"]),
        "display_order": display_order,
    }


def _variety(row: dict[str, str]) -> dict[str, Any]:
    """A variety by the columns of its model, but ``presets``: the ends of a range by a parameter's code."""
    names = ("staple_length", "micronaire", "strength")
    values = {name: value for name, value in row.items() if name not in names}
    return {**values, "presets": {name: _range(row[name]) for name in names}}


def _choices(commodity: str, parameter: str) -> list[dict[str, Any]]:
    rows = read(FILES / "choices.csv")
    named = [
        (row["code"], row["label"])
        for row in rows
        if (row["commodity"], row["parameter"]) == (commodity, parameter)
    ]
    if parameter == "colour_grade":
        named += [
            (f"{code}-{quadrant}", f"{label}, quadrant {quadrant}")
            for code, label in named
            for quadrant in QUADRANTS
        ]
    return [{"code": code, "label": label, "rank": rank} for rank, (code, label) in enumerate(named, 1)]


def _range(text: str) -> tuple[str, str]:
    low, _, high = text.partition("–")
    return low, high


PARAMETERS: Final = [
    _parameter(row, place * 10)
    for _, rows in groupby(read(FILES / "parameters.csv"), itemgetter("commodity"))
    for place, row in enumerate(rows, 1)
]
TEMPLATES: Final = [
    {"category": category}
    | {name: value for name, value in row.items() if name not in ("commodity", "is_mandatory")}
    for category, commodity in SOURCES.items()
    for row in PARAMETERS
    if row["commodity"] == commodity
]
VARIETIES: Final = [_variety(row) for row in read(FILES / "varieties.csv")]
