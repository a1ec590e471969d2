"""States of India: GST code, letters, region, PIN prefixes.

Source: the state codes of the GST network, ISO 3166-2:IN, the vehicle registration codes, and India Post's
PIN zones. A PIN prefix that two states share fits both.
"""

from dataclasses import dataclass
from typing import Literal

Region = Literal["NORTH", "WEST", "EAST", "NORTHEAST", "CENTRAL", "SOUTH", ""]


@dataclass(frozen=True, slots=True)
class GstState:
    """One state or territory. ``older_iso`` and ``older_plates`` are letters still met on papers."""

    code: str
    iso: str
    plate: str
    name: str
    region: Region
    prefixes: frozenset[int]
    older_iso: tuple[str, ...] = ()
    older_plates: tuple[str, ...] = ()


def _prefixes(text: str) -> frozenset[int]:
    ranges = (part.partition("-") for part in text.split())
    return frozenset(n for low, _, high in ranges for n in range(int(low), int(high or low) + 1))


def _letters(text: str) -> tuple[str, tuple[str, ...]]:
    current, *older = text.split("/")
    return current, tuple(older)


# code | ISO/older | plate/older | name | region | PIN prefixes
_TABLE = """
01 | JK    | JK       | Jammu and Kashmir                        | NORTH     | 180-194
02 | HP    | HP       | Himachal Pradesh                         | NORTH     | 171-177
03 | PB    | PB       | Punjab                                   | NORTH     | 140-160
04 | CH    | CH       | Chandigarh                               | NORTH     | 140 160
05 | UK/UT | UK/UA    | Uttarakhand                              | NORTH     | 244 246-249 262-263
06 | HR    | HR       | Haryana                                  | NORTH     | 121-136
07 | DL    | DL       | Delhi                                    | NORTH     | 110
08 | RJ    | RJ       | Rajasthan                                | WEST      | 301-345
09 | UP    | UP       | Uttar Pradesh                            | NORTH     | 201-247 250-262 264-285
10 | BR    | BR       | Bihar                                    | EAST      | 800-814 821 823-824 841-855
11 | SK    | SK       | Sikkim                                   | NORTHEAST | 737
12 | AR    | AR       | Arunachal Pradesh                        | NORTHEAST | 790-792
13 | NL    | NL       | Nagaland                                 | NORTHEAST | 797-798
14 | MN    | MN       | Manipur                                  | NORTHEAST | 795
15 | MZ    | MZ       | Mizoram                                  | NORTHEAST | 796
16 | TR    | TR       | Tripura                                  | NORTHEAST | 799
17 | ML    | ML       | Meghalaya                                | NORTHEAST | 781-782 793-794
18 | AS    | AS       | Assam                                    | NORTHEAST | 781-788
19 | WB    | WB       | West Bengal                              | EAST      | 700-736 738-743
20 | JH    | JH       | Jharkhand                                | EAST      | 813-818 822 825-835
21 | OD/OR | OD/OR    | Odisha                                   | EAST      | 751-770
22 | CG/CT | CG       | Chhattisgarh                             | CENTRAL   | 490-497
23 | MP    | MP       | Madhya Pradesh                           | CENTRAL   | 450-488
24 | GJ    | GJ       | Gujarat                                  | WEST      | 360-396
26 | DH/DN/DD | DD/DN | Dadra and Nagar Haveli and Daman and Diu | WEST      | 362 396
27 | MH    | MH       | Maharashtra                              | WEST      | 400-402 404-445
29 | KA    | KA       | Karnataka                                | SOUTH     | 560-591
30 | GA    | GA       | Goa                                      | WEST      | 403
31 | LD    | LD       | Lakshadweep                              | SOUTH     | 682
32 | KL    | KL       | Kerala                                   | SOUTH     | 670-695
33 | TN    | TN       | Tamil Nadu                               | SOUTH     | 600-643
34 | PY    | PY       | Puducherry                               | SOUTH     | 533 605 607 609 673
35 | AN    | AN       | Andaman and Nicobar Islands              | SOUTH     | 744
36 | TS/TG | TG/TS    | Telangana                                | SOUTH     | 500-509
37 | AP    | AP       | Andhra Pradesh                           | SOUTH     | 507 515-535
38 | LA    | LA       | Ladakh                                   | NORTH     | 194
96 |       |          | Foreign country                          |           |
97 |       |          | Other Territory                          |           |
99 |       |          | Centre jurisdiction                      |           |
"""


def _state(line: str) -> GstState:
    code, iso, plate, name, region, prefixes = (cell.strip() for cell in line.split("|"))
    (iso, older_iso), (plate, older_plates) = _letters(iso), _letters(plate)
    return GstState(code, iso, plate, name, region, _prefixes(prefixes), older_iso, older_plates)  # type: ignore[arg-type]


#: Every state by its GST code. 96 is a place of supply only, never part of a GSTIN.
STATES: dict[str, GstState] = {state.code: state for state in map(_state, _TABLE.strip().splitlines())}
#: Codes that merged into another: no new registration has them.
RETIRED: dict[str, str] = {"25": "26", "28": "37"}
#: State letters of vehicle plates, and of other papers (ISO letters, older ones included).
PLATES = frozenset(letters for s in STATES.values() for letters in (s.plate, *s.older_plates) if letters)
LETTERS = PLATES | {letters for s in STATES.values() for letters in (s.iso, *s.older_iso) if letters}
_KNOWN_PREFIXES = frozenset(prefix for state in STATES.values() for prefix in state.prefixes)


def pin_known(pin: str) -> bool:
    """Whether a PIN code's first three digits belong to some state, or to the Army Postal Service (9)."""
    return pin.startswith("9") or int(pin[:3]) in _KNOWN_PREFIXES


def pin_fits(pin: str, state_code: str) -> bool:
    """Whether a canonical PIN code can lie in the state with this GST code.

    The Army's PINs (9…) fit any state; for the codes that aren't places nothing is checked.
    Raises KeyError for a code that doesn't exist.
    """
    prefixes = STATES[state_code].prefixes
    return not prefixes or pin.startswith("9") or int(pin[:3]) in prefixes


def states_of_pin(pin: str) -> list[GstState]:
    """The states that a canonical PIN code can lie in."""
    return [state for state in STATES.values() if state.prefixes and pin_fits(pin, state.code)]
