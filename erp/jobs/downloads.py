"""Tables as answers: CSV or a workbook, as ``Accept`` says."""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.renderers import BaseRenderer

from erp.files import CSV, XLSX
from erp.jobs.sheets import as_csv, as_workbook


class CsvRenderer(BaseRenderer):
    """Stands for the tables that a view makes by itself."""

    media_type, format = CSV, "csv"


class WorkbookRenderer(BaseRenderer):
    """The same as a workbook."""

    media_type, format = XLSX, "xlsx"


def table(
    name: str,
    header: Iterable[str],
    lines: Iterable[Iterable[Any]],
    *,
    media_type: str = CSV,
    notes: Mapping[str, str] | None = None,
) -> HttpResponseBase:
    """An attachment with the header and the lines; a CSV is streamed, a workbook shows ``notes`` on its columns."""
    rows = chain((header,), lines)
    response: HttpResponseBase
    if media_type == XLSX:
        response = HttpResponse(as_workbook(rows, notes), content_type=XLSX)
    else:
        response = StreamingHttpResponse(as_csv(rows), content_type=f"{CSV}; charset=utf-8")
    ending = "xlsx" if media_type == XLSX else "csv"
    response["Content-Disposition"] = f'attachment; filename="{name}.{ending}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response
