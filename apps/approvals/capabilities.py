"""Who may ask for a second person's decision, and who may give it."""

from erp.access import Capability

VIEW = Capability(
    "approval.view",
    on="ApprovalRequest",
    label="See requests that one made or may decide",
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
    label="Decide on requests of others",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR", "INTERNAL_FINANCE", "INTERNAL_COMPLIANCE"),
)
