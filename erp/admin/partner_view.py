"""Pages during a view as a partner: what the API answers to the partner, through the same serializers and masks."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html

from erp.admin.display import Table
from erp.api.viewsets import PartViewSet, ViewSet
from erp.labels import label_of

MOST: Final = 50  # rows of a list
_COLUMNS: Final = 8
_UNSHOWN: Final = ("id", "version", "allowed_actions", "links")


def is_active(request: HttpRequest) -> bool:
    """Whether the person views the portal as a partner."""
    return hasattr(request, "view_as")


@cache
def viewset_of(model: type[models.Model]) -> type[ViewSet] | None:
    """The viewset by which the API shows rows of the model; None where it shows none."""
    return next((found for found, rows in _viewsets(ViewSet) if rows.model is model), None)


def _viewsets(base: type[ViewSet]) -> Iterator[tuple[type[ViewSet], Any]]:
    for child in base.__subclasses__():
        if (
            hasattr(child, "retrieve")
            and child.queryset is not None
            and child.serializer_class is not None
            and not issubclass(child, PartViewSet)
        ):
            yield child, child.queryset
        yield from _viewsets(child)


def _view(model: type[models.Model], request: HttpRequest) -> Any:
    found = viewset_of(model)
    if found is None:
        raise PermissionDenied("The partner has no such page.")
    view: Any = found()
    view.request, view.action, view.kwargs, view.format_kwarg = request, "list", {}, None
    return view


def list_page(admin: Any, request: HttpRequest) -> HttpResponse:
    """The newest rows that the partner sees."""
    view = _view(admin.model, request)
    rows = list(view.get_queryset().order_by("-pk")[:MOST])
    shown = [_flat(view.render(row)) for row in rows]
    names = list(dict.fromkeys(name for line in shown for name in line))[:_COLUMNS]
    lines = [
        (
            format_html('<a class="text-link" href="{}">{}</a>', admin._url("change", row.pk), "Open"),
            *(line.get(name, "–") for name in names),
        )
        for row, line in zip(rows, shown, strict=True)
    ]
    title = f"At most {MOST}, newest first" if lines else "The partner sees none"
    return _page(admin, request, Table(title, ["", *map(label_of, names)], lines))


def row_page(admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """One row as the partner sees it."""
    view = _view(admin.model, request)
    row = admin.get_object(request, object_id)
    row = row and view.get_queryset().filter(pk=row.pk).first()
    if row is None:
        raise Http404
    lines = [(label_of(name), value) for name, value in _flat(view.render(row)).items()]
    return _page(admin, request, Table("What the partner sees", ["Field", "Value"], lines))


def _page(admin: Any, request: HttpRequest, table: Table) -> HttpResponse:
    context = {
        **admin.admin_site.each_context(request),
        "title": str(admin.opts.verbose_name_plural).capitalize(),
        "opts": admin.opts,
        "tables": [table],
    }
    return TemplateResponse(request, "admin/service/tables.html", context)


def _flat(data: Any, prefix: str = "") -> dict[str, str]:
    """The answer's fields in words; those of an object within by both names."""
    found: dict[str, str] = {}
    for name, value in data.items():
        if not prefix and name in _UNSHOWN:
            continue
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}_")
        elif isinstance(value, list):
            found[f"{prefix}{name}"] = ", ".join(map(str, value)) or "–"
        else:
            found[f"{prefix}{name}"] = "–" if value in (None, "") else str(value)
    return found
