"""Capabilities of operators for stuck events."""

from erp.access import Capability

MANAGE = Capability(
    "outbox.manage",
    on="EventOutbox",
    label="Retry, skip and replay events",
    everywhere=("INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR", "SYSTEM"),
)
MANAGE_DEAD_LETTERS = Capability(
    "outbox.manage_dead_letters",
    on="DeadLetter",
    label="Redrive and discard dead letters",
    everywhere=("INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR", "SYSTEM"),
)
