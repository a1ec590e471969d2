"""Tables as answers: CSV or a workbook, as ``Accept`` says."""

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final, TypeVar

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.renderers import BaseRenderer

from erp.access import Actor, rights_of
from erp.csv_files import as_csv
from erp.errors import CapabilityMissing, NotFound
from erp.files import CSV, PDF, XLSX
from erp.jobs.kinds import registry
from erp.jobs.models import Job, JobResult
from erp.jobs.sheets import as_workbook

_ENDINGS: Final = {CSV: "csv", XLSX: "xlsx", PDF: "pdf"}


class CsvRenderer(BaseRenderer):
    """Stands for the tables that a view makes by itself."""

    media_type, format = CSV, "csv"


class WorkbookRenderer(BaseRenderer):
    """The same as a workbook."""

    media_type, format = XLSX, "xlsx"


class PdfRenderer(BaseRenderer):
    """Stands for documents that a view makes by itself."""

    media_type, format = PDF, "pdf"


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
    return attachment(response, name)


Answer = TypeVar("Answer", bound=HttpResponseBase)


def attachment(response: Answer, name: str) -> Answer:
    """The response as a file to save, which no browser takes for anything else than it says."""
    ending = _ENDINGS[response["Content-Type"].partition(";")[0]]
    name = re.sub("[^a-z0-9]+", "-", name.lower())
    response["Content-Disposition"] = f'attachment; filename="{name}.{ending}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def encode(rows: Iterable[Iterable[Any]], media_type: str) -> bytes:
    """Lines of values as a file of that type."""
    return as_workbook(rows) if media_type == XLSX else "".join(as_csv(rows)).encode()


def result_of(job: Job, actor: Actor) -> HttpResponseBase:
    """The file that the job made, for its owner alone; else the accepted rows: row, what was done, id.

    Raises NotFound for the file of another person, CapabilityMissing where the owner may not export any more,
    or lost a right with which it was made.
    """
    made: JobResult | None = JobResult.objects.filter(job=job).first()
    if made is not None:
        if not job.belongs_to(actor):
            raise NotFound
        registry[job.kind].authorize_result(job, actor)
        if lost := sorted(set(made.rights) - rights_of(actor)):  # it may show in clear what they allowed
            raise CapabilityMissing(re.split("[@ ]", lost[0])[0])
        return attachment(HttpResponse(made.content, content_type=made.media_type), job.file_name)
    rows = job.rows.exclude(word="").order_by("number")
    lines = ((row.number, row.word, row.object_id or "") for row in rows.iterator(chunk_size=500))
    return table("result", ("row", "done", "id"), lines)


def errors_of(job: Job) -> HttpResponseBase:
    """The errors of refused rows of a job: row, pointer, code, detail."""
    rows: Any = job.rows.filter(word="").order_by("number")
    lines = (
        (row.number, fault["pointer"], fault["code"], fault["detail"])
        for row in rows.iterator(chunk_size=500)
        for fault in row.faults
    )
    return table("errors", ("row", "pointer", "code", "detail"), lines)
