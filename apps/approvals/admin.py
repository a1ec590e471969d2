"""Pending approvals, and the page of each request."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.db.models import BooleanField, Count, ExpressionWrapper, Model
from django.forms import HiddenInput
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from apps.approvals import capabilities, services
from apps.approvals.models import ApprovalRequest, decidable_by
from apps.approvals.serializers import AnswerInput, ApprovalApproveInput, AskInput, EscalateInput, RejectInput
from erp.access import actor_of
from erp.admin import Queue, ServiceAdmin, Table, history, measured
from erp.admin.charts import Chart, by_day, charts
from erp.admin.display import cell
from erp.admin.site import Task, my_tasks
from erp.approvals import kinds
from erp.labels import label_of
from erp.services import Service

DECISIONS = (services.approve, services.reject)
MOST_TASKS = 5  # of a person on the home page
MOST_REQUESTS = 20  # about a row, in its history


def _charts() -> list[Chart]:
    """Approval requests by the day on which they were decided."""
    days = by_day(ApprovalRequest.objects.all(), "decided_at", count=Count("pk"))
    return [Chart("Approvals decided", "requests", {line["day"]: line["count"] for line in days})]


def _tasks(request: HttpRequest) -> Iterator[Task]:
    """The oldest requests that wait for the person's decision, and the person's own that wait for another's."""
    user = actor_of(request)
    pending = ApprovalRequest.objects.filter(status=ApprovalRequest.Status.PENDING)
    for row in (pending.to_decide(user) | pending.made(user)).distinct().order_by("id")[:MOST_TASKS]:
        text = "waits for another person's approval" if row.maker_id == user.pk else "waits for your decision"
        yield Task(str(row), text, reverse("admin:approval_approvalrequest_change", args=[row.pk]))


def _history(request: HttpRequest, row: Model) -> Table | None:
    """The approval requests about a row, with what became of each."""
    page = admin.site._registry[ApprovalRequest]
    names = [kind.name for kind in kinds.values() if kind.model == row._meta.label]
    if not names or not isinstance(row.pk, UUID) or not page.has_view_permission(request):
        return None
    found = page.get_queryset(request).filter(kind__in=names, subject_id=row.pk).order_by("-id")
    lines = [
        (
            each.created_at,
            format_html(
                '<a class="text-link" href="{}">{}</a>',
                reverse("admin:approval_approvalrequest_change", args=[each.pk]),
                each.title,
            ),
            each.maker or "System",
            each.get_status_display(),
            "; ".join(f"{one.decider}: {one.get_decision_display()}" for one in each.decisions.all()) or "–",
        )
        for each in found[:MOST_REQUESTS]
    ]
    headings = ["Requested at", "Request", "Requested by", "Status", "Decisions"]
    return Table("Approvals", headings, lines) if lines else None


history.further.append(_history)
charts.append(_charts)
my_tasks.append(_tasks)


