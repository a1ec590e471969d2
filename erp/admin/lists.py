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
    choices = [name for name in declared.filters if _is_choice(model._meta.get_field(name))]
    relations = [name for name in declared.columns if model._meta.get_field(name).is_relation]
    members: dict[str, Any] = {
        "__doc__": model.__doc__,
        "__module__": model.__module__,
        "views": declared.views,
        "creates": declared.create,
        "updates": declared.update,
        "list_display": [*declared.columns, "status", "updated_at"],
        "list_filter": ["status", *choices, *part_of],
        "list_select_related": relations,
        "search_fields": declared.search,
        "ordering": declared.ordering,
        "details": [*declared.fields, *declared.extra_output, *_MACHINE],
    }
    admin.site.register(model, type(f"{model.__name__}Admin", (ServiceAdmin,), members))


_MACHINE = ("status", "version", "created_at", "updated_at")


def _is_choice(column: Any) -> bool:
    return bool(column.choices) or isinstance(column, models.BooleanField)
