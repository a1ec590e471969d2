"""Who may read and keep the master data of commodities."""

from erp.access import Capability

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
    everywhere=("INTERNAL_MANAGER", "INTERNAL_MASTERDATA"),
)
UPDATE = Capability(
    "commodity.update",
    on="Commodity",
    label="Change commodities",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_MASTERDATA"),
)
