"""Capabilities on matches and their rules."""

from erp.access import Capability

VIEW = Capability(
    "matching.view",
    on="Match",
    label="See matches",
    everywhere=("INTERNAL", "AUDITOR"),
    own=("PARTNER_ADMIN", "SELLER", "BUYER", "TRADER"),
)
VIEW_RESULTS = Capability(
    "matching.view_results",
    on="MatchRun",
    label="Find matches",
    everywhere=("INTERNAL", "SYSTEM"),
    own=("SELLER", "BUYER", "TRADER"),
)
EXECUTE = Capability(
    "matching.execute",
    on="MatchRun",
    label="Match a commodity as a whole",
    everywhere=("INTERNAL_MANAGER", "SYSTEM"),
)
APPROVE = Capability(
    "matching.approve",
    on="Match",
    label="Approve matches",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
    own=("SELLER", "BUYER", "TRADER"),
)
REJECT = Capability(
    "matching.reject",
    on="Match",
    label="Reject matches",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
    own=("SELLER", "BUYER", "TRADER"),
)
CONFIGURE = Capability(
    "matching.configure",
    on="RuleSet",
    label="Propose and approve rules of matching",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
)
