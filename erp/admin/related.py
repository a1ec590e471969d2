"""Rows that belong to the row of a page: the newest few of each kind, with a link to all of them."""

from typing import Any, Final

from django.contrib.admin.utils import label_for_field
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import capfirst

from erp.admin.display import Table, cell
from erp.labels import label_of

SHOWN: Final = 5  # rows of a kind
_COLUMNS: Final = 6


def drill_downs(model: type[models.Model]) -> list[str]:
    """Lookups by which the rows of another row are listed: one for each relation, but not those to a person."""
    return [f"{field.name}__{field.target_field.name}__exact" for field in _relations(model)]


def tables(page: Any, request: HttpRequest, row: models.Model) -> list[Table]:
    """A table for each kind of rows that have a page and refer to ``row``, as far as the person may see them.

    One query each, with the columns of their own list.
    """
    registry = page.admin_site._registry
    found = []
    for relation in type(row)._meta.related_objects:
        other = registry.get(relation.related_model)
        field: Any = relation.field
        if other is not None and field in _relations(other.model) and other.has_view_permission(request):
            found.append(_table(other, request, field, row))
    return found


def _relations(model: type[models.Model]) -> list[Any]:
    people = get_user_model()
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and field.related_model is not people
    ]


def _table(page: Any, request: HttpRequest, field: Any, row: models.Model) -> Table:
    columns = [name for name in page.listed_columns() if name != field.name][:_COLUMNS]
    relations = [name for name in columns if isinstance(name, str) and _is_relation(page.model, name)]
    rows = page.get_queryset(request).filter(**{field.name: row}).select_related(*relations, field.name)
    rows = rows.order_by(*page.get_ordering(request), "pk")[:SHOWN]
    lines = [_line(page, columns, each) for each in rows]
    of_same_kind = [each for each in _relations(page.model) if each.related_model is field.related_model]
    title = str(page.opts.verbose_name_plural)
    if len(of_same_kind) > 1:
        title = label_of(field.remote_field.get_accessor_name())
    query = f"?{field.name}__{field.target_field.name}__exact={row.pk}"
    return Table(
        capfirst(title),
        [capfirst(str(label_for_field(name, page.model, page))) for name in columns],
        lines,
        more=page._url("changelist") + query,
        add=_add_address(page, field, row) if page.has_add_permission(request) else "",
    )


def _add_address(page: Any, field: Any, row: models.Model) -> str:
    """The form that adds a row, with the relation filled in; none where the form doesn't ask for it."""
    names = page._input(page.creates)._declared_fields.items()
    name = next((name for name, each in names if (each.source or name) == field.name), "")
    return f"{page._url('add')}?{name}={row.pk}" if name else ""


def _is_relation(model: type[models.Model], name: str) -> bool:
    try:
        return bool(model._meta.get_field(name).is_relation)
    except FieldDoesNotExist:
        return False


def _line(page: Any, columns: list[Any], row: models.Model) -> list[Any]:
    first, *others = (cell(page, name, row) for name in columns)
    link = format_html('<a class="text-link" href="{}">{}</a>', page._url("change", row.pk), first)
    return [link, *others]
