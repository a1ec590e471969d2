"""Capabilities of notifications."""

from erp.access import Capability

VIEW = Capability(
    "notification.view",
    on="Message",
    label="View own messages",
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
MANAGE = Capability(
    "notification.manage",
    on="Message",
    label="Maintain templates, send failed messages again",
    everywhere=("INTERNAL_MASTERDATA", "SYSTEM"),
)
