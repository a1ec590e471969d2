"""Headers that a request carries at most once. Servers join repeated ones with a comma, so both are refused."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from erp.errors import FieldError

# Canonical names by the form in which servers pass headers on.
SINGLE: Final = {
    name.upper(): name
    for name in (
        "Authorization",
        "Content-Length",
        "Content-Type",
        "Cookie",
        "Host",
        "Idempotency-Key",
        "If-Match",
        "Origin",
        "Referer",
        "traceparent",
        "X-CSRFToken",
        "X-Request-ID",
    )
}
# Those in which a comma can only come from joining; the others have rules of their own.
_WITHOUT_COMMA: Final = (
    "Authorization",
    "Content-Length",
    "Content-Type",
    "Host",
    "traceparent",
    "X-Request-ID",
)
# The server's note for Django: the names that came more than once. A caller who forges it refuses himself.
NOTE: Final = "ERP-REPEATED-HEADERS"
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def repeated(names: Iterable[str]) -> list[str]:
    """The upper-case names that came more than once but must not."""
    listed = list(names)
    return [name for name in SINGLE if listed.count(name) > 1]


def faults(meta: Mapping[str, Any]) -> list[FieldError]:
    """A fault for each header of a request (as WSGI passes it on) that came more than once."""
    return [
        FieldError(f"/headers/{name}", "doubled", "Send this header once.")
        for name in dict.fromkeys((*_noted(meta), *_joined(meta)))
    ]


def _noted(meta: Mapping[str, Any]) -> Iterator[str]:
    for name in str(meta.get(_key(NOTE), "")).split(","):
        if name in SINGLE:
            yield SINGLE[name]


def _joined(meta: Mapping[str, Any]) -> Iterator[str]:
    for name in _WITHOUT_COMMA:
        if "," in _QUOTED.sub("", str(meta.get(_key(name), ""))):
            yield name


def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"
