"""Capabilities on negotiations."""

from erp.access import Capability

VIEW = Capability(
    "negotiation.view",
    on="Negotiation",
    label="See negotiations",
    everywhere=("INTERNAL", "AUDITOR"),
    own=("PARTNER_ADMIN", "SELLER", "BUYER", "TRADER"),
)
TAKE_PART = Capability(
    "negotiation.take_part",
    on="Negotiation",
    label="Make, accept and reject offers of negotiations",
    own=("SELLER", "BUYER", "TRADER"),
)
