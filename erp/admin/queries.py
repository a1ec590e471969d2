"""Query strings of the admin: unknown or invalid parameters of a list give 400.

A list filters only by what its page declares: otherwise a viewer of the list could read any column, character
by character, with ``?password__startswith=``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django import forms
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models

from erp.errors import Malformed

MOST_SEARCHED: Final = 100  # characters
MOST_PAGES: Final = 1_000_000

# Raises ValidationError for a value that can't be used.
Check = Callable[[str], Any]
_IS_NULL: Final = forms.ChoiceField(choices=[(value, value) for value in ("True", "False", "1", "0")]).clean
# The parts of a date that a drill-down names; Django computes the first day of the next year from the year.
_DATE_PARTS: Final = {
    "year": forms.IntegerField(min_value=1900, max_value=9998).clean,
    "month": forms.IntegerField(min_value=1, max_value=12).clean,
    "day": forms.IntegerField(min_value=1, max_value=31).clean,
}


def lookups_of(
    model: type[models.Model], list_filter: Any, date_hierarchy: str | None, drill_downs: Any
) -> dict[str, Check]:
    """The lookups that a list accepts, each with the check of its values."""
    found: dict[str, Check] = {}
    for item in list_filter:
        if isinstance(item, type) and issubclass(item, SimpleListFilter):
            found[str(item.parameter_name)] = str  # the filter itself knows its values
            continue
        path = item if isinstance(item, str) else item[0]
        field: Any = get_fields_from_path(model, path)[-1]
        check = _check_of(field)
        if field.is_relation:
            names = [f"{path}__{field.target_field.name}__exact"]
        elif isinstance(field, models.DateField):
            names = [f"{path}__gte", f"{path}__lt"]
        else:
            names = [path, f"{path}__exact"]
        found |= dict.fromkeys(names, check) | {f"{path}__isnull": _IS_NULL}
    if date_hierarchy:
        found |= {f"{date_hierarchy}__{part}": check for part, check in _DATE_PARTS.items()}
    for name in drill_downs:
        try:
            found.setdefault(name, _check_of(get_fields_from_path(model, name.removesuffix("__exact"))[-1]))
        except FieldDoesNotExist:
            found[name] = str  # an annotation of the list's queryset, which knows its type
    return found


def _check_of(field: Any) -> Check:
    field = field.target_field if field.is_relation else field
    return lambda value: field.run_validators(field.to_python(value))


def check_list(query: Any, lookups: Mapping[str, Check]) -> None:
    """Raise Malformed for unknown or invalid parameters of a list."""
    for name, values in query.lists():
        if name in (PAGE_VAR, ORDER_VAR, SEARCH_VAR) and len(values) > 1:
            raise Malformed(f"The parameter {name} is repeated.")
        if name == PAGE_VAR:
            check_page(values[0])
        elif name == SEARCH_VAR:
            check_search(values[0])
        elif name != ORDER_VAR:
            _check_values(name, values, lookups.get(name))


def _check_values(name: str, values: list[str], check: Check | None) -> None:
    if check is None:
        raise Malformed(f"The list cannot be filtered by {name[:100]}.")
    try:
        for value in values:
            check(value)
    except (ValidationError, ValueError, OverflowError):
        raise Malformed(f"The value of the filter {name} cannot be used.") from None


def check_order(text: str, columns: int) -> None:
    """Raise Malformed for an order, such as ``1.-3``, that names anything but ``columns`` by their numbers."""
    parts = [part.removeprefix("-") for part in text.split(".")] if text else []
    if not all(part.isascii() and part.isdecimal() and int(part[:4]) < columns for part in parts):
        raise Malformed("The list cannot be sorted by these columns.")


def check_page(text: str) -> int:
    """The page number. Raises Malformed."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:10]) <= MOST_PAGES):
        raise Malformed(f"The page must be a number from 1 to {MOST_PAGES:,}.")
    return int(text)


def check_search(text: str) -> str:
    """The text to search for. Raises Malformed."""
    if len(text) > MOST_SEARCHED:
        raise Malformed(f"Search text is limited to {MOST_SEARCHED} characters.")
    return text
