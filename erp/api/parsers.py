"""JSON in and out of the API, strictly: what is ambiguous, lossy or hostile is refused, never guessed."""

import json
from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.parsers import BaseParser
from rest_framework.utils.mediatypes import _MediaType

from erp.api.faults import escape
from erp.errors import FieldError, Malformed, TooLarge, UnsupportedMediaType

# Longer than any column or document needs; the cost of arithmetic on a number grows with its digits.
NUMBER_LENGTH = 100
# More errors than this are not useful, and would let a small request cause a large response.
FAULT_LIMIT = 100
# A fingerprint is made of the body together with what came beside it.
WRAPPING_DEPTH = 4
# As far as a double reaches.
EXPONENT = 400
_EXACT = Context(prec=NUMBER_LENGTH)


class _Unparsable:
    """Stands in the tree for what the scanner met and must not pass, until the walk knows its pointer."""

    __slots__ = ("code", "detail")

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail


class _Doubled(dict[str, Any]):
    """An object in which some members came twice."""

    __slots__ = ("names",)

    def __init__(self, members: Mapping[str, Any], names: set[str]) -> None:
        super().__init__(members)
        self.names = names


def parse_json(raw: bytes, *, depth: int | None = None) -> Any:
    """Parse a JSON text in UTF-8; an empty one is an empty object.

    ``depth`` is the number of nested arrays and objects allowed (default ``API_JSON_DEPTH``). Numbers with a
    fraction or an exponent come back as exact ``Decimal``. Raises ``Malformed`` with a fault and its JSON
    pointer for a doubled member, NaN or Infinity, a NUL character, a lone surrogate, a number of more than
    100 characters, and nesting that is too deep; without a pointer for what isn't JSON at all.
    """
    if not raw.strip(b" \t\r\n"):
        return {}
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"The body isn't UTF-8 (byte {error.start}).") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_constant,
        )
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"The body isn't JSON: line {error.lineno}, column {error.colno}.") from None
    if faults := _faults(value, settings.API_JSON_DEPTH if depth is None else depth):
        raise Malformed(faults[0].detail, errors=faults)
    return value


def canonical_json(value: Any) -> bytes:
    """One byte string for all JSON texts that mean the same as ``value``.

    Members are sorted, numbers compared by value (``1``, ``1.0`` and ``1e0`` are one), text is kept as it is.
    Raises ``Malformed`` for what has no such form: a lone surrogate, NaN, nesting beyond ``API_JSON_DEPTH``
    and the few levels that a caller may put around a parsed body.
    """
    parts: list[str] = []
    _write(value, parts, settings.API_JSON_DEPTH + WRAPPING_DEPTH)
    try:
        return "".join(parts).encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("A text contains half of a surrogate pair.") from None


class StrictJSONParser(BaseParser):
    """DRF's parser with ``parse_json``: ``application/json`` in UTF-8, up to ``API_JSON_LIMIT`` bytes."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read and parse the body. Raises ``Malformed``, ``TooLarge`` or ``UnsupportedMediaType``."""
        charset = _MediaType(media_type or "").params.get("charset", "utf-8")
        if charset.strip('"').lower() not in ("utf-8", "utf8"):
            raise UnsupportedMediaType("JSON is read in UTF-8 only.")
        request = (parser_context or {}).get("request")
        coding = request.META.get("HTTP_CONTENT_ENCODING", "") if request is not None else ""
        if coding.lower() not in ("", "identity"):
            raise UnsupportedMediaType("Send the body without a content coding.")
        limit = settings.API_JSON_LIMIT
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge(f"JSON is limited to {limit:,} bytes.")
        return parse_json(raw)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    doubled = {name for name, _ in pairs if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
    return _Doubled(members, doubled)


def _integer(text: str) -> int | _Unparsable:
    if len(text) > NUMBER_LENGTH:
        return _Unparsable("out_of_range", f"A number has at most {NUMBER_LENGTH} characters.")
    return int(text)


def _decimal(text: str) -> Decimal | _Unparsable:
    if len(text) > NUMBER_LENGTH:
        return _Unparsable("out_of_range", f"A number has at most {NUMBER_LENGTH} characters.")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal can hold
        number = Decimal("Infinity")
    if not number.is_finite() or abs(number.adjusted()) > EXPONENT:
        return _Unparsable("out_of_range", "The exponent is too large.")
    return number


def _constant(name: str) -> _Unparsable:
    return _Unparsable("invalid", f"{name} isn't JSON.")


def _faults(root: Any, depth: int) -> list[FieldError]:
    """What the scanner let through and the API doesn't, with its pointers."""
    faults: list[FieldError] = []
    # A pointer is kept as its chain of steps and written out only for a fault: most walks end without one.
    waiting: list[tuple[Any, int, tuple[Any, Any] | None]] = [(root, 0, None)]
    while waiting and len(faults) < FAULT_LIMIT:
        value, level, place = waiting.pop()
        if isinstance(value, str):
            if fault := _text_fault(value):
                faults.append(FieldError(_pointer(place), *fault))
        elif isinstance(value, dict | list):
            if level == depth:
                faults.append(
                    FieldError(_pointer(place), "too_deep", f"At most {depth} levels may be nested.")
                )
                continue
            if isinstance(value, _Doubled):
                faults += [
                    FieldError(_pointer((place, name)), "doubled", "This came twice.")
                    for name in sorted(value.names)
                ]
            if isinstance(value, dict):
                for name in value:
                    if fault := _text_fault(name):
                        faults.append(FieldError(_pointer((place, name)), *fault))
            steps = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += reversed([(child, level + 1, (place, step)) for step, child in steps])
        elif isinstance(value, _Unparsable):
            faults.append(FieldError(_pointer(place), value.code, value.detail))
    return faults[:FAULT_LIMIT]


def _text_fault(text: str) -> tuple[str, str] | None:
    if "\x00" in text:
        return "null_character", "NUL characters aren't allowed."
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "lone_surrogate", "A text contains half of a surrogate pair."
    return None


def _pointer(place: tuple[Any, Any] | None) -> str:
    steps = []
    while place is not None:
        place, step = place
        steps.append(escape(step))
    return "".join(f"/{step}" for step in reversed(steps))


def _write(value: Any, parts: list[str], depth: int) -> None:
    if isinstance(value, str):
        parts.append(json.dumps(value, ensure_ascii=False))
    elif value is None or isinstance(value, bool):
        parts.append(json.dumps(value))
    elif isinstance(value, int | Decimal):
        parts.append(_number(value))
    elif isinstance(value, dict | list | tuple):
        if depth == 0:
            raise Malformed("The body is nested too deeply.")
        if isinstance(value, dict):
            parts.append("{")
            for place, name in enumerate(sorted(value)):
                parts.append(f"{',' if place else ''}{json.dumps(name, ensure_ascii=False)}:")
                _write(value[name], parts, depth - 1)
            parts.append("}")
        else:
            parts.append("[")
            for place, item in enumerate(value):
                parts.append("," if place else "")
                _write(item, parts, depth - 1)
            parts.append("]")
    else:
        _no_form(value)


def _number(value: int | Decimal) -> str:
    number = Decimal(value)
    if not number.is_finite() or len(number.as_tuple().digits) > NUMBER_LENGTH:
        _no_form(value)
    return f"{number.normalize(_EXACT):f}" if number else "0"


def _no_form(value: object) -> NoReturn:
    raise Malformed(f"A {type(value).__name__} has no canonical form in JSON.")
