"""Capabilities of integrations."""

from erp.access import Capability

READ_EVENTS = Capability(
    "integration.read_events",
    on="FeedEntry",
    label="Read the event feed",
    everywhere=(
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
