"""Imports in the staff portal: a template to download, a check of a file that changes nothing, then the import itself.

The check is a job of mode ``check``. It keeps the file, so that what is imported is what was checked.
"""

from typing import Any, Final

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from erp.admin import ServiceAdmin, acts
from erp.jobs.downloads import table
from erp.jobs.kinds import registry
from erp.jobs.models import Job
from erp.jobs.tables import TableKind
from erp.services import Refusal, Service

CHECKED: Final = "checked"  # names the job that checked the file
_MODES: Final = [
    (Job.Mode.ATOMIC.value, "All rows, or none if one has an error"),
    (Job.Mode.PARTIAL.value, "All rows without errors"),
]


class ImportAdmin(ServiceAdmin):
    """A page with services that import a file (``TableKind.accepted_by``) among those that it ``starts``."""

    confirm_template = "admin/service/import.html"

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_template"
        view = self.admin_site.admin_view(self.template_view)
        return [path("template/<slug:kind>.csv", view, name=name), *super().get_urls()]

    def template_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """A table with the columns of an import and no rows."""
        for service in self.starts:
            for each in kinds_of(service):
                if slug_of(each) == kind:
                    if not self._may(request, service):
                        raise PermissionDenied
                    return table(f"{kind}-template", each.columns(), ())
        raise Http404

    def fixed_values(self, request: HttpRequest, service: Service) -> dict[str, Any]:
        """A file is checked first; what is imported then is the file of the check."""
        if not kinds_of(service):
            return super().fixed_values(request, service)
        job = _checked_job(request, service)
        if job is None:
            return {"mode": Job.Mode.CHECK.value, "expected_sha256": None}
        file = SimpleUploadedFile(job.file_name, bytes(job.file.content))
        return {**job.parameters, "file": file, "expected_sha256": job.file_sha256}

    def options(self, request: HttpRequest, service: Service, row: Any) -> dict[str, list[tuple[str, str]]]:
        found = super().options(request, service, row)
        return {**found, "mode": _MODES} if kinds_of(service) else found

    def confirm_context(self, request: HttpRequest, service: Service) -> dict[str, Any]:
        """The columns of the tables that the service imports, and the check whose file is imported."""
        kinds = kinds_of(service)
        job = _checked_job(request, service) if kinds else None
        if job is not None:
            return {"checked": job, "button": f"Import {job.accepted} of {job.total} rows"}
        tables = [(each.label(), self._url("template", slug_of(each)), _columns(each)) for each in kinds]
        return {"imports": tables, "button": "Check the file"} if kinds else {}

    def _run(
        self, request: HttpRequest, service: Service, form: Any, row: Any, version: int | None
    ) -> acts.Outcome | Refusal:
        done = super()._run(request, service, form, row, version)
        if isinstance(done, Refusal) or not kinds_of(service):
            return done
        checks = CHECKED not in request.POST
        return done._replace(text="The file is being checked." if checks else "The import has started.")


def kinds_of(service: Service) -> list[type[TableKind]]:
    """The kinds of tables that a service accepts."""
    return [kind for kind in registry.values() if issubclass(kind, TableKind) and kind.accepted_by is service]


def slug_of(kind: type[TableKind]) -> str:
    """The kind's name within its module."""
    return kind.name.rpartition(".")[2]


def _columns(kind: type[TableKind]) -> list[tuple[str, str, str]]:
    """Name, whether a cell is required, and what belongs into it."""
    fields = kind.row().fields
    return [
        (name, "required" if fields[name].required else "optional", str(fields[name].help_text or ""))
        for name in kind.columns()
    ]


def _checked_job(request: HttpRequest, service: Service) -> Job | None:
    """The check that the request names. Raises Http404 if it is not one's own, or has no file any more."""
    key = request.POST.get(CHECKED) or request.GET.get(CHECKED)
    if not key:
        return None
    names = [kind.name for kind in kinds_of(service)]
    checks = Job.objects.filter(kind__in=names, mode=Job.Mode.CHECK, owner_id=request.user.pk)
    try:
        job: Job | None = checks.filter(pk=key, file__isnull=False).select_related("file").first()
    except ValidationError:
        job = None
    if job is None:
        raise Http404
    return job
