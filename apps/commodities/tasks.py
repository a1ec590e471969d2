"""What runs without a caller: what a second person decided on units, schedules and rates."""

from typing import Any

from apps.approvals import events as approvals
from apps.commodities.services.drafts import procedures
from erp.access import SYSTEM
from erp.outbox.subscriber import handles


@handles(
    approvals.ApprovalGranted,
    approvals.ApprovalRefused,
    approvals.ApprovalWithdrawn,
    approvals.ApprovalExpired,
    approvals.ApprovalStaled,
)
def settle(event: approvals.Head, *, meta: Any) -> None:
    """Publish, withdraw or return the row that was decided on."""
    procedure = procedures.get(event.kind)
    if procedure is not None:
        procedure.settle(
            procedure.model.objects.get(pk=event.subject_id), actor=SYSTEM, approval_id=event.approval_id
        )
