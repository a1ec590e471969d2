"""Who may look at long work and stop it."""

from erp.access import Capability

VIEW = Capability(
    "job.view",
    on="Job",
    label="See one's own jobs",
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
CANCEL = Capability(
    "job.cancel",
    on="Job",
    label="Stop one's own jobs",
    everywhere=("PARTNER_ADMIN", "SELLER", "BUYER", "TRADER", "BROKER", "SERVICE_PROVIDER", "INTERNAL"),
)
