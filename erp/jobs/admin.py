"""Long work as staff see it: progress, errors by row, files, cancelling, and the import of a file that was checked."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar, Final, NamedTuple

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from erp import clock
from erp.access import actor_of
from erp.admin import ServiceAdmin, Table, Verb, history
from erp.admin.forms import FieldSlot, words_of_fault
from erp.admin.site import Task, my_tasks
from erp.errors import FieldError
from erp.jobs import capabilities, services
from erp.jobs import portal_exports as portal_exports  # adds the export of long lists
from erp.jobs.downloads import errors_of, result_of
from erp.jobs.importing import CHECKED
from erp.jobs.kinds import registry
from erp.jobs.models import Job
from erp.jobs.tables import TableKind
from erp.labels import label_of
from erp.services import Service

MOST_TASKS: Final = 5  # jobs of a person on the home page
TASK_DAYS: Final = 7
SHOWN: Final = 50  # refused rows; the file of errors has all


class Notice(NamedTuple):
    """How a job ended or goes on, in one sentence with its colour."""

    colour: str
    text: str


def _tasks(request: HttpRequest) -> Iterator[Task]:
    """The person's own jobs of the last week that are open, or ended otherwise than they should."""
    since = clock.now() - timedelta(days=TASK_DAYS)
    shown = [*Job.OPEN, Job.Status.FAILED, Job.Status.PARTIAL]
    mine = Job.objects.filter(owner_id=request.user.pk, created_at__gte=since, status__in=shown)
    for job in mine.order_by("-created_at")[:MOST_TASKS]:
        yield Task(str(job), notice_of(job).text, reverse("admin:job_job_change", args=[job.pk]))


def _history(request: HttpRequest, row: Model) -> Table | None:
    """The jobs behind the newest changes of a row."""
    jobs = Job.objects.visible_to(actor_of(request)).filter(pk__in=history.causes(row)).order_by("-id")
    lines = [
        (
            job.created_at,
            format_html(
                '<a class="text-link" href="{}">{}</a>', reverse("admin:job_job_change", args=[job.pk]), job
            ),
            job.owner or "System",
            job.get_status_display(),
        )
        for job in jobs.select_related("owner")
    ]
    return Table("Jobs", ["Started at", "Job", "Started by", "Status"], lines) if lines else None


history.further.append(_history)
my_tasks.append(_tasks)


