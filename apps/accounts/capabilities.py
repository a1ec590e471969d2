"""Roles, and the capabilities of accounts."""

from erp.access import Capability, registry

registry.declare_roles(
    {
        "INTERNAL": "Staff of the company",
        "INTERNAL_MANAGER": "Staff who approve partners, offers and trades",
        "INTERNAL_DIRECTOR": "Staff who decide above the limits of a manager",
        "INTERNAL_FINANCE": "Staff who settle and pay",
        "INTERNAL_COMPLIANCE": "Staff responsible for rights, KYC and the audit trail",
        "INTERNAL_MASTERDATA": "Staff who maintain commodities, terms and templates",
        "AUDITOR": "Reads everything, changes nothing",
        "APPLICANT": "A person whose firm applies to become a partner",
        "PARTNER_ADMIN": "Administers a partner's data and users",
        "SELLER": "Sells for a partner",
        "BUYER": "Buys for a partner",
        "TRADER": "Buys and sells for a partner",
        "BROKER": "Brings parties together",
        "SERVICE_PROVIDER": "Transports, inspects or stores goods",
    },
    tiers=(
        ("INTERNAL",),
        ("INTERNAL_MASTERDATA",),
        ("INTERNAL_MANAGER", "INTERNAL_FINANCE", "INTERNAL_COMPLIANCE"),
        ("INTERNAL_DIRECTOR",),
    ),
)

# Incompatible in one role or one user (accounts §5.3): approving, settling, administering.
APART = (
    frozenset({"trade.approve"}),
    frozenset({"trade.settle"}),
    frozenset({"account.manage_users", "account.manage_capabilities"}),
)
# The roles with these capabilities by default, also where the modules of the capabilities are not installed.
ROLES_APART = frozenset({"INTERNAL_MANAGER", "INTERNAL_FINANCE", "INTERNAL_COMPLIANCE"})

_EVERYBODY = (
    "APPLICANT",
    "PARTNER_ADMIN",
    "SELLER",
    "BUYER",
    "TRADER",
    "BROKER",
    "SERVICE_PROVIDER",
    "INTERNAL",
    "AUDITOR",
)

VIEW = Capability("account.view", on="User", label="View own user and sessions", everywhere=_EVERYBODY)
UPDATE_PROFILE = Capability(
    "account.update_profile", on="User", label="Change own profile", everywhere=_EVERYBODY
)
CHANGE_PASSWORD = Capability(
    "account.change_password", on="User", label="Change own password", everywhere=_EVERYBODY
)
MANAGE_SESSIONS = Capability(
    "account.manage_sessions", on="User", label="End own sessions", everywhere=_EVERYBODY
)
MANAGE_MFA = Capability(
    "account.manage_mfa", on="User", label="Manage own two-factor authentication", everywhere=_EVERYBODY
)
MANAGE_USERS = Capability(
    "account.manage_users", on="User", label="Administer users", everywhere=("INTERNAL_COMPLIANCE",)
)
MANAGE_CAPABILITIES = Capability(
    "account.manage_capabilities",
    on="User",
    label="Propose and approve changes of roles, matrix and grants",
    everywhere=("INTERNAL_COMPLIANCE",),
)
VIEW_AS = Capability(
    "account.view_as",
    on="User",
    label="View as a partner for 30 minutes, with a reason",
    everywhere=("INTERNAL_MANAGER", "INTERNAL_COMPLIANCE"),
)
