"""Events of users, sessions and rights. They never hold a name, an address or a device."""

from datetime import datetime
from uuid import UUID

from apps.accounts import capabilities
from erp.events import ALL, Event, event, rows_of

rows_of("user", model="account.User", reads=capabilities.VIEW)
rows_of("session", model="account.Session", reads=capabilities.VIEW)

SELF = {"user_id": ALL}  # only the user themselves reads the event


@event("user.registered", version=1, aggregate=("user", "user_id"), readers=SELF)
class UserRegistered(Event):
    user_id: UUID
    user_type: str
    method: str


@event("user.email_verified", version=1, aggregate=("user", "user_id"), readers=SELF)
class EmailVerified(Event):
    user_id: UUID
    purpose: str


@event("user.sign_up_repeated", version=1, aggregate=("user", "user_id"), readers=SELF)
class SignUpRepeated(Event):
    """An address or number of an existing account was used to sign up. Its owner is notified once a day."""

    user_id: UUID


@event(
    "user.invited",
    version=1,
    aggregate=("user", "user_id"),
    readers={"user_id": ["user_id", "user_type", "roles"]},
)
class UserInvited(Event):
    """``token_id`` is the one-time token of the link in the invitation."""

    user_id: UUID
    token_id: UUID
    user_type: str
    roles: list[str]
    by: UUID | None


@event("user.invitation_accepted", version=1, aggregate=("user", "user_id"), readers=SELF)
class InvitationAccepted(Event):
    user_id: UUID


@event("user.logged_in", version=1, aggregate=("user", "user_id"), readers=SELF)
class UserLoggedIn(Event):
    user_id: UUID
    session_id: UUID
    door: str
    method: str
    second_factor: str
    new_device: bool


@event("user.logged_out", version=1, aggregate=("user", "user_id"), readers=SELF)
class UserLoggedOut(Event):
    user_id: UUID
    session_id: UUID


@event("user.profile_updated", version=1, aggregate=("user", "user_id"), readers=SELF)
class ProfileUpdated(Event):
    """``changed`` holds the names of the changed fields."""

    user_id: UUID
    changed: list[str]


@event("user.admitted", version=1, aggregate=("user", "user_id"), readers=SELF)
class UserAdmitted(Event):
    user_id: UUID
    partner_id: UUID
    roles: list[str]


@event("user.applied", version=1, aggregate=("user", "user_id"), readers=SELF)
class UserApplied(Event):
    user_id: UUID
    partner_id: UUID


@event(
    "user.roles_changed",
    version=1,
    aggregate=("user", "user_id"),
    readers={"user_id": ["user_id", "added", "removed"]},
)
class RolesChanged(Event):
    user_id: UUID
    added: list[str]
    removed: list[str]
    by: UUID | None
    approval_id: UUID | None


@event(
    "user.deactivated",
    version=1,
    aggregate=("user", "user_id"),
    readers={"user_id": ["user_id", "reason_code"]},
)
class UserDeactivated(Event):
    user_id: UUID
    reason_code: str
    by: UUID | None


@event(
    "user.reactivated",
    version=1,
    aggregate=("user", "user_id"),
    readers={"user_id": ["user_id", "reason_code"]},
)
class UserReactivated(Event):
    user_id: UUID
    reason_code: str
    by: UUID | None


@event(
    "user.unlocked", version=1, aggregate=("user", "user_id"), readers={"user_id": ["user_id", "reason_code"]}
)
class UserUnlocked(Event):
    user_id: UUID
    reason_code: str
    by: UUID | None


@event("user.view_as.started", version=1, aggregate=("user", "user_id"), readers={})
class ViewAsStarted(Event):
    user_id: UUID
    view_as_id: UUID
    partner_id: UUID


@event("user.view_as.ended", version=1, aggregate=("user", "user_id"), readers={})
class ViewAsEnded(Event):
    user_id: UUID
    view_as_id: UUID
    partner_id: UUID


@event(
    "user.reauthenticated",
    version=1,
    aggregate=("user", "user_id"),
    readers={"user_id": ["user_id", "reason_code"]},
)
class UserReauthenticated(Event):
    user_id: UUID
    reason_code: str
    by: UUID | None


@event(
    "user.erased", version=1, aggregate=("user", "user_id"), readers={"user_id": ["user_id", "reason_code"]}
)
class UserErased(Event):
    user_id: UUID
    reason_code: str
    by: UUID | None


@event("password.reset", version=1, aggregate=("user", "user_id"), readers=SELF)
class PasswordReset(Event):
    user_id: UUID
    sessions_revoked: int


@event("password.changed", version=1, aggregate=("user", "user_id"), readers=SELF)
class PasswordChanged(Event):
    user_id: UUID
    sessions_revoked: int


@event("mfa.setup_started", version=1, aggregate=("user", "user_id"), readers=SELF)
class MfaSetupStarted(Event):
    user_id: UUID


@event("mfa.enabled", version=1, aggregate=("user", "user_id"), readers=SELF)
class MfaEnabled(Event):
    user_id: UUID
    method: str


