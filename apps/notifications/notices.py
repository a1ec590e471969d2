"""Notices of accounts. Secrets are computed when a message is sent, and not stored."""

from collections.abc import Callable

from django.conf import settings

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, OtpChallenge
from apps.notifications.models import QUICK, Category, Message, Notice, Values
from erp import clock

LINK = frozenset({"link", "until"})


def no_values(message: Message) -> Values:
    """No values, for notices whose templates have no placeholders of their own."""
    return {}


def _token(message: Message) -> OneTimeToken | None:
    return OneTimeToken.objects.live().filter(pk=message.fact("token_id")).first()


def _link(page: str) -> Callable[[Message], Values | None]:
    """Values with the link and its token; None once the token was used or voided or has expired."""

    def values(message: Message) -> Values | None:
        row = _token(message)
        if row is None:
            return None
        return {
            "link": f"{settings.PUBLIC_URL}/{page}#{secrets.token_of(row)}",
            "until": clock.local(row.expires_at),
        }

    return values


def _token_address(message: Message) -> str | None:
    """The address of the token, verified or not: it is sent to no other."""
    row, user = _token(message), message.user
    if row is None or user is None:
        return None
    addresses = [address for address in (user.pending_email, user.email) if address]
    return next((a for a in addresses if secrets.address_hash(a) == row.address_hash), None)


SIGN_UP = Notice(
    code="sign_up",
    title="Complete your sign-up",
    category=Category.SECURITY,
    variables=LINK,
    values=_link("verify-email"),
    address=_token_address,
)
VERIFY_EMAIL = Notice(
    code="verify_email",
    title="Confirm your e-mail address",
    category=Category.SECURITY,
    variables=LINK,
    values=_link("verify-email"),
    address=_token_address,
)
RESET_PASSWORD = Notice(
    code="reset_password",
    title="Set a new password",
    category=Category.SECURITY,
    variables=LINK,
    values=_link("reset-password"),
    address=_token_address,
)
INVITATION = Notice(
    code="invitation",
    title="Invitation",
    category=Category.SECURITY,
    variables=LINK,
    values=_link("invitation"),
    address=_token_address,
)


def _challenge(message: Message) -> OtpChallenge | None:
    return OtpChallenge.objects.live().filter(pk=message.recipient_id).first()


def _code(message: Message) -> Values | None:
    challenge = _challenge(message)
    if challenge is None:
        return None
    return {"code": secrets.code_of(challenge), "minutes": str(int(settings.OTP_AGE.total_seconds() // 60))}


def _number(message: Message) -> str | None:
    challenge = _challenge(message)
    return challenge.number if challenge is not None else None


OTP = Notice(
    code="otp",
    title="Code",
    category=Category.SECURITY,
    variables=frozenset({"code", "minutes"}),
    values=_code,
    address=_number,
    waits=QUICK,
)


def _old_address(message: Message) -> str | None:
    """The address before the requested change; nothing is sent to the new one."""
    user = message.user
    addresses = [user.email, user.former_email] if user is not None else []
    old_hash = message.context["address_hash"]
    return next((a for a in addresses if a and secrets.address_hash(a) == old_hash), None)


def _left(message: Message) -> Values:
    return {"left": str(message.context["left"])}


SIGN_UP_REPEATED = Notice(
    code="sign_up_repeated",
    title="Sign-up with your e-mail address or number",
    category=Category.SECURITY,
    values=no_values,
)
EMAIL_CHANGED = Notice(
    code="email_changed",
    title="Change of your e-mail address",
    category=Category.SECURITY,
    values=no_values,
    address=_old_address,
)
PASSWORD_CHANGED = Notice(
    code="password_changed",
    title="Your password was changed",
    category=Category.SECURITY,
    values=no_values,
)
NEW_SIGN_IN = Notice(
    code="new_sign_in",
    title="Sign-in from a new device",
    category=Category.SECURITY,
    values=no_values,
)
ACCOUNT_LOCKED = Notice(
    code="account_locked",
    title="Sign-in temporarily locked",
    category=Category.SECURITY,
    values=no_values,
)
SECOND_FACTOR_CHANGED = Notice(
    code="second_factor_changed",
    title="Your two-factor authentication was changed",
    category=Category.SECURITY,
    values=no_values,
)
RECOVERY_CODES_LOW = Notice(
    code="recovery_codes_low",
    title="Few recovery codes left",
    category=Category.SECURITY,
    variables=frozenset({"left"}),
    values=_left,
)
SESSION_REUSE = Notice(
    code="session_reuse",
    title="A session was ended for security",
    category=Category.SECURITY,
    values=no_values,
)
