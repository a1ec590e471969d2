"""Masks personal data and secrets in log lines and in stored error texts (core §8)."""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from prometheus_client import Counter

from erp.logs import patterns

REDACTIONS = Counter("erp_pii_redactions_total", "Personal data and secrets hidden in logs.", ["kind"])
FAILURES = Counter("erp_pii_failures_total", "Log lines withheld because they could not be masked.")
NOTICE = "A log line was withheld: it could not be masked."
HIDDEN = "[hidden]"
# A line is for reading: what is longer is cut, after it was masked.
MAX_TEXT = 32_768
_MAX_DEPTH, _MAX_NODES = 12, 5_000


def mask_text(text: str) -> str:
    """The text with personal data and secrets replaced by marks such as ``[pan hidden]``.

    Takes any length, in time proportional to it; the answer has at most MAX_TEXT characters. For logs and for
    columns such as ``last_error``. Masking twice equals masking once.
    """
    return _text(text)


def mask(value: Any) -> Any:
    """The value in plain types (dict, list, str, int, float, bool, None) with personal data masked.

    Values are judged by their key (``password``, ``email`` …) and by what they look like.
    """
    return _Walk().value(value, "")


def masking_processor(logger: Any, method: str, event_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The last structlog processor before the renderer. What can't be masked becomes a fixed notice."""
    try:
        walk = _Walk()
        return {_text(str(key)): walk.value(value, str(key)) for key, value in event_dict.items()}
    except Exception:  # whatever went wrong, the line must not pass
        FAILURES.inc()
        return withheld(event_dict.get("logger"))


def withheld(logger_name: Any = None) -> dict[str, Any]:
    """Return the replacement for a line that could not be masked: only the logger's name."""
    name = logger_name if isinstance(logger_name, str) and _LOGGER.fullmatch(logger_name) else ""
    return {"event": NOTICE, "level": "error", "logger": name, "timestamp": datetime.now(UTC).isoformat()}


_LOGGER = re.compile(r"[A-Za-z_.]{1,100}")


def _text(text: str, *, kind: str = "") -> str:
    """``kind`` is what the key says: "account" (holds one), "kept" (its numbers are business numbers)."""
    if len(text) < 3:
        return text
    folded = patterns.fold(text)
    masked = patterns.database(folded)
    masked = patterns.secrets(masked, _found)
    masked = patterns.addresses(masked, _found)
    if patterns.NUMERIC.search(masked):
        masked = patterns.tax(masked, _found)
        if kind != "kept" or not _TOKEN.fullmatch(masked):
            reserved = patterns.ReservedTokens()
            masked = reserved.take(masked)
            if kind == "account":
                masked = patterns.accounts(masked, _found)
            masked = reserved.give_back(patterns.numbers(masked, _found))
    masked = patterns.named(masked, _found)  # last: a name hides one word, a pattern the whole number
    if masked == folded:  # nothing found: leave the script as it was
        masked = text
    return masked if len(masked) <= MAX_TEXT else masked[:MAX_TEXT] + "…"


_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,127}")


def _found(kind: str) -> str:
    REDACTIONS.labels(kind).inc()
    return HIDDEN if kind == "hidden" else f"[{kind} hidden]"


