"""Errors of an input: DRF's nested details as one flat list with JSON pointers and stable codes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rest_framework.settings import api_settings

from erp.errors import FieldError, Invalid, UnknownField

UNKNOWN_FIELD = "unknown_field"
# Codes of DRF, Django and django-filter under the one name that callers see.
_CODES = {
    "max_string_length": "too_long",
    "max_length": "too_long",
    "min_length": "too_short",
    "max_value": "out_of_range",
    "min_value": "out_of_range",
    "max_digits": "too_many_digits",
    "max_decimal_places": "too_many_decimals",
    "max_whole_digits": "out_of_range",
    "not_a_list": "not_a_list",
    "not_a_dict": "not_an_object",
    "invalid_choice": "not_a_choice",
    "surrogate_characters_not_allowed": "lone_surrogate",
    "null_characters_not_allowed": "null_character",
    "incorrect_type": "invalid",
    "error": "invalid",
}


def escape(step: object) -> str:
    """One step of a JSON pointer (RFC 6901), fit for an answer in UTF-8 whatever the name was."""
    text = str(step).encode("utf-8", "replace").decode("utf-8")
    return text.replace("~", "~0").replace("/", "~1")


def faults_from(detail: Any, pointer: str = "") -> list[FieldError]:
    """The faults in the ``detail`` of a DRF ``ValidationError``, in the order of the input's fields.

    A dictionary's keys and a list's places become steps of the JSON pointer; what concerns an object as a
    whole (``non_field_errors``) points to the object.
    """
    return list(_walk(detail, pointer))


def invalid(faults: Iterable[FieldError]) -> Invalid:
    """The problem that ``faults`` make: ``request.unknown_field`` when they are nothing else."""
    found = list(faults)
    kind = UnknownField if all(fault.code == UNKNOWN_FIELD for fault in found) else Invalid
    places = len({fault.pointer for fault in found})
    return kind(
        "1 field needs attention." if places == 1 else f"{places} fields need attention.", errors=found
    )


def _walk(detail: Any, pointer: str) -> Iterator[FieldError]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            whole = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _walk(inner, pointer if whole else f"{pointer}/{escape(name)}")
    elif isinstance(detail, list | tuple):
        for place, inner in enumerate(detail):
            # DRF lists the messages of one place, and (in its older form) one dictionary per item of a list.
            yield from _walk(inner, f"{pointer}/{place}" if isinstance(inner, Mapping) else pointer)
    else:
        code = str(getattr(detail, "code", None) or "invalid")
        yield FieldError(pointer, _CODES.get(code, code), str(detail))