@event(
    "mfa.disabled", version=1, aggregate=("user", "user_id"), readers={"user_id": ["user_id", "reason_code"]}
)
class MfaDisabled(Event):
    user_id: UUID
    by: UUID | None
    reason_code: str


@event("mfa.recovery_code_used", version=1, aggregate=("user", "user_id"), readers=SELF)
class RecoveryCodeUsed(Event):
    user_id: UUID
    left: int


@event("session.refreshed", version=1, aggregate=("session", "session_id"), readers=SELF)
class SessionRefreshed(Event):
    session_id: UUID
    user_id: UUID


@event("session.refresh_reuse_detected", version=1, aggregate=("session", "session_id"), readers=SELF)
class RefreshReuseDetected(Event):
    session_id: UUID
    user_id: UUID


@event(
    "session.revoked",
    version=1,
    aggregate=("session", "session_id"),
    readers={"user_id": ["session_id", "user_id", "reason"]},
)
class SessionRevoked(Event):
    session_id: UUID
    user_id: UUID
    reason: str
    by: UUID | None


@event("user.login_failed", version=1, aggregate=("sign_in", "sign_in_id"), readers={})
class UserLoginFailed(Event):
    sign_in_id: UUID
    user_id: UUID | None
    reason: str
    failures: int


@event("user.locked", version=1, aggregate=("sign_in", "sign_in_id"), readers={})
class UserLocked(Event):
    sign_in_id: UUID
    user_id: UUID | None
    locked_until: datetime


@event("user.email_verification_requested", version=1, aggregate=("one_time_token", "token_id"), readers={})
class EmailVerificationRequested(Event):
    """No link is sent if the event or its token has no user."""

    token_id: UUID
    user_id: UUID | None
    purpose: str


@event("password.reset_requested", version=1, aggregate=("one_time_token", "token_id"), readers={})
class PasswordResetRequested(Event):
    """No e-mail is sent if the event has no user."""

    token_id: UUID
    user_id: UUID | None
    purpose: str


@event("otp.requested", version=1, aggregate=("otp_challenge", "challenge_id"), readers={})
class OtpRequested(Event):
    """A code to sign in is sent to known users only, a code to verify a number to any number."""

    challenge_id: UUID
    user_id: UUID | None
    purpose: str


@event("capability.change_proposed", version=1, aggregate=("capability_change", "change_id"), readers={})
class CapabilityChangeProposed(Event):
    change_id: UUID
    kind: str
    role: str | None
    user_id: UUID | None
    capability: str | None
    object_type: str | None
    object_id: UUID | None
    operation: str
    base_version: int
    by: UUID | None
    approval_id: UUID | None


@event("capability.changed", version=1, aggregate=("capability_change", "change_id"), readers={})
class CapabilityChanged(Event):
    change_id: UUID
    kind: str
    role: str | None
    user_id: UUID | None
    capability: str | None
    object_type: str | None
    object_id: UUID | None
    operation: str
    base_version: int
    by: UUID | None
    approval_id: UUID | None


@event("capability.change_staled", version=1, aggregate=("capability_change", "change_id"), readers={})
class CapabilityChangeStaled(Event):
    change_id: UUID
    kind: str
    role: str | None
    user_id: UUID | None
    capability: str | None
    object_type: str | None
    object_id: UUID | None
    operation: str
    base_version: int
    by: UUID | None
    approval_id: UUID | None


@event("capability.change_refused", version=1, aggregate=("capability_change", "change_id"), readers={})
class CapabilityChangeRefused(Event):
    change_id: UUID
    kind: str
    role: str | None
    user_id: UUID | None
    capability: str | None
    object_type: str | None
    object_id: UUID | None
    operation: str
    base_version: int
    by: UUID | None
    approval_id: UUID | None


@event("capability.change_withdrawn", version=1, aggregate=("capability_change", "change_id"), readers={})
class CapabilityChangeWithdrawn(Event):
    change_id: UUID
    kind: str
    role: str | None
    user_id: UUID | None
    capability: str | None
    object_type: str | None
    object_id: UUID | None
    operation: str
    base_version: int
    by: UUID | None
    approval_id: UUID | None


@event("capability.granted", version=1, aggregate=("capability_grant", "grant_id"), readers={})
class CapabilityGranted(Event):
    grant_id: UUID
    user_id: UUID
    capability: str
    object_type: str | None
    object_id: UUID | None
    expires_at: datetime | None


@event("capability.revoked", version=1, aggregate=("capability_grant", "grant_id"), readers={})
class CapabilityRevoked(Event):
    grant_id: UUID
    user_id: UUID
    capability: str
    object_type: str | None
    object_id: UUID | None
    expires_at: datetime | None


@event("capability.expired", version=1, aggregate=("capability_grant", "grant_id"), readers={})
class CapabilityExpired(Event):
    grant_id: UUID
    user_id: UUID
    capability: str
    object_type: str | None
    object_id: UUID | None
    expires_at: datetime | None


@event("account.purged", version=1, aggregate=("account_purge", "run_id"), readers={})
class AccountPurged(Event):
    run_id: UUID
    counts: dict[str, int]
