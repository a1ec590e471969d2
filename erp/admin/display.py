"""How figures and lists look to staff: Indian grouping, units beside quantities, short tables under a row."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import models

from erp.figures import group


def measured(value: Decimal, unit: str) -> str:
    """A quantity with its unit. Weights keep their decimals; a whole number of anything else is shown whole."""
    whole = unit.upper() != "KG" and value == value.to_integral_value()
    return f"{group(int(value) if whole else value)} {unit}"


def quantity(name: str, unit: str, label: str = "") -> Callable[[Any], str]:
    """A column that shows the decimal field ``name`` in Indian grouping with its unit.

    ``unit`` is the way to the unit from the row (``unit``, ``availability.unit``), or the unit itself.
    """

    def column(row: Any) -> str:
        value = getattr(row, name)
        if value is None:
            return "–"
        held = row
        for step in unit.split("."):
            held = getattr(held, step, unit)
        return measured(value, str(held))

    column.__name__ = name
    column.short_description = label or name.replace("_", " ")  # type: ignore[attr-defined]
    column.admin_order_field = name  # type: ignore[attr-defined]
    return column


class Table(NamedTuple):
    """Rows of another kind that belong to the row on the page, and where all of them are."""

    title: str
    headings: Sequence[str]
    rows: Iterable[Sequence[Any]]
    more: str = ""


def shown(field: "models.Field[Any, Any]", value: Any) -> str:
    """A field's value in words, for a line of a difference."""
    if value is None or value == "":
        return "–"
    if field.choices:
        return str(dict(field.flatchoices).get(value, value))
    return group(value) if isinstance(value, Decimal) else str(value)
