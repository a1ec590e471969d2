"""Numbers of places and transport: PIN code, vehicle, container, UN/LOCODE, customs port."""

import re

from stdnum import iso6346

from erp.identifiers.base import Identifier, Wrapped, this_year
from erp.identifiers.states import PLATES, pin_known


class PinCode(Identifier):
    """An Indian postal code; its first three digits belong to a state, or to the Army (9)."""

    def _checked(self, value: str) -> str:
        super()._checked(value)
        if not pin_known(value):
            raise self._invalid("state")
        return value


class Vehicle(Identifier):
    """A registration plate, canonical as on the e-way bill: two-digit office and four-digit number.

    Kinds: ``state``, ``old`` (before 1989), ``bharat``, ``defence``, ``temporary``, ``neighbour``
    (Bhutan, Nepal).
    """

    _state = re.compile(
        r"(?P<state>[A-Z]{2})(?:(?P<office>[0-9]{1,2})(?P<series>[A-Z]{1,3})(?P<number>[0-9]{1,4})"
        r"|(?P<office0>[0-9]{1,2})(?P<number0>[0-9]{4})"
        r"|(?P<office3>[0-9]{3})(?P<series3>[A-Z])(?P<number3>[0-9]{1,4}))",
        re.ASCII,
    )
    _bharat = re.compile(r"([0-9]{2})BH([0-9]{1,4})([A-HJ-NP-Z]{1,2})", re.ASCII)
    _others = {
        "old": re.compile(r"[A-Z]{3}[0-9]{4}", re.ASCII),
        "defence": re.compile(r"DF[A-Z0-9]{4,14}", re.ASCII),
        "temporary": re.compile(r"TM[A-Z0-9]{5,13}", re.ASCII),
        "neighbour": re.compile(r"(?:BP|NP)[A-Z0-9]{5,13}", re.ASCII),
    }

    def _checked(self, value: str) -> str:
        if match := self._bharat.fullmatch(value):
            if not 21 <= int(match[1]) <= this_year() % 100:  # the series began in 2021
                raise self._invalid("format")
            return f"{match[1]}BH{match[2]:0>4}{match[3]}"
        if any(pattern.fullmatch(value) for pattern in self._others.values()):
            return value
        match = self._state.fullmatch(value)
        if match is None:
            raise self._invalid("format")
        if match["state"] not in PLATES:
            raise self._invalid("state")
        office = match["office"] or match["office0"] or match["office3"]
        series = match["series"] or match["series3"] or ""
        number = match["number"] or match["number0"] or match["number3"]
        return f"{match['state']}{office:0>2}{series}{number:0>4}"

    def _parts(self, value: str) -> dict[str, str]:
        if self._bharat.fullmatch(value):
            return {"kind": "bharat", "year": "20" + value[:2]}
        for kind, pattern in self._others.items():
            if pattern.fullmatch(value):
                return {"kind": kind}
        return {"kind": "state", "state": value[:2]}


PIN_CODE = PinCode("pin_code", r"(?P<prefix>[1-9][0-9]{2})[0-9]{3}", lengths={6}, drop=" ")
VEHICLE = Vehicle("vehicle", r"[A-Z0-9]{6,16}", lengths=range(6, 17), drop=" -")
CONTAINER = Wrapped(
    "container",
    r"(?P<owner>[A-Z]{3})(?P<category>[UJRZ])(?P<serial>[0-9]{6})(?P<check>[0-9])",
    iso6346.validate,
    lengths={11},
    drop=" -",
)
UNLOCODE = Identifier("unlocode", r"(?P<country>[A-Z]{2})(?P<place>[A-Z2-9]{3})", lengths={5}, drop=" ")
CUSTOMS_PORT = Identifier("customs_port", r"IN[A-Z]{3}[1-9A-Z]", lengths={6}, drop=" ")
