"""The search of the whole portal: pages by name, rows by number, name or code, as far as the person may see them."""

from collections.abc import Iterable
from typing import Any, Final

from django.db.models import CharField, Value
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from erp.admin import partner_view

SHORTEST: Final = 2  # characters
_ROWS: Final = 5  # of a page
_PAGES: Final = 10  # with rows: each costs a query


def results(request: HttpRequest, pages: Iterable[Any], term: str) -> list[SearchResult]:
    """What matches the term: lists, forms that add a row, then rows; nothing for a shorter term."""
    term = term.strip()
    if len(term) < SHORTEST:
        return []
    seen = [page for page in pages if page.has_view_permission(request)]
    return [*_lists(request, seen, term.lower()), *_rows(request, seen, term)]


def _lists(request: HttpRequest, pages: list[Any], term: str) -> list[SearchResult]:
    found = []
    for page in pages:
        noun, plural = str(page.opts.verbose_name), str(page.opts.verbose_name_plural)
        if term in plural.lower():
            found.append(SearchResult(capfirst(plural), "List", page._url("changelist"), "list"))
        if term in f"add {noun}".lower() and page.has_add_permission(request):
            found.append(SearchResult(f"Add {noun}", "Form", page._url("add"), "add"))
    return found


def _rows(request: HttpRequest, pages: list[Any], term: str) -> list[SearchResult]:
    """Rows of all pages: their keys in one query, then the rows of each page that has any."""
    if partner_view.is_active(request):  # a partner has no such search
        return []
    searched = {page.opts.label: page for page in pages if page.search_fields}
    parts = [_keys(page, request, label, term) for label, page in searched.items()]
    keys: dict[str, list[str]] = {}
    for label, key in parts[0].union(*parts[1:], all=True) if parts else ():
        keys.setdefault(label, []).append(key)
    found = []
    for label in [label for label in searched if label in keys][:_PAGES]:
        page = searched[label]
        rows = page.get_queryset(request).filter(pk__in=keys[label])
        if page.list_select_related:
            rows = rows.select_related(*page.list_select_related)
        by_key = {str(row.pk): row for row in rows}
        for key in dict.fromkeys(keys[label]):
            if (row := by_key.get(key)) is not None:
                noun = capfirst(str(page.opts.verbose_name))
                found.append(SearchResult(str(row), noun, page._url("change", row.pk), "description"))
    return found


def _keys(page: Any, request: HttpRequest, label: str, term: str) -> Any:
    rows, _ = page.get_search_results(request, page.get_queryset(request), term)
    rows = rows.order_by(*page.get_ordering(request), "pk")
    return rows.values_list(Value(label, CharField()), Cast("pk", CharField()))[:_ROWS]
