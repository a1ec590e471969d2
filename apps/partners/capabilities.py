"""Capabilities on partners, their papers, accounts and credit."""

from erp.access import Capability

_OWN_FILE = ("APPLICANT", "PARTNER_ADMIN")

VIEW = Capability(
    "partner.view",
    on="Partner",
    label="See partners",
    everywhere=("INTERNAL", "AUDITOR"),
    own=("APPLICANT", "PARTNER_ADMIN", "SELLER", "BUYER", "TRADER", "BROKER", "SERVICE_PROVIDER"),
)
VIEW_SENSITIVE = Capability(
    "partner.view_sensitive",
    on="Partner",
    label="See tax numbers and contacts of partners in full",
    everywhere=("INTERNAL_COMPLIANCE", "INTERNAL_FINANCE", "INTERNAL_DIRECTOR"),
    own=_OWN_FILE,
)
VIEW_ANALYTICS = Capability(
    "partner.view_analytics",
    on="Partner",
    label="See figures about all partners",
    everywhere=("INTERNAL",),
)
EXPORT = Capability(
    "partner.export",
    on="Partner",
    label="Export partners and print their KYC register",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_COMPLIANCE", "AUDITOR"),
)
CREATE = Capability(
    "partner.create",
    on="Partner",
    label="Apply for a partner: draft, papers, submission",
    everywhere=("INTERNAL",),
    own=_OWN_FILE,
)
UPDATE = Capability(
    "partner.update",
    on="Partner",
    label="Change partners, their locations, vehicles and papers",
    everywhere=("INTERNAL",),
    own=_OWN_FILE,
)
MANAGE_EMPLOYEES = Capability(
    "partner.manage_employees",
    on="PartnerEmployee",
    label="Invite and deactivate people of partners",
    everywhere=("INTERNAL",),
    own=_OWN_FILE,
)
MANAGE_BANK_ACCOUNTS = Capability(
    "partner.manage_bank_accounts",
    on="PartnerBankAccount",
    label="Add bank accounts of partners; another person verifies them",
    everywhere=("INTERNAL_FINANCE",),
    own=_OWN_FILE,
)
VERIFY_BANK_ACCOUNT = Capability(
    "partner.verify_bank_account",
    on="PartnerBankAccount",
    label="Verify bank accounts of partners",
    everywhere=("INTERNAL_FINANCE", "INTERNAL_DIRECTOR"),
)
VERIFY_KYC = Capability(
    "partner.verify_kyc",
    on="PartnerDocument",
    label="Verify papers and checks of partners",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_COMPLIANCE"),
)
APPROVE = Capability(
    "partner.approve",
    on="Partner",
    label="Approve applications, and ask applicants for information",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
)
REJECT = Capability(
    "partner.reject",
    on="Partner",
    label="Reject applications",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
)
SUSPEND = Capability(
    "partner.suspend",
    on="Partner",
    label="Suspend and reactivate partners",
    everywhere=("INTERNAL_DIRECTOR",),
)
APPROVE_AMENDMENT = Capability(
    "partner.approve_amendment",
    on="Amendment",
    label="Approve amendments of partners; those of the high tier as a director",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR"),
)
MANAGE_CREDIT = Capability(
    "partner.manage_credit",
    on="CreditAccount",
    label="Set credit limits of partners; above a band a second holder approves",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_DIRECTOR", "INTERNAL_FINANCE"),
)
OVERRIDE = Capability(
    "partner.override",
    on="Partner",
    label="Waive checks, give trade permissions and decide on related parties, always with a second person",
    everywhere=("INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR"),
)
OPERATE = Capability(
    "partner.operate",
    on="Partner",
    label="Record checks and dates of partners",
    everywhere=("SYSTEM",),
)
BOOK_EXPOSURE = Capability(
    "partner.book_exposure",
    on="CreditAccount",
    label="Book exposure of partners",
    everywhere=("SYSTEM",),
)
