"""Commodities and what is measured of them: tables beside this file, in the words of the trade.

- ``commodities.csv``: the goods of an Indian cotton house, with their headings of the customs tariff.
- ``parameters.csv``, ``choices.csv``: what is measured of them, by HVI practice of the cotton trade (Cotton Association
  of India, USDA classing), the FCI's uniform specifications and the NCDEX's contract specifications. Colour grades are
  the USDA's 30 codes for upland cotton, each also with one of its four quadrants (31-3).
- ``varieties.csv``, ``grades.csv``: growths and grades of Indian cotton, with what their lots usually measure.

A range is ``26–32``, open where an end is missing; lists are separated by semicolons. ``practice`` is for who reads the
table: what is usual in contracts, which their schedules say and no parameter.
"""

import csv
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

QUADRANTS: Final = range(1, 5)
# Categories whose templates are the parameters of a commodity.
TEMPLATES: Final = {
    "FIBRE": "COTTON",
    "SEED_COTTON": "KAPAS",
    "YARN": "COTTON_YARN",
    "CEREAL": "WHEAT",
    "PULSE": "CHANA",
    "OILSEED": "SOYBEAN",
}


def commodities() -> list[dict[str, Any]]:
    """Commodities as their service takes them, but ``pricing_unit``: its code."""
    return [
        {
            **row,
            "package_unit": row["package_unit"] or None,
            "season_start_month": int(row["season_start_month"]) if row["season_start_month"] else None,
            "aliases": _listed(row["aliases"]),
        }
        for row in _table("commodities")
    ]


@cache
def hsn_codes() -> dict[str, str]:
    """Codes of the tariff that the product brings along, by the code of the goods that bear them."""
    return {row["code"]: row["hsn_code"] for row in _table("commodities")}


def parameters(commodity: str) -> list[dict[str, Any]]:
    """Parameters of a commodity, named by its code, as their service takes them, in the order to show them."""
    rows = [row for row in _table("parameters") if row["commodity"] == commodity]
    return [_parameter(row, place * 10) for place, row in enumerate(rows, 1)]


def varieties(commodity: str) -> Iterator[dict[str, Any]]:
    """Varieties of a commodity as their service takes them, but ``presets``: ranges by a parameter's code."""
    for row in _table("varieties"):
        if row["commodity"] == commodity:
            yield {
                "code": row["code"],
                "name": row["name"],
                "aliases": _listed(row["aliases"]),
                "is_standard": bool(row["standard"]),
                "presets": {code: _range(row[code]) for code in ("staple_length", "micronaire", "strength")},
            }


def grades(commodity: str) -> Iterator[dict[str, Any]]:
    """Grades of a commodity as their service takes them."""
    for row in _table("grades"):
        if row["commodity"] == commodity:
            yield {
                "code": row["code"],
                "name": row["name"],
                "rank": int(row["rank"]),
                "is_basis": bool(row["basis"]),
            }


@cache
def _table(name: str) -> list[dict[str, str]]:
    with (Path(__file__).parent / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _parameter(row: dict[str, str], display_order: int) -> dict[str, Any]:
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
        "code": row["code"],
        "name": row["name"],
        "data_type": "DECIMAL" if row["unit"] else "ENUM",
        "unit": row["unit"] or None,
        "methods": _listed(row["methods"]),
        "precision": int(row["precision"]) if row["precision"] else None,
        "direction": row["direction"],
        "tolerance": Decimal(row["tolerance"]) if row["tolerance"] else None,
        "choices": _choices(row["commodity"], row["code"]),
        "is_mandatory": bool(row["mandatory"]),
        "display_order": display_order,
        **ranges,
    }


def _choices(commodity: str, parameter: str) -> list[dict[str, Any]]:
    rows = [
        row for row in _table("choices") if (row["commodity"], row["parameter"]) == (commodity, parameter)
    ]
    named = [(row["code"], row["label"]) for row in rows]
    if parameter == "colour_grade":
        named += [
            (f"{code}-{quadrant}", f"{label}, quadrant {quadrant}")
            for code, label in named
            for quadrant in QUADRANTS
        ]
    return [{"code": code, "label": label, "rank": rank} for rank, (code, label) in enumerate(named, 1)]


def _range(text: str) -> tuple[Decimal | None, Decimal | None]:
    low, _, high = text.partition("–")
    return (Decimal(low) if low else None), (Decimal(high) if high else None)


def _listed(text: str) -> list[str]:
    return text.split(";") if text else []
