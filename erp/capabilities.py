"""Capabilities of the kernel for technical pages, without a row."""

from erp.access import Capability

VIEW_TRAIL = Capability(
    "trail.view",
    on="",
    label="See trail, history and the screens of operations",
    everywhere=("INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR", "AUDITOR"),
)
EXPORT_TRAIL = Capability(
    "trail.export",
    on="",
    label="Export the audit trail",
    everywhere=("INTERNAL_COMPLIANCE", "AUDITOR"),
)
