"""Long work as staff see it: progress, faults, and stopping it."""

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.html import format_html

from erp.admin import ServiceAdmin
from erp.jobs import capabilities, services
from erp.jobs.models import Job
from erp.services import Service

FAULTS_SHOWN = 50


@admin.register(Job)
class JobAdmin(ServiceAdmin):
    """Jobs, newest first."""

    empty = "An import or an export starts one."
    views = capabilities.VIEW
    runs: ClassVar = [services.cancel]
    list_display: ClassVar = ["kind", "owner", "status", "progress", "accepted", "refused", "created_at"]
    list_filter: ClassVar = ["status", "kind"]
    list_select_related: ClassVar = ["owner"]
    readonly_fields: ClassVar = ["progress", "faults"]
    details: ClassVar = [
        "kind",
        "owner",
        "status",
        "progress",
        "accepted",
        "refused",
        "tally",
        "faults",
        "problem_code",
        "problem_detail",
        "mode",
        "file_name",
        "file_sha256",
        "created_at",
        "started_at",
        "finished_at",
    ]

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        """A bar, and the figures."""
        return format_html(
            '<progress max="{}" value="{}" aria-label="progress"></progress> {} of {}',
            job.total or 1,
            job.processed,
            job.processed,
            job.total,
        )

    @admin.display(description="faults")
    def faults(self, job: Job) -> str:
        """The first faults; the API's errors file holds all."""
        lines = [
            f"row {row.number}: {fault['pointer']} {fault['code']} – {fault['detail']}"
            for row in job.rows.filter(word="").order_by("number")[:FAULTS_SHOWN]
            for fault in row.faults
        ]
        return format_html("<pre>{}</pre>", "\n".join(lines[:FAULTS_SHOWN])) if lines else "–"

    def disabled_reason(self, request: Any, service: Service, row: Job) -> str:
        """Whose job it is stops it; the service says so too."""
        return "" if row.is_stopped_by(request.user) else "This is the job of another person."

    def get_queryset(self, request: Any) -> Any:
        """What the viewer may see."""
        return super().get_queryset(request).visible_to(request.user)
