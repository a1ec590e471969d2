"""Exports of long lists of the portal: what the list shows, with its search, filters and masks, made by a job."""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse

from erp.access import Actor, actor_of
from erp.admin import exports
from erp.errors import CapabilityMissing
from erp.jobs.exporting import MOST, Export, ExportKind, texts_of
from erp.jobs.models import Job


class PortalExport(ExportKind):
    """The file of a list of the portal."""

    name = "portal.export"
    title = "Export of a list in the portal"

    def open(self, job: Job, actor: Actor) -> Export:
        return _export_of(_page_of(job, actor), actor, self.query_of(job))

    @classmethod
    def authorize_result(cls, job: Job, actor: Actor) -> None:
        _page_of(job, actor)


def _request_of(actor: Actor, query: QueryDict) -> HttpRequest:
    """A request for the list, as the person would send it."""
    request = HttpRequest()
    request.method, request.GET, request.user = "GET", query, actor  # type: ignore[assignment]
    return request


def _page_of(job: Job, actor: Actor) -> Any:
    """The page of the list. Raises CapabilityMissing where the person may not open it any more."""
    page: Any = admin.site._registry[apps.get_model(job.parameters["list"])]
    if not page.has_view_permission(_request_of(actor, QueryDict())):
        raise CapabilityMissing(str(page._views[0]))
    return page


def _export_of(page: Any, actor: Actor, query: QueryDict) -> Export:
    rows = page.get_changelist_instance(_request_of(actor, query)).queryset

    def lines(keys: list[Any]) -> Iterable[list[Any]]:
        found = {row.pk: row for row in rows.filter(pk__in=keys)}
        return exports.lines_of(page, [found[key] for key in keys if key in found])

    keys = list(rows.values_list("pk", flat=True)[: MOST + 1])
    return Export(
        str(page.opts.verbose_name_plural),
        exports.header_of(page),
        keys,
        lines,
        texts_of(query),
        page.opts.label,
    )


def _queue(page: Any, request: HttpRequest) -> HttpResponse:
    """Let a worker make the file, and show its progress. Raises TooManyRows."""
    actor = actor_of(request)
    job = PortalExport.queue(actor, page.opts.label, request.GET, _export_of(page, actor, request.GET))
    messages.info(request, "The list is long: a job makes the file. You can leave this page.")
    return HttpResponseRedirect(reverse("admin:job_job_change", args=[job.pk]))


exports.export_large.append(_queue)
