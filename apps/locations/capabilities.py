"""Capabilities on the registry of places."""

from erp.access import Capability

VIEW = Capability(
    "location.view",
    on="Location",
    label="See places and look them up",
    everywhere=(
        "APPLICANT",
        "PARTNER_ADMIN",
        "SELLER",
        "BUYER",
        "TRADER",
        "BROKER",
        "SERVICE_PROVIDER",
        "INTERNAL",
        "AUDITOR",
    ),
)
CREATE = Capability("location.create", on="Location", label="Add places", everywhere=("INTERNAL", "SYSTEM"))
UPDATE = Capability(
    "location.update",
    on="Location",
    label="Change places and distances",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_MASTERDATA"),
)
MANAGE_HIERARCHY = Capability(
    "location.manage_hierarchy",
    on="Location",
    label="Move and merge places",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_MASTERDATA"),
)
