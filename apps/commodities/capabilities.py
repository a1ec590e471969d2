"""Capabilities for the master data of commodities."""

from erp.access import Capability

MANAGERS = ("INTERNAL_MANAGER", "INTERNAL_MASTERDATA")

VIEW = Capability(
    "commodity.view",
    on="Commodity",
    label="See commodities",
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
CREATE = Capability(
    "commodity.create",
    on="Commodity",
    label="Add commodities",
    everywhere=MANAGERS,
)
UPDATE = Capability(
    "commodity.update",
    on="Commodity",
    label="Change commodities",
    everywhere=MANAGERS,
)
MANAGE_SPECIFICATIONS = Capability(
    "commodity.manage_specifications",
    on="Commodity",
    label="Manage quality parameters, templates, grades and schedules",
    everywhere=MANAGERS,
)
MANAGE_TERMS = Capability(
    "commodity.manage_terms",
    on="Commodity",
    label="Manage terms of trade, pricing units, units and pack weights",
    everywhere=MANAGERS,
)
MANAGE_COMMISSIONS = Capability(
    "commodity.manage_commissions",
    on="Commodity",
    label="Manage commissions",
    everywhere=("INTERNAL_FINANCE", "INTERNAL_DIRECTOR"),
)
MANAGE_TAX = Capability(
    "commodity.manage_tax",
    on="Commodity",
    label="Manage GST rates",
    everywhere=("INTERNAL_FINANCE", "INTERNAL_DIRECTOR"),
)
VIEW_COMMISSIONS = Capability(
    "commodity.view_commissions",
    on="Commodity",
    label="See commissions",
    everywhere=("INTERNAL_FINANCE", "INTERNAL_DIRECTOR", "AUDITOR"),
)