class AssignmentFilter(admin.SimpleListFilter):
    """Requests that the user may decide on, or has made."""

    title, parameter_name = "assignment", "for_me"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("True", "Waiting for my decision"), ("made", "Requested by me")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "True":
            return queryset.to_decide(request.user)
        return queryset.made(request.user) if self.value() == "made" else queryset


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(ServiceAdmin):
    """Approval requests. Decisions are made one by one, never in bulk."""

    empty = "A change that another person must approve creates one."
    views = capabilities.VIEW
    runs: ClassVar = [
        services.approve,
        services.reject,
        services.ask,
        services.answer,
        services.escalate,
        services.withdraw,
    ]
    panel: ClassVar = runs
    inputs: ClassVar = {
        services.approve: ApprovalApproveInput,
        services.reject: RejectInput,
        services.ask: AskInput,
        services.answer: AnswerInput,
        services.escalate: EscalateInput,
    }
    queues: ClassVar = [
        Queue(
            title="Changes to approve",
            filters={"status": "pending", "for_me": "True"},
            since="created_at",
            amber=timedelta(hours=4),
            red=timedelta(hours=8),
            working=True,
        )
    ]
    list_display: ClassVar = [
        "kind_name",
        "record",
        "maker",
        "formatted_amount",
        "approvals",
        "status",
        "created_at",
    ]
    list_filter: ClassVar = ["status", AssignmentFilter, "kind", "decider_role"]
    list_select_related: ClassVar = ["maker"]
    search_fields: ClassVar = ["subject_name", "=subject_id"]
    search_help_text = "Number or name of the record, or its complete ID"
    ordering: ClassVar = ["-decided_at", "id"]  # pending ones first, oldest first: ids rise with time
    details: ClassVar = [
        "kind_name",
        "record",
        "status",
        "approvals",
        "maker",
        "reason",
        "formatted_amount",
        "decider_role",
        "escalated_by",
        "escalation_reason",
        "created_at",
        "expires_at",
        "decided_at",
    ]

    def get_details(self, request: HttpRequest, row: ApprovalRequest) -> list[Any]:
        """Without what doesn't apply to the request."""
        absent = {
            "formatted_amount": row.amount is None,
            "decider_role": row.decider_role is None,
            "escalated_by": row.escalated_by_id is None,
            "escalation_reason": not row.escalation_reason,
            "decided_at": row.decided_at is None,
        }
        return [name for name in super().get_details(request, row) if not absent.get(name)]

    def get_queryset(self, request: HttpRequest) -> Any:
        mine = ExpressionWrapper(decidable_by(actor_of(request)), output_field=BooleanField())
        rows = super().get_queryset(request).with_decisions().with_reach_of(request.user)
        return rows.annotate(for_me=mine)

    @admin.display(description="change", ordering="kind")
    def kind_name(self, row: ApprovalRequest) -> str:
        """The title of the kind."""
        return row.title

    @admin.display(description="record", ordering="subject_name")
    def record(self, row: ApprovalRequest) -> str:
        """The row that the request is about, with a link to its page."""
        page = self._page_of(row)
        if page is None or not row.subject_name:
            return row.subject_name or "–"
        url = page._url("change", row.subject_id)
        return format_html('<a class="text-link" href="{}">{}</a>', url, row.subject_name)

    def _page_of(self, row: ApprovalRequest) -> ServiceAdmin | None:
        """The page of the row that the request is about."""
        kind = kinds.get(row.kind)
        page = kind and self.admin_site._registry.get(apps.get_model(kind.model))
        return page if isinstance(page, ServiceAdmin) else None

    def _record_table(self, request: HttpRequest, row: ApprovalRequest) -> Table | None:
        """The record as its own page shows it, for those who may see it."""
        page = self._page_of(row)
        if page is None or not page.has_view_permission(request):
            return None
        subject = page.get_object(request, str(row.subject_id))
        if subject is None:
            return None
        lines = [
            (capfirst(str(label_for_field(name, page.model, page))), cell(page, name, subject))
            for name in page.get_details(request, subject)
        ]
        return Table("Record as it is now", ["Field", "Value"], [line for line in lines if line[1] != "–"])

    @admin.display(description="approvals")
    def approvals(self, row: ApprovalRequest) -> str:
        """How many of the approvals needed there are."""
        return f"{row.given} of {row.needed}"

    @admin.display(description="amount", ordering="amount")
    def formatted_amount(self, row: ApprovalRequest) -> str:
        """The amount at stake with its currency."""
        return "–" if row.amount is None else measured(row.amount, row.currency)

    def disabled_reason(self, request: HttpRequest, service: Service, row: ApprovalRequest) -> str:
        """Why the user cannot run the service on the request, as the service would refuse it."""
        if service in (services.withdraw, services.answer):
            return "" if request.user.pk == row.maker_id else services.MakerOnly.title
        if service in (services.escalate, services.ask):
            against = services.exclusion(row, actor_of(request))
        else:
            against = services.disabled_reason(row, actor_of(request)) if service in DECISIONS else None
        return against.detail if against is not None else ""

    def tables(self, request: HttpRequest, row: ApprovalRequest) -> list[Table]:
        lines = [(label_of(line["field"]), line["old"] or "–", line["new"] or "–") for line in row.diff]
        decisions = [
            (
                decision.decider,
                decision.get_decision_display(),
                decision.get_reason_code_display() or "–",
                decision.note or "–",
                decision.created_at,
            )
            for decision in row.decisions.all()
        ]
        questions = [
            (each.asked_by, each.question, each.due_date or "–", each.answer or "–", each.answered_at or "–")
            for each in row.questions.all()
        ]
        asked = ["Asked by", "Question", "Answer by", "Answer", "Answered at"]
        found = [
            Table("Proposed changes", ["Field", "Current value", "Proposed value"], lines),
            self._record_table(request, row),
            Table("Questions", asked, questions) if questions else None,
            Table("Decisions", ["Decided by", "Decision", "Reason", "Note", "Decided at"], decisions),
        ]
        return [table for table in found if table is not None]

    def _form(self, request: HttpRequest, service: Service, row: Any, *, data: bool = False) -> Any:
        """Fill in the version that the page shows: a decision is about that version only."""
        form = super()._form(request, service, row, data=data)
        if service in DECISIONS and row is not None:
            form.initial.setdefault("subject_version", row.subject_version)
            form.fields["subject_version"].widget = HiddenInput()
        return form
