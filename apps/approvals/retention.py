"""What requests for approval hold about people; they are erased with their subjects."""

from apps.approvals.models import ApprovalRequest
from erp.retention import declare

declare(
    ApprovalRequest,
    category="names, proposed changes, reasons",
    purpose="decisions by a second person",
    erased={"subject_name": "", "diff": [], "reason": "Erased"},
)
