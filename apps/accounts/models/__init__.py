"""Users, sign-in and rights."""

from apps.accounts.models.factors import RecoveryCode, TotpDevice
from apps.accounts.models.policy import (
    AccessPolicy,
    CapabilityChange,
    CapabilityGrant,
    Operation,
    PolicyDeviation,
    Scope,
)
from apps.accounts.models.sign_in import OneTimeToken, OtpChallenge, RefreshToken, Session, SignInCounter
from apps.accounts.models.users import (
    DeactivationReason,
    FactorReason,
    PasswordHistory,
    ReactivationReason,
    RoleMembership,
    UnlockReason,
    User,
    UserQuerySet,
)
from apps.accounts.models.view_as import ViewAs, ViewAsQuerySet

__all__ = [
    "AccessPolicy",
    "CapabilityChange",
    "CapabilityGrant",
    "DeactivationReason",
    "FactorReason",
    "OneTimeToken",
    "Operation",
    "OtpChallenge",
    "PasswordHistory",
    "PolicyDeviation",
    "ReactivationReason",
    "RecoveryCode",
    "RefreshToken",
    "RoleMembership",
    "Scope",
    "Session",
    "SignInCounter",
    "TotpDevice",
    "UnlockReason",
    "User",
    "UserQuerySet",
    "ViewAs",
    "ViewAsQuerySet",
]
