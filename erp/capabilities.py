"""Capabilities of the kernel for technical pages, without a row."""

from erp.access import Capability

VIEW_TRAIL = Capability(
    "trail.view",
    on="",
    label="See trail, history and the screens of operations",
    everywhere=("INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR", "AUDITOR"),
)
