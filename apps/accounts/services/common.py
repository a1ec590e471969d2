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
    """Incorrect code."""

    code = "account.second_factor_invalid"


class ChallengeInvalid(NotAuthenticated):
    """The sign-in has expired. Start again."""

    code = "account.challenge_invalid"


class OtpInvalid(NotAuthenticated):
    """The code is incorrect or has expired."""

    code = "account.otp_invalid"


class RefreshInvalid(NotAuthenticated):
    """The refresh token is not valid."""

    code = "account.refresh_invalid"


class RefreshReused(NotAuthenticated):
    """The refresh token was used before, so the session was ended."""

    code = "account.refresh_reused"


class Locked(DomainError):
    """Too many failed attempts. Try again later."""

    status = 429


class TooManyCodes(DomainError):
    """Too many codes were requested. Try again later."""

    status = 429


class TooManyMails(DomainError):
    """Too many e-mails were requested. Try again later."""

    status = 429


class ReauthenticationFailed(Forbidden):
    """Incorrect password or code."""


class SecondFactorSetupRequired(Forbidden):
    """Set up two-factor authentication first."""


class SessionEnded(Conflict):
    """The session has already ended."""


class TokenInvalid(Conflict):
    """The link is invalid or has expired."""


class EmailTaken(Conflict):
    """The e-mail address is no longer available."""


class PasswordWeak(RuleBroken):
    """The password is too easy to guess."""


class PasswordReused(RuleBroken):
    """The password is one of your last passwords."""


class NoPassword(Conflict):
    """You have no password yet. Request a link to set one."""


class MfaNotPending(Conflict):
    """No two-factor setup is waiting for confirmation."""


class MfaNotEnabled(Conflict):
    """Two-factor authentication is not enabled."""


class MfaMandatory(Conflict):
    """Two-factor authentication is mandatory for staff."""


class CodeMismatch(RuleBroken):
    """Incorrect code for the new secret."""


class Origin(NamedTuple):
    """Where a request comes from: channel, IP address, user agent, network and session."""

    channel: str
    ip: str | None = None
    device: str = ""
    session: Session | None = None
    network: str = ""  # an IPv4 address, or the /64 network of an IPv6 address


class Tokens(NamedTuple):
    """The tokens of a session."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    session_id: UUID
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name


class Challenge(NamedTuple):
    """The challenge after the first factor: it is completed with the second one."""

    challenge_token: str
    expires_at: datetime
    methods: tuple[str, ...] = ("totp", "recovery_code")
