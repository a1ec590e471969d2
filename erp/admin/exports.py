"""The rows of a list as CSV: what is on the screen, with the same columns, masks and filters. Each is recorded."""

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from html import unescape
from typing import Any, Final

from django.contrib.admin.utils import label_for_field
from django.http import HttpRequest, HttpResponse
from django.utils import formats, timezone
from django.utils.html import strip_tags
from django.utils.text import capfirst

from erp.access import actor_of
from erp.admin.display import cell
from erp.csv_files import as_csv
from erp.errors import Malformed
from erp.files import CSV
from erp.trail import services as trail

MOST: Final = 10_000  # rows of a file


def export(page: Any, request: HttpRequest) -> HttpResponse:
    """The rows that the list's search and filters leave; more than ``MOST`` are left to ``export_large``."""
    rows = list(page.get_changelist_instance(request).queryset[: MOST + 1])
    if len(rows) > MOST:
        return export_large[-1](page, request)
    header, lines = header_of(page), lines_of(page, rows)
    trail.record_list_export(
        actor=actor_of(request),
        list=page.opts.label,
        query={name: ", ".join(values) for name, values in request.GET.lists()},
        lines=len(lines),
    )
    answer = HttpResponse("".join(as_csv([header, *lines])), content_type=f"{CSV}; charset=utf-8")
    name = re.sub("[^a-z0-9]+", "-", str(page.opts.verbose_name_plural).lower())
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def _refuse(page: Any, request: HttpRequest) -> HttpResponse:
    raise Malformed(f"A file has at most {MOST:,} rows. Set a filter and download again.")


# The last one answers for a list with more than ``MOST`` rows; jobs, which stand above, add theirs.
export_large: list[Callable[[Any, HttpRequest], HttpResponse]] = [_refuse]


def header_of(page: Any) -> list[str]:
    """The headings of the list's columns."""
    return [capfirst(str(label_for_field(name, page.model, page))) for name in page.listed_columns()]


def lines_of(page: Any, rows: Iterable[Any]) -> list[list[str]]:
    """What the list shows of the rows."""
    columns = page.listed_columns()
    return [[_text(cell(page, name, row)) for name in columns] for row in rows]


def _text(shown: Any) -> str:
    """What the screen shows, without its markup."""
    if isinstance(shown, datetime):
        shown = timezone.localtime(shown)
    if not isinstance(shown, str):
        shown = formats.localize(shown)
    if hasattr(shown, "__html__"):
        shown = unescape(strip_tags(shown))
    text = " ".join(str(shown).split())
    return "" if text == "–" else text
