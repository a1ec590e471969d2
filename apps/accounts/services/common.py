"""Errors, origin and results that the services of accounts share."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from apps.accounts.models import Session
from erp.errors import Conflict, DomainError, Forbidden, NotAuthenticated, RuleBroken


class CredentialsInvalid(NotAuthenticated):
    """Incorrect e-mail or password."""

    code = "account.credentials_invalid"


class SecondFactorInvalid(NotAuthenticated):
    """The code doesn't fit."""

    code = "account.second_factor_invalid"


class ChallengeInvalid(NotAuthenticated):
    """The sign-in took too long; begin again."""

    code = "account.challenge_invalid"


class OtpInvalid(NotAuthenticated):
    """The code doesn't fit, or no longer."""

    code = "account.otp_invalid"


class RefreshInvalid(NotAuthenticated):
    """The refresh token is not valid."""

    code = "account.refresh_invalid"


class RefreshReused(NotAuthenticated):
    """The refresh token was used before; the session has ended."""

    code = "account.refresh_reused"


class Locked(DomainError):
    """Too many failed tries; wait."""

    status = 429


class TooManyCodes(DomainError):
    """Too many codes were asked for; wait."""

    status = 429


class TooManyMails(DomainError):
    """Too many mails were asked for; wait."""

    status = 429


class ReauthenticationFailed(Forbidden):
    """The password or code doesn't fit."""


class SecondFactorSetupRequired(Forbidden):
    """Set up a second factor first; until then nothing else is open."""


class SessionEnded(Conflict):
    """The session has ended already."""


class TokenInvalid(Conflict):
    """The link is not valid, or no longer."""


class EmailTaken(Conflict):
    """The address can't be used any more."""


class PasswordWeak(RuleBroken):
    """The password is too easy to guess."""


class PasswordReused(RuleBroken):
    """The password is one of the last that you had."""


class NoPassword(Conflict):
    """There is no password yet; ask for a link to set one."""


class MfaNotPending(Conflict):
    """No second factor waits for its first code."""


class MfaNotEnabled(Conflict):
    """There is no second factor."""


class MfaMandatory(Conflict):
    """Staff can't be without a second factor."""


class CodeMismatch(RuleBroken):
    """The code doesn't fit the new secret."""


class Origin(NamedTuple):
    """Where a request comes from: channel, IP address, user agent, network and session."""

    channel: str
    ip: str | None = None
    device: str = ""
    session: Session | None = None
    network: str = ""  # an IPv4 address, or the /64 network of an IPv6 address


class Tokens(NamedTuple):
    """What a signed-in client holds."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    session_id: UUID
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name


class Challenge(NamedTuple):
    """What stands between the first factor and the tokens."""

    challenge_token: str
    expires_at: datetime
    methods: tuple[str, ...] = ("totp", "recovery_code")
