"""Jobs over HTTP: how far they are, what became of each row, and stopping them."""

from typing import Any, ClassVar

from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from erp.access import actor_of
from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet, read
from erp.jobs import capabilities, services
from erp.jobs.downloads import CsvRenderer, WorkbookRenderer, errors_of, result_of
from erp.jobs.models import Job
from erp.jobs.serializers import JobOutput

RETRY_AFTER_SECONDS = 2


class JobViewSet(RowViewSet):
    """Long work that was accepted with 202."""

    queryset = Job.objects.all()
    serializer_class = JobOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"kind": ["exact", "in"], "status": ["exact", "in"]}
    ordering_fields: ClassVar = ["created_at", "finished_at"]

    cancel = endpoint(services.cancel)

    def get_renderers(self) -> list[Any]:
        tables = [CsvRenderer(), WorkbookRenderer()] if self.action in ("result", "errors") else []
        return [*tables, JSONRenderer()]

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Its progress; while it runs, `Retry-After` says when to ask again."""
        response = super().retrieve(request, *args, **kwargs)
        data = getattr(response, "data", None)
        if data is not None and data["finished_at"] is None:
            response["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response

    @read("result")
    def result(self, request: Request, pk: Any = None) -> HttpResponseBase:
        """Download the file that the job made, or the accepted rows as CSV: row, what was done, id."""
        return result_of(self.get_object(), actor_of(request))

    @read("errors")
    def errors(self, request: Request, pk: Any = None) -> HttpResponseBase:
        """Download the errors of refused rows as CSV: row, pointer, code, detail."""
        return errors_of(self.get_object())
