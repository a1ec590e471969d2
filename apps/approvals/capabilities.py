"""Capabilities of approval requests."""

from erp.access import Capability

VIEW = Capability(
    "approval.view",
    on="ApprovalRequest",
    label="View own requests and those to decide on",
    everywhere=("INTERNAL", "AUDITOR"),
)
REQUEST = Capability(
    "approval.request",
    on="ApprovalRequest",
    label="Open and withdraw requests",
    everywhere=("INTERNAL", "SYSTEM"),
)
DECIDE = Capability(
    "approval.decide",
    on="ApprovalRequest",
    label="Decide on other users' requests",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR", "INTERNAL_FINANCE", "INTERNAL_COMPLIANCE"),
)
