"""Jobs over HTTP: how far they are, what became of each row, and stopping them."""

import csv
from collections.abc import Iterator
from itertools import chain
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet, read
from erp.jobs import capabilities, services
from erp.jobs.models import Job, JobRow
from erp.jobs.serializers import JobOutput
from erp.jobs.tables import guarded

RETRY_AFTER_SECONDS = 2


class CsvRenderer(BaseRenderer):
    """Stands for the tables that a view streams by itself."""

    media_type, format = "text/csv", "csv"


class JobViewSet(RowViewSet):
    """Long work that was accepted with 202."""

    queryset = Job.objects.all()
    serializer_class = JobOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"kind": ["exact", "in"], "status": ["exact", "in"]}
    ordering_fields: ClassVar = ["created_at", "finished_at"]

    cancel = endpoint(services.cancel, problems=(services.NotCancellable,))

    def get_renderers(self) -> list[Any]:
        tables = [CsvRenderer()] if self.action in ("result", "errors") else []
        return [*tables, JSONRenderer()]

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """How far it is; while it runs, Retry-After says when to ask again."""
        response = super().retrieve(request, *args, **kwargs)
        data = getattr(response, "data", None)
        if data is not None and data["finished_at"] is None:
            response["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response

    @read("result")
    def result(self, request: Request, pk: Any = None) -> StreamingHttpResponse:
        """Accepted rows as CSV: row, what was done, id."""
        rows = self.get_object().rows.exclude(word="").order_by("number")
        lines = ((row.number, row.word, row.object_id or "") for row in rows.iterator(chunk_size=500))
        return _table("result", ("row", "done", "id"), lines)

    @read("errors")
    def errors(self, request: Request, pk: Any = None) -> StreamingHttpResponse:
        """Faults of refused rows as CSV: row, pointer, code, detail."""
        rows: Any = self.get_object().rows.filter(word="").order_by("number")
        return _table("errors", ("row", "pointer", "code", "detail"), _faults(rows))


def _faults(rows: Any) -> Iterator[tuple[Any, ...]]:
    row: JobRow
    for row in rows.iterator(chunk_size=500):
        for fault in row.faults:
            yield row.number, fault["pointer"], fault["code"], fault["detail"]


class _Line:
    """A file that hands back what is written to it."""

    @staticmethod
    def write(text: str) -> str:
        return text


def _table(name: str, header: tuple[str, ...], lines: Any) -> StreamingHttpResponse:
    writer = csv.writer(_Line())
    response = StreamingHttpResponse(
        (writer.writerow([guarded(str(value)) for value in line]) for line in chain((header,), lines)),
        content_type="text/csv; charset=utf-8",
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    return response
