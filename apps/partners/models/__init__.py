"""Partners: firms that the company trades with, their papers, checks, credit and what belongs to them."""

from apps.partners.models.amendments import Amendment, AmendmentChange
from apps.partners.models.credit import (
    CreditAccount,
    CreditLimit,
    EmptyOperation,
    ExposureEntry,
    OpenExposure,
)
from apps.partners.models.links import GroupMember, IdentifierKey, PartyLink, PermissionOverride
from apps.partners.models.papers import PartnerDocument
from apps.partners.models.partners import Partner, PartnerRole, Scorecard, TradePermission, editors_of
from apps.partners.models.parts import (
    PartnerBankAccount,
    PartnerEmployee,
    PartnerLocation,
    PartnerOwner,
    TaxRegistration,
    Vehicle,
)
from apps.partners.models.rounds import (
    InformationItem,
    KycCheck,
    KycNotice,
    OnboardingRound,
    RoundEditor,
)

__all__ = [
    "Amendment",
    "AmendmentChange",
    "CreditAccount",
    "CreditLimit",
    "EmptyOperation",
    "ExposureEntry",
    "GroupMember",
    "IdentifierKey",
    "InformationItem",
    "KycCheck",
    "KycNotice",
    "OnboardingRound",
    "OpenExposure",
    "Partner",
    "PartnerBankAccount",
    "PartnerDocument",
    "PartnerEmployee",
    "PartnerLocation",
    "PartnerOwner",
    "PartnerRole",
    "PartyLink",
    "PermissionOverride",
    "RoundEditor",
    "Scorecard",
    "TaxRegistration",
    "TradePermission",
    "Vehicle",
    "editors_of",
]
