"""The admin pages of reference lists, made from their declarations (erp.reference)."""

from typing import Any

from django.contrib import admin
from django.db import models

from erp.admin.options import ServiceAdmin
from erp.reference import ReferenceList, lists_of


def register(label: str) -> None:
    """Add a page for every list that an app declares."""
    for declared in lists_of(label):
        register_list(declared)


def register_list(declared: ReferenceList) -> None:
    """Add the page of one list: its columns, filters, and the two services behind its forms."""
    model = declared.model
    part_of = [declared.part_of[0]] if declared.part_of else []
    columns = {name: model._meta.get_field(name) for name in declared.columns}
    status = ["status"] if declared.status is not None else []
    choices = [name for name, column in columns.items() if _is_choice(column)]
    members: dict[str, Any] = {
        "__doc__": model.__doc__,
        "__module__": model.__module__,
        "views": declared.views,
        "creates": declared.create,
        "updates": declared.update,
        "list_display": [*columns, *status, "updated_at"],
        "list_filter": [*status, *choices, *part_of],
        "list_select_related": [name for name, column in columns.items() if column.is_relation],
        "search_fields": declared.search,
        "ordering": declared.ordering,
        "details": [*declared.fields, *declared.extra_output, *status, *_MACHINE],
    }
    admin.site.register(model, type(f"{model.__name__}Admin", (ServiceAdmin,), members))


_MACHINE = ("version", "created_at", "updated_at")


def _is_choice(column: Any) -> bool:
    return bool(column.choices) or isinstance(column, models.BooleanField)
