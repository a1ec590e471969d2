"""How figures and lists look to staff: Indian grouping, units beside quantities, short tables under a row."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.contrib.admin.utils import lookup_field
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils import formats
from django.utils.html import format_html
from unfold.utils import display_for_field, display_for_label

from erp import clock
from erp.figures import group, money, trim


def measured(value: Decimal, unit: str) -> str:
    """A quantity with its unit. Weights keep their decimals; a whole number of anything else is shown whole."""
    whole = unit.upper() != "KG" and value == value.to_integral_value()
    return f"{group(int(value) if whole else value)} {unit}"


def quantity(name: str, unit: str, label: str = "") -> Callable[[Any], Any]:
    """A column that shows the decimal field ``name`` in Indian grouping with its unit.

    ``unit`` is the way to the unit from the row (``unit``, ``availability.unit``), or the unit itself.
    """

    def draw(row: Any) -> str:
        value = getattr(row, name)
        if value is None:
            return "–"
        held = row
        for step in unit.split("."):
            held = getattr(held, step, unit)
        return _number(measured(value, str(held)))

    return drawn(name, label or name.replace("_", " "), draw)


def amount(name: str, label: str = "") -> Callable[[Any], Any]:
    """A column that shows the amount ``name`` in the row's currency."""

    def draw(row: Any) -> str:
        value = getattr(row, name)
        return "–" if value is None else _number(money(value, row.currency))

    return drawn(name, label or name.replace("_", " "), draw)


def titled(name: str, title: Any, show: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
    """A column under a title of its own. ``show`` draws its value; by default yes and no are words.

    A tick or a cross would judge: a green one would praise that something is disputed.
    """

    def draw(row: Any) -> Any:
        value = getattr(row, name)
        if show is not None:
            return show(value)
        return ("Yes" if value else "No") if isinstance(value, bool) else value

    return drawn(name, title, draw)


def drawn(name: str, title: Any, draw: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A column that is drawn by a function of the row, and ordered by the field ``name``."""
    column: Any = draw
    column.__name__, column.short_description, column.admin_order_field = name, title, name
    return draw


def _number(text: str) -> str:
    return format_html('<span class="erp-number">{}</span>', text)  # the style sheet aligns its cell right


# Words of a status → its colour; others have none.
_COLOURS: Final = {
    word.replace("_", " "): colour
    for colour, words in {
        "success": "active approved published granted succeeded sent delivered verified live pass accepted settled"
        " completed converted answered",
        "warning": "pending pending_approval pending_acknowledgement proposed submitted queued running held partial"
        " invited warn review",
        "danger": "rejected refused failed suspended expired stale locked deactivated dead fail",
        "info": "draft open processing in_execution sold_out",
    }.items()
    for word in words.split()
}


def columns_of(model: type[models.Model], names: Iterable[Any]) -> list[Any]:
    """Columns of a list: a status as a coloured label, figures grouped and to the right, all else as it is."""
    return [_column(model, name) if isinstance(name, str) else name for name in names]


def _column(model: type[models.Model], name: str) -> Any:
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    if name == "status" and field.choices:

        def status(row: Any) -> tuple[str, str]:
            text = row.get_status_display()
            return _COLOURS.get(str(text).lower(), "neutral"), text

        column: Any = drawn(name, field.verbose_name, status)
        column.label = {colour: colour for colour in ("neutral", *_COLOURS.values())}
        return column
    if isinstance(field, models.DecimalField):
        return titled(name, field.verbose_name, lambda value: None if value is None else _number(trim(value)))
    return titled(name, field.verbose_name) if isinstance(field, models.BooleanField) else name


class Table(NamedTuple):
    """Rows of another kind that belong to the row on the page, where all of them are, and where one is added."""

    title: str
    headings: Sequence[str]
    rows: Iterable[Sequence[Any]]
    more: str = ""
    add: str = ""


def shown(field: "models.Field[Any, Any]", value: Any) -> str:
    """A field's value in words, for a line of a difference."""
    if value in (None, "", [], {}):
        return "–"
    if field.choices:
        return str(dict(field.flatchoices).get(value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return clock.local(value)
    return trim(value) if isinstance(value, Decimal) else str(formats.localize(value))


def cell(page: Any, column: Any, row: models.Model) -> Any:
    """What the list of a page shows in a column of a row."""
    attr: Any
    field, attr, value = lookup_field(column, row, page)
    if field is not None and field.is_relation:
        value = getattr(row, field.name)
    elif field is not None and not isinstance(field, models.BooleanField):
        return display_for_field(value, field, "–")
    elif getattr(attr, "label", None):
        return display_for_label(value, "–", attr.label)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value in (None, "") else value
