"""Capabilities on requirements."""

from erp.access import Capability

VIEW = Capability(
    "requirement.view",
    on="Requirement",
    label="See requirements",
    everywhere=("SELLER", "TRADER", "BROKER", "INTERNAL", "AUDITOR"),
    own=("PARTNER_ADMIN", "BUYER"),
)
VIEW_ALL = Capability(
    "requirement.view_all",
    on="Requirement",
    label="Search all requirements",
    everywhere=("INTERNAL", "AUDITOR"),
)
VIEW_ANALYTICS = Capability(
    "requirement.view_analytics",
    on="Requirement",
    label="See figures of requirements",
    everywhere=("INTERNAL",),
    own=("BUYER", "TRADER"),
)
CREATE = Capability(
    "requirement.create", on="Requirement", label="Create and publish requirements", own=("BUYER", "TRADER")
)
UPDATE = Capability(
    "requirement.update", on="Requirement", label="Change requirements", own=("BUYER", "TRADER")
)
APPROVE = Capability(
    "requirement.approve",
    on="Requirement",
    label="Approve, suspend and reactivate requirements",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
)
REJECT = Capability(
    "requirement.reject",
    on="Requirement",
    label="Reject requirements",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
)
CANCEL = Capability(
    "requirement.cancel",
    on="Requirement",
    label="Cancel requirements",
    everywhere=("INTERNAL_MANAGER",),
    own=("BUYER", "TRADER"),
)
FULFILL = Capability(
    "requirement.fulfill",
    on="Requirement",
    label="Correct what a requirement has bought",
    everywhere=("INTERNAL_MANAGER", "SYSTEM"),
)
AI_ADJUST = Capability(
    "requirement.ai_adjust",
    on="Requirement",
    label="Ask for relaxations of a requirement",
    everywhere=("INTERNAL",),
    own=("BUYER", "TRADER"),
)
