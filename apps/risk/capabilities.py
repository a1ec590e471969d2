"""Capabilities on assessments of risk, and what the risk and compliance desk decides."""

from erp.access import Capability

VIEW = Capability(
    "risk.view",
    on="RiskAssessment",
    label="See assessments of risk, alerts, overrides and policies",
    everywhere=("INTERNAL", "AUDITOR"),
)
ASSESS = Capability(
    "risk.assess",
    on="RiskAssessment",
    label="Assess partners, listings and proposed trades",
    everywhere=("INTERNAL", "SYSTEM"),
    own=("SELLER", "BUYER", "TRADER"),
)
OVERRIDE = Capability(
    "risk.override",
    on="RiskOverride",
    label="Request and approve overrides of gates",
    everywhere=("INTERNAL_DIRECTOR", "INTERNAL_COMPLIANCE"),
)
REVIEW = Capability(
    "risk.review",
    on="SurveillanceAlert",
    label="Decide alerts, screening hits and pair blocks, answer checks by hand",
    everywhere=("INTERNAL_COMPLIANCE", "INTERNAL_MANAGER"),
)
CONFIGURE = Capability(
    "risk.configure",
    on="RiskPolicy",
    label="Change policies, screening lists and currency rates",
    everywhere=("INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR"),
)