# Anywhere in a key.
_SECRET = re.compile(
    r"passw(or)?d|passphrase|secret|credential|authorization|cookie|api_?key|private_?key|signing_?key|csrf"
    r"|session_?(id|key)|idempotency_?key|signature"
)
# As whole words of a key; the first kind that fits wins.
_WORDS = {
    kind: tuple(names.split())
    for kind, names in {
        "token": "token tokens jwt bearer",
        "secret": "pwd otp otps mpin cvv cvc args kwargs argsrepr kwargsrepr params parameters",
        "personal": "email emails mail mobile mobiles phone phones telephone tel fax whatsapp contact"
        " pan pans tan gstin gstins aadhaar aadhar uidai passport national_id dob date_of_birth"
        " full_name first_name last_name middle_name person_name account_holder"
        " account_number account_no bank_account acct ac_no iban ifsc upi vpa card cards"
        " ip ips ip_address remote_addr x_forwarded_for forwarded user_agent",
        "account": "account accounts khata beneficiary",
        "code": "code pin",
        "kept": "id ids utr rrn ref reference references invoice order trade contract lot eway irn challan"
        " txn transaction settlement sequence position traceparent trace span",
    }.items()
}
_KEY_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@lru_cache(maxsize=4096)
def _kind_of(key: str) -> str:
    words = "_".join(part.lower() for part in _KEY_PARTS.findall(key[:200]))
    if _SECRET.search(words):
        return "secret"
    if words in ("exc_info", "event", "message"):
        return ""
    for kind, names in _WORDS.items():
        if kind == "code":
            if words in names:
                return kind
        elif any(f"_{name}_" in f"_{words}_" for name in names):
            return kind
    return ""


class _Walk:
    """One pass over a value: bounded in depth and number of nodes, safe against cycles."""

    def __init__(self) -> None:
        self._nodes = 0
        self._path: set[int] = set()

    def value(self, value: Any, key: str) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(self._path) > _MAX_DEPTH:
            return "[more]"
        kind = _kind_of(key) if key else ""
        if kind in ("secret", "token", "personal") and self._counts(value, kind):
            return HIDDEN
        match value:
            case None | bool():
                return value
            case str():
                return self._string(value, kind)
            case int():
                return self._integer(value, kind)
            case float():
                return value if math.isfinite(value) else str(value)
            case bytes() | bytearray() | memoryview():
                return self._string(bytes(value).decode("utf-8", "replace"), kind)
            case Decimal():
                return self._string(str(value), kind)
            case UUID() | date() | datetime() | time():
                return str(value)
            case Mapping() | list() | tuple() | set() | frozenset():
                return self._container(value, key)
        return self._string(_repr(value), kind)

    @staticmethod
    def _counts(value: Any, kind: str) -> bool:
        """Whether there is something to hide: not in a flag, an absence, a small count."""
        if value is None or isinstance(value, bool) or value in ("", HIDDEN):
            return False
        if isinstance(value, Collection) and not value:
            return False
        if isinstance(value, int | float) and (
            kind == "token" or (kind == "personal" and abs(value) < 100_000)
        ):
            return False
        REDACTIONS.labels("key").inc()
        return True

    @staticmethod
    def _string(value: str, kind: str) -> str:
        if kind == "code" and value.isdigit() and 4 <= len(value) <= 8:
            return _found("otp")
        return _text(value, kind=kind)

    @staticmethod
    def _integer(value: int, kind: str) -> int | str:
        if kind == "code" and 1_000 <= abs(value) < 100_000_000:
            return _found("otp")
        if abs(value) < 10**8:
            return int(value)
        if abs(value) >= 10**40:  # not a meaningful number; also beyond what str() may convert
            return "[more]"
        text = str(int(value))
        masked = _text(text, kind=kind)
        return int(value) if masked == text else masked

    def _container(self, value: Any, key: str) -> Any:
        if id(value) in self._path:
            return "[cycle]"
        self._path.add(id(value))
        try:
            if isinstance(value, Mapping):
                return dict(self._pairs(value))
            items = list(value)
            # Headers travel as pairs: ("Authorization", "Bearer …").
            if len(items) == 2 and isinstance(items[0], str | bytes) and _kind_of(_name(items[0])):
                return [_text(_name(items[0])), self.value(items[1], _name(items[0]))]
            return list(self._items(items, key))
        finally:
            self._path.discard(id(value))

    def _pairs(self, value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
        for key, item in value.items():
            if self._nodes > _MAX_NODES:
                yield "[more]", True
                return
            yield _text(_name(key)), self.value(item, _name(key))

    def _items(self, items: list[Any], key: str) -> Iterator[Any]:
        for item in items:
            yield self.value(item, key)
            if self._nodes > _MAX_NODES:
                return


def _name(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # a repr may do anything, a log line must not fail for it
        return f"<{type(value).__name__}>"
