"""Who sees messages, and who keeps their texts."""

from erp.access import Capability

VIEW = Capability(
    "notification.view",
    on="Message",
    label="See one's own messages",
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
    label="Keep texts, send failed messages again",
    everywhere=("INTERNAL_MASTERDATA", "SYSTEM"),
)
