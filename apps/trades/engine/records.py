"""Frozen dataclasses as JSON and back, the canonical form of RFC 8785, and its hash.

Decimals, fractions and dates are text, so no number loses a digit and every number in JSON is a whole one.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache
from json.encoder import encode_basestring
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from apps.commodities.figures import plain
from apps.trades.engine.errors import BadInput
from erp.errors import FieldError

T = TypeVar("T")

# A field's limits: least, whether the least itself is allowed, most.
Positive = Annotated[Decimal, (Decimal(0), False, None)]
NotNegative = Annotated[Decimal, (Decimal(0), True, None)]
Percent = Annotated[Decimal, (Decimal(0), True, Decimal(100))]
Days = Annotated[int, (0, True, 366)]
Count = Annotated[int, (0, False, None)]

_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?", re.ASCII)
_FRACTION: Final = re.compile(r"-?[0-9]{1,400}(/[1-9][0-9]{0,399})?", re.ASCII)
_DATE: Final = re.compile(r"(19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}", re.ASCII)
_WHOLE: Final = 2**53 - 1
_TEXT: Final = 4000
_AS_IT_IS: Final = frozenset({str, int, bool, NoneType})
_DEPTH: Final = 40


def to_json(value: Any, *, normal: bool = False) -> Any:
    """Write a record as JSON values. ``normal``: without trailing zeros, so that equal terms have one text."""
    if type(value) in _AS_IT_IS:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        row = {field.name: to_json(getattr(value, field.name), normal=normal) for field in fields(value)}
        form = getattr(type(value), "form", None)  # of a choice of records, not a field
        return row if form is None or "form" in row else {**row, "form": form}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return plain(value if value else abs(value)) if normal else format(value, "f")
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        if any(isinstance(name, tuple) for name in value):
            return [[*name, to_json(cell, normal=normal)] for name, cell in sorted(value.items())]
        return {name: to_json(cell, normal=normal) for name, cell in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item, normal=normal) for item in value]
    return value


def from_json(kind: type[T], value: Any, pointer: str = "") -> T:
    """Read a record. Raises BadInput with every fault and its JSON pointer."""
    faults: list[FieldError] = []
    record = _read(kind, value, pointer, faults)
    if faults:
        raise BadInput(faults)
    return record  # type: ignore[no-any-return]


def load(text: bytes) -> Any:
    """Parse JSON; a member that occurs twice is an error. Raises BadInput."""
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_members)
    except (ValueError, RecursionError) as error:
        raise BadInput([FieldError("", "malformed", f"This is not JSON: {error}.")]) from None


def canonical(value: Any) -> bytes:
    """Write JSON values in the form of RFC 8785: sorted members, no spaces, one way to write each text.

    Numbers other than whole ones have no place here: raises BadInput for them and for half a surrogate pair.
    """
    parts: list[str] = []
    _canonical(value, "", parts)
    try:
        return "".join(parts).encode("utf-8")
    except UnicodeEncodeError:
        raise reject("", "A text contains half of a surrogate pair.") from None


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def differences(stored: Any, computed: Any, pointer: str = "") -> list[tuple[str, Any, Any]]:
    """List where two JSON values differ: pointer, stored value, computed value."""
    if _is_same(stored, computed):
        return []
    if isinstance(stored, dict) and isinstance(computed, dict):
        if stored.keys() != computed.keys():
            return [(pointer, stored, computed)]
        pairs = [(f"{pointer}/{_escape(name)}", stored[name], computed[name]) for name in sorted(stored)]
    elif isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        pairs = [(f"{pointer}/{n}", *pair) for n, pair in enumerate(zip(stored, computed, strict=True))]
    else:
        return [(pointer, stored, computed)]
    return [found for path, one, other in pairs for found in differences(one, other, path)]


def _is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal and of the same types, as true isn't 1."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(_is_same(value, other[name]) for name, value in one.items())
    return not isinstance(one, list) or all(map(_is_same, one, other))


def _canonical(value: Any, pointer: str, parts: list[str], depth: int = 0) -> None:
    if depth > _DEPTH:
        raise reject(pointer, "Nested too deeply.")
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None or isinstance(value, bool):
        parts.append(json.dumps(value))
    elif isinstance(value, int):
        if abs(value) > _WHOLE:
            raise reject(pointer, "A whole number may have at most 53 bits.")
        parts.append(str(value))
    elif isinstance(value, list | tuple):
        parts.append("[")
        for place, item in enumerate(value):
            parts.append("," if place else "")
            _canonical(item, f"{pointer}/{place}", parts, depth + 1)
        parts.append("]")
    elif isinstance(value, dict):
        parts.append("{")
        for place, name in enumerate(
            sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        ):
            parts.append(f"{',' if place else ''}{encode_basestring(name)}:")
            _canonical(value[name], f"{pointer}/{_escape(name)}", parts, depth + 1)
        parts.append("}")
    else:
        raise reject(pointer, f"A {type(value).__name__} can't be written exactly; use text.")


def _read(kind: Any, value: Any, pointer: str, faults: list[FieldError]) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        read = _read(arguments[0], value, pointer, faults)
        if isinstance(read, Decimal | int):
            _limit(read, arguments[1], pointer, faults)
        return read
    if origin in (Union, UnionType):
        return _choice(arguments, value, pointer, faults)
    if origin in (tuple, Sequence):
        if not isinstance(value, list):
            return _fault(faults, pointer, "must be a list")
        return tuple(_read(arguments[0], item, f"{pointer}/{n}", faults) for n, item in enumerate(value))
    if origin is Mapping:
        return _mapping(arguments, value, pointer, faults)
    if is_dataclass(kind):
        return _record(kind, value, pointer, faults)
    return _scalar(kind, value, pointer, faults)


def _record(kind: Any, value: Any, pointer: str, faults: list[FieldError]) -> Any:
    if not isinstance(value, dict):
        return _fault(faults, pointer, "must be an object")
    hints, before = _hints(kind), len(faults)
    values = {}
    for field in fields(kind):
        path = f"{pointer}/{field.name}"
        if field.name in value:
            values[field.name] = _read(hints[field.name], value[field.name], path, faults)
        elif field.default is field.default_factory:  # both are missing
            _fault(faults, path, "is missing")
    known = {field.name for field in fields(kind)} | ({"form"} if hasattr(kind, "form") else set())
    for name in value.keys() - known:
        _fault(faults, f"{pointer}/{_escape(name)}", "is not known")
    return kind(**values) if len(faults) == before else None


def _choice(arguments: tuple[Any, ...], value: Any, pointer: str, faults: list[FieldError]) -> Any:
    if value is None and NoneType in arguments:
        return None
    kinds = [kind for kind in arguments if kind is not NoneType]
    if str in kinds:  # a figure, or the code of a choice
        is_figure = isinstance(value, str) and _DECIMAL.fullmatch(value)
        return _scalar(Decimal if is_figure else str, value, pointer, faults)
    if len(kinds) == 1:
        return _read(kinds[0], value, pointer, faults)
    form = value.get("form") if isinstance(value, dict) else None
    found = [kind for kind in kinds if kind.form == form]
    if not found:
        forms = ", ".join(kind.form for kind in kinds)
        return _fault(faults, f"{pointer}/form", f"must be one of {forms}")
    return _read(found[0], value, pointer, faults)


def _mapping(arguments: tuple[Any, ...], value: Any, pointer: str, faults: list[FieldError]) -> Any:
    if get_origin(arguments[0]) is not tuple:
        if not isinstance(value, dict):
            return _fault(faults, pointer, "must be an object")
        return {
            name: _read(arguments[1], cell, f"{pointer}/{_escape(name)}", faults)
            for name, cell in value.items()
        }
    cells: dict[Any, Any] = {}
    rows = value if isinstance(value, list) else [] if value == {} else [None]
    for place, row in enumerate(rows):
        if not (isinstance(row, list) and len(row) == 3 and all(isinstance(cell, str) for cell in row)):
            return _fault(faults, f"{pointer}/{place}", "must be a list of two names and a value")
        if (row[0], row[1]) in cells:
            return _fault(faults, f"{pointer}/{place}", "occurs twice")
        cells[row[0], row[1]] = _read(arguments[1], row[2], f"{pointer}/{place}/2", faults)
    return cells


def _scalar(kind: Any, value: Any, pointer: str, faults: list[FieldError]) -> Any:
    if kind is bool or kind is int:
        if type(value) is not kind or abs(value) > _WHOLE:
            return _fault(
                faults, pointer, "must be true or false" if kind is bool else "must be a whole number"
            )
        return value
    if not isinstance(value, str) or len(value) > _TEXT or "\0" in value:
        what = {Decimal: "a decimal as text", date: "a date as text"}.get(kind, "text")
        return _fault(faults, pointer, f"must be {what}, at most {_TEXT} characters")
    if issubclass(kind, Enum):
        if value not in {member.value for member in kind}:
            return _fault(faults, pointer, f"must be one of {', '.join(member.value for member in kind)}")
        return kind(value)
    if kind is Decimal:
        if not _DECIMAL.fullmatch(value):
            return _fault(faults, pointer, "must be a decimal as text, at most 15 digits and 12 decimals")
        return Decimal(value)
    if kind is Fraction:
        return (
            Fraction(value)
            if _FRACTION.fullmatch(value)
            else _fault(faults, pointer, "must be a fraction p/q")
        )
    if kind is date:
        try:
            return date.fromisoformat(value if _DATE.fullmatch(value) else "")
        except ValueError:
            return _fault(faults, pointer, "must be a date such as 2026-01-16")
    return value


def _limit(number: Any, limits: tuple[Any, bool, Any], pointer: str, faults: list[FieldError]) -> None:
    least, inclusive, most = limits
    if number < least or (number == least and not inclusive):
        _fault(faults, pointer, f"must be {'at least' if inclusive else 'above'} {least}", "out_of_range")
    if most is not None and number > most:
        _fault(faults, pointer, f"must be at most {most}", "out_of_range")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice in one object")
    return members


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def reject(pointer: str, words: str) -> BadInput:
    """One fault as the exception to raise."""
    return BadInput([FieldError(pointer, "invalid", words)])


def _fault(faults: list[FieldError], pointer: str, words: str, code: str = "invalid") -> None:
    faults.append(FieldError(pointer, code, f"{words[0].upper()}{words[1:]}."))