@admin.register(Job)
class JobAdmin(ServiceAdmin):
    """Jobs, newest first."""

    empty = "An import or an export starts one."
    views = capabilities.VIEW
    runs: ClassVar = [services.cancel]
    change_form_template = "admin/service/job.html"
    list_display: ClassVar = [
        "title", "file_name", "owner", "status", "progress", "accepted", "refused", "created_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "kind"]
    list_select_related: ClassVar = ["owner"]
    ordering: ClassVar = ["-id"]  # ids rise with time
    readonly_fields: ClassVar = ["progress"]
    details: ClassVar = [
        "title", "status", "progress", "effect", "refused", "mode", "file_name", "owner", "created_at", "started_at",
        "finished_at",
    ]  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        result, errors = (self.admin_site.admin_view(view) for view in (self.result_view, self.errors_view))
        return [
            path("<uuid:object_id>/result.csv", result, name=f"{name}_result"),
            path("<uuid:object_id>/errors.csv", errors, name=f"{name}_errors"),
            *super().get_urls(),
        ]

    def result_view(self, request: HttpRequest, object_id: Any) -> HttpResponseBase:
        """The file that the job made, or the accepted rows as CSV."""
        return result_of(self._row(request, str(object_id)), actor_of(request))

    def errors_view(self, request: HttpRequest, object_id: Any) -> HttpResponseBase:
        """The errors of refused rows as CSV."""
        return errors_of(self._row(request, str(object_id)))

    @admin.display(description="job", ordering="kind")
    def title(self, job: Job) -> str:
        """The kind in words, and whether it only checks."""
        kind = registry[job.kind].label() if job.kind in registry else job.kind
        return f"{kind} (check)" if job.mode == Job.Mode.CHECK else kind

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        """A bar, and the figures."""
        return format_html(
            '<span class="erp-progress"><progress class="erp-{}" max="{}" value="{}" aria-label="progress"></progress>'
            " {} of {}</span>",
            notice_of(job).colour,
            job.total or 1,
            job.processed,
            job.processed,
            job.total,
        )

    @admin.display(description="accepted rows")
    def effect(self, job: Job) -> str:
        """What was, or would be, done with the rows that have no errors."""
        return ", ".join(f"{label_of(word)}: {count}" for word, count in job.tally.items()) or "–"

    def tables(self, request: HttpRequest, row: Job) -> list[Table]:
        faulty = list(row.rows.filter(word="").order_by("number")[:SHOWN])
        kind = registry.get(row.kind)
        input = kind.row() if kind is not None and issubclass(kind, TableKind) else None
        lines = [(each.number, *_words(input, fault)) for each in faulty for fault in each.faults]
        title = "Rows with errors" if row.refused <= SHOWN else f"The first {SHOWN} rows with errors"
        return [Table(title, ["Row", "Column", "Error"], lines)] if lines else []

    def verbs(self, request: HttpRequest, row: Job) -> list[Verb]:
        address = "" if self.admin_site.reads_only(request) else self._import_address(request, row)
        found = [Verb("import", "Import the checked rows", address)] if address else []
        return [*found, *super().verbs(request, row)]

    def _import_address(self, request: HttpRequest, job: Job) -> str:
        """The page that imports the file of a check; empty for any other job."""
        kind = registry.get(job.kind)
        if (
            kind is None
            or not issubclass(kind, TableKind)
            or (job.mode, job.owner_id) != (Job.Mode.CHECK, request.user.pk)
            or job.status not in (Job.Status.SUCCEEDED, Job.Status.PARTIAL)
        ):
            return ""
        if (service := kind.accepted_by) is None:
            return ""
        for page in self.admin_site._registry.values():
            if service in getattr(page, "starts", ()) and page._may(request, service):
                query = {CHECKED: str(job.pk)} | ({"mode": Job.Mode.PARTIAL.value} if job.refused else {})
                return f"{page._url('start', verb=service.__name__)}?{urlencode(query)}"
        return ""

    def disabled_reason(self, request: HttpRequest, service: Service, row: Job) -> str:
        """Whose job it is stops it; the service says so too."""
        return "" if row.is_stopped_by(actor_of(request)) else "This is the job of another person."

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        job: Job = context["original"]
        context |= {
            "notice": notice_of(job),
            "is_open": job.status in Job.OPEN,
            "result_url": self._url("result", job.pk) if job.accepted and job.status not in Job.OPEN else "",
            "errors_url": self._url("errors", job.pk) if job.refused else "",
        }
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response


def notice_of(job: Job) -> Notice:
    """What a person must know about the job first."""
    rows = f"{job.refused:,} of {job.total:,} rows"
    if job.status in Job.OPEN:
        return Notice("info", "The job is running. This page follows it; you can leave it.")
    if job.status == Job.Status.CANCELLED:
        return Notice("warning", f"The job was cancelled after {job.processed:,} of {job.total:,} rows.")
    if job.problem_code:
        return Notice("danger", f"The job failed and changed nothing more. {job.problem_detail}".strip())
    if job.mode == Job.Mode.CHECK and job.refused:
        return Notice(
            "warning", f"{rows} have errors. Nothing was changed. Correct the file and check it again."
        )
    if job.mode == Job.Mode.CHECK:
        return Notice("success", "The file has no errors. Nothing was changed yet: import it now.")
    if job.status == Job.Status.FAILED:
        return Notice("danger", f"The job failed: {rows} have errors, and no row was saved.")
    if job.refused:
        return Notice("warning", f"{rows} have errors and were left out; all others were saved.")
    return Notice("success", "The job is done.")


def _words(input: Any, fault: dict[str, str]) -> tuple[str, str]:
    """The column and the error in words, as a form would say them."""
    column, _, rest = fault["pointer"].lstrip("/").partition("/")
    error = FieldError(f"/{rest}" if rest else "", fault["code"], fault["detail"])
    field = input.fields.get(column) if input is not None else None
    return column or "–", words_of_fault(FieldSlot((), field), error)
