"""Capabilities on partners."""

from erp.access import Capability

VIEW = Capability(
    "partner.view",
    on="Partner",
    label="See partners",
    everywhere=("INTERNAL", "AUDITOR"),
    own=("APPLICANT", "PARTNER_ADMIN", "SELLER", "BUYER", "TRADER", "BROKER", "SERVICE_PROVIDER"),
)
CREATE = Capability(
    "partner.create",
    on="Partner",
    label="Register partners",
    everywhere=("INTERNAL",),
    own=("APPLICANT", "PARTNER_ADMIN"),
)
