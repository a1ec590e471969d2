"""Capabilities on organizations, their bank accounts, years and document numbers."""

from erp.access import Capability

VIEW = Capability(
    "organization.view", on="Organization", label="See organizations", everywhere=("INTERNAL", "AUDITOR")
)
CREATE = Capability(
    "organization.create",
    on="Organization",
    label="Add an organization, and see all of them",
    everywhere=("INTERNAL_DIRECTOR", "SYSTEM"),
)
UPDATE = Capability(
    "organization.update",
    on="Organization",
    label="Change organizations, their GST registrations and calendars",
    everywhere=("INTERNAL_FINANCE", "INTERNAL_DIRECTOR"),
)
MANAGE_BANK_ACCOUNTS = Capability(
    "organization.manage_bank_accounts",
    on="BankAccount",
    label="Manage company bank accounts; a second holder approves",
    everywhere=("INTERNAL_FINANCE", "INTERNAL_DIRECTOR"),
)
MANAGE_FINANCIAL_YEARS = Capability(
    "organization.manage_financial_years",
    on="FinancialYear",
    label="Open and close financial years, and post to a soft-closed one",
    everywhere=("INTERNAL_FINANCE", "INTERNAL_DIRECTOR"),
)
REOPEN_FINANCIAL_YEAR = Capability(
    "organization.reopen_financial_year",
    on="FinancialYear",
    label="Reopen a financial year; for a locked one a second holder approves",
    everywhere=("INTERNAL_DIRECTOR",),
)
MANAGE_SERIES = Capability(
    "organization.manage_series",
    on="DocumentSeries",
    label="Define document series",
    everywhere=("INTERNAL_FINANCE",),
)
ALLOCATE_NUMBER = Capability(
    "organization.allocate_number",
    on="DocumentSeries",
    label="Allocate document numbers",
    everywhere=("INTERNAL_FINANCE", "SYSTEM"),
)
