"""Endpoints of approval requests."""

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet

from apps.approvals import capabilities, services
from apps.approvals.models import ApprovalRequest
from apps.approvals.serializers import ApprovalApproveInput, ApprovalOutput, RejectInput
from erp.access import actor_of
from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet


class ApprovalFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Requests that the caller may decide on, or has made."""

    mine = django_filters.ChoiceFilter(
        choices=[("to_decide", "to_decide"), ("made", "made")],
        method="pick",
        label="`to_decide`: requests that the caller may decide on now; `made`: requests of the caller.",
    )

    def pick(self, rows: Any, name: str, value: str) -> QuerySet[ApprovalRequest]:
        """Filter the rows."""
        picked: QuerySet[ApprovalRequest] = getattr(rows, value)(self.request.user)
        return picked


class ApprovalViewSet(RowViewSet):
    """Requests that the caller made or may decide on."""

    queryset = ApprovalRequest.objects.all()
    serializer_class = ApprovalOutput
    reads = capabilities.VIEW
    filterset_class = ApprovalFilter
    filters: ClassVar = {
        "status": ["exact", "in"],
        "kind": ["exact", "in"],
        "subject_type": ["exact"],
        "subject_id": ["exact"],
        "amount": ["gte", "lte"],
        "created_at": ["gte", "lte"],
    }
    ordering: ClassVar = ["created_at"]
    ordering_fields: ClassVar = ["created_at", "updated_at"]

    approve = endpoint(
        services.approve,
        ApprovalApproveInput,
        if_match="required",
    )
    reject = endpoint(
        services.reject,
        RejectInput,
        if_match="required",
    )

    def get_queryset(self) -> Any:
        return super().get_queryset().with_decisions().with_reach_of(self.request.user)

    def allowed_actions(self, row: Any) -> list[str]:
        """No actions on the caller's own requests, nor without the capability or role."""
        return [] if services.disabled_reason(row, actor_of(self.request)) else super().allowed_actions(row)
