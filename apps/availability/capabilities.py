"""Capabilities on offers and reservations."""

from erp.access import Capability

VIEW = Capability(
    "availability.view",
    on="Availability",
    label="See offers",
    everywhere=("BUYER", "TRADER", "BROKER", "INTERNAL", "AUDITOR"),
    own=("PARTNER_ADMIN", "SELLER"),
)
VIEW_ALL = Capability(
    "availability.view_all", on="Availability", label="Search all offers", everywhere=("INTERNAL",)
)
CREATE = Capability(
    "availability.create", on="Availability", label="Post and submit offers", own=("SELLER", "TRADER")
)
APPROVE = Capability(
    "availability.approve",
    on="Availability",
    label="Approve offers",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
)
RESERVE = Capability(
    "availability.reserve",
    on="Availability",
    label="Reserve stock",
    everywhere=("BUYER", "TRADER", "INTERNAL", "SYSTEM"),
)
RELEASE = Capability(
    "availability.release",
    on="Availability",
    label="Release reserved stock",
    everywhere=("BUYER", "TRADER", "INTERNAL", "SYSTEM"),
)
