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
VIEW_ANALYTICS = Capability(
    "availability.view_analytics",
    on="Availability",
    label="See figures about offers",
    everywhere=("INTERNAL",),
    own=("SELLER", "TRADER"),
)
CREATE = Capability(
    "availability.create", on="Availability", label="Post and submit offers", own=("SELLER", "TRADER")
)
UPDATE = Capability("availability.update", on="Availability", label="Edit offers", own=("SELLER", "TRADER"))
APPROVE = Capability(
    "availability.approve",
    on="Availability",
    label="Approve offers",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
)
REJECT = Capability(
    "availability.reject",
    on="Availability",
    label="Reject offers",
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
MARK_SOLD = Capability(
    "availability.mark_sold",
    on="Availability",
    label="Mark stock as sold",
    everywhere=("INTERNAL_DIRECTOR", "SYSTEM"),
)
CANCEL = Capability(
    "availability.cancel",
    on="Availability",
    label="Cancel offers",
    everywhere=("INTERNAL_MANAGER",),
    own=("SELLER", "TRADER"),
)
