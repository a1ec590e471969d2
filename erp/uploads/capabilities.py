"""Who may upload files."""

from erp.access import Capability

CREATE = Capability(
    "upload.create",
    on="StoredFile",
    label="Upload files",
    everywhere=(
        "APPLICANT",
        "PARTNER_ADMIN",
        "SELLER",
        "BUYER",
        "TRADER",
        "BROKER",
        "SERVICE_PROVIDER",
        "INTERNAL",
    ),
)
