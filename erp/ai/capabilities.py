"""Who sees what a remote model was asked, and who manages prompts and budgets."""

from erp.access import Capability

VIEW = Capability(
    "ai.view",
    on="Call",
    label="See calls, cost and prompts of AI",
    everywhere=("INTERNAL_DIRECTOR", "AUDITOR"),
)
MANAGE = Capability(
    "ai.manage", on="Prompt", label="Manage prompts and budgets of AI", everywhere=("INTERNAL_DIRECTOR",)
)
