"""The second person's queue, and each request as its deciders see it."""

from copy import copy
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import PAGE_VAR
from django.db.models import BooleanField, ExpressionWrapper
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.http import urlencode

from apps.approvals import capabilities, services
from apps.approvals.models import ApprovalRequest, decidable_by
from apps.approvals.serializers import ApproveInput, EscalateInput, RejectInput
from erp.access import actor_of
from erp.admin import Queue, ServiceAdmin, Table, measured
from erp.services import Service

DECISIONS = (services.approve, services.reject)


class Mine(admin.SimpleListFilter):
    """What waits for the person, or was asked by the person."""

    title, parameter_name = "whose", "for_me"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("True", "Mine to decide"), ("made", "Made by me")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "True":
            return queryset.to_decide(request.user)
        return queryset.made(request.user) if self.value() == "made" else queryset


@admin.register(ApprovalRequest)
class ApprovalRequestAdmin(ServiceAdmin):
    """What needs a second person: looked at one by one, never in bulk."""

    views = capabilities.VIEW
    runs: ClassVar = [services.approve, services.reject, services.escalate, services.withdraw]
    inputs: ClassVar = {
        services.approve: ApproveInput,
        services.reject: RejectInput,
        services.escalate: EscalateInput,
    }
    queues: ClassVar = [
        Queue(
            title="Second person",
            filters={"status": "pending", "for_me": "True"},
            since="created_at",
            amber=timedelta(hours=4),
            red=timedelta(hours=8),
        )
    ]
    change_form_template = "admin/approval/form.html"
    list_display: ClassVar = ["kind_name", "maker", "sum", "voices", "status", "created_at", "expires_at"]
    list_filter: ClassVar = ["status", Mine, "kind", "decider_role"]
    list_select_related: ClassVar = ["maker"]
    search_fields: ClassVar = ["=subject_id"]
    search_help_text = "Whole id of what it is about"
    ordering: ClassVar = ["id"]  # oldest first: ids rise with time
    details: ClassVar = [
        "kind_name",
        "status",
        "voices",
        "maker",
        "reason",
        "sum",
        "subject_type",
        "subject_id",
        "subject_version",
        "base_type",
        "base_id",
        "base_version",
        "capability",
        "decider_role",
        "escalated_by",
        "escalation_reason",
        "created_at",
        "expires_at",
        "decided_at",
        "version",
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        mine = ExpressionWrapper(decidable_by(actor_of(request)), output_field=BooleanField())
        rows = super().get_queryset(request).with_decisions().judged_for(request.user)
        return rows.annotate(for_me=mine)

    @admin.display(description="what", ordering="kind")
    def kind_name(self, row: ApprovalRequest) -> str:
        """The kind in words."""
        return row.title

    @admin.display(description="voices")
    def voices(self, row: ApprovalRequest) -> str:
        """How many of those needed have said yes."""
        return f"{row.given} of {row.needed}"

    @admin.display(description="amount", ordering="amount")
    def sum(self, row: ApprovalRequest) -> str:
        """The amount at stake."""
        return "–" if row.amount is None else measured(row.amount, row.currency)

    def disabled_reason(self, request: HttpRequest, service: Service, row: ApprovalRequest) -> str:
        """Nobody decides on their own work; the service says so too."""
        if service is services.withdraw:
            return "" if request.user.pk == row.maker_id else services.MakerOnly.title
        if service is services.escalate:
            against = services.exclusion(row, actor_of(request))
        else:
            against = services.disabled_reason(row, actor_of(request)) if service in DECISIONS else None
        return against.detail if against is not None else ""

    def tables(self, request: HttpRequest, row: ApprovalRequest) -> list[Table]:
        lines = [(line["field"], line["old"] or "–", line["new"] or "–") for line in row.diff]
        voices = [
            (
                v.decider,
                v.get_decision_display(),
                v.get_reason_code_display() or "–",
                v.note or "–",
                v.created_at,
            )
            for v in row.decisions.all()
        ]
        return [
            Table("What would change", ["Field", "Now", "Then"], lines),
            Table("Decisions", ["Who", "Decision", "Reason", "Note", "When"], voices),
        ]

    def _form(self, request: HttpRequest, service: Service, row: Any, *, data: bool = False) -> Any:
        """A decision is about the version on the screen, so the form carries it."""
        form = super()._form(request, service, row, data=data)
        if service in DECISIONS and row is not None:
            form.initial.setdefault("subject_version", row.subject_version)
            form.fields["subject_version"].widget.attrs["readonly"] = True
        return form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= self._neighbours(request, context["original"])
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def _neighbours(self, request: HttpRequest, row: ApprovalRequest) -> dict[str, str]:
        """Addresses of the requests before and after this one in the list that the person came from."""
        kept = request.GET.get("_changelist_filters", "")
        listed: Any = copy(request)
        listed.GET = QueryDict(kept or urlencode(self.queues[0].filters), mutable=True)
        listed.GET.pop(PAGE_VAR, None)  # neighbours are of the whole list, whose pages may be fewer by now
        rows = self.get_changelist_instance(listed).queryset.order_by("pk").values_list("pk", flat=True)
        found = {
            "previous": rows.filter(pk__lt=row.pk).reverse().first(),
            "following": rows.filter(pk__gt=row.pk).first(),
        }
        query = f"?{urlencode({'_changelist_filters': kept})}" if kept else ""
        return {name: self._url("change", pk) + query for name, pk in found.items() if pk is not None}
