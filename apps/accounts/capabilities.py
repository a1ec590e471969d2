"""Roles, and who may do what with users."""

from erp.access import Capability, registry

registry.declare_roles(
    {
        "INTERNAL": "Staff of the house",
        "INTERNAL_MANAGER": "Staff who approve partners, offers and trades",
        "INTERNAL_DIRECTOR": "Staff who decide what a manager may not",
        "INTERNAL_FINANCE": "Staff who settle and pay",
        "INTERNAL_COMPLIANCE": "Staff who guard rights, KYC and the trail",
        "INTERNAL_MASTERDATA": "Staff who keep commodities, terms and templates",
        "AUDITOR": "Reads everything, changes nothing",
        "APPLICANT": "A person whose firm is being taken on",
        "PARTNER_ADMIN": "Administers a partner's own data and people",
        "SELLER": "Sells for a partner",
        "BUYER": "Buys for a partner",
        "TRADER": "Buys and sells for a partner",
        "BROKER": "Brings parties together",
        "SERVICE_PROVIDER": "Transports, controls or stores",
    }
)

VIEW = Capability(
    "account.view",
    on="User",
    label="See one's own user and sessions",
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
MANAGE_USERS = Capability(
    "account.manage_users",
    on="User",
    label="Administer users",
    everywhere=("INTERNAL_COMPLIANCE",),
)
