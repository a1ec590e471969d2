"""Passwords: normalized by NFKC, hashed with argon2id, never one of the last five."""

import unicodedata
from functools import cache

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from apps.accounts import capabilities, events
from apps.accounts.models import OneTimeToken, PasswordHistory, Session, SignInCounter, User
from apps.accounts.services import one_time
from apps.accounts.services.common import (
    Locked,
    NoPassword,
    Origin,
    PasswordReused,
    PasswordWeak,
    ReauthenticationFailed,
    TokenInvalid,
    TooManyMails,
)
from apps.accounts.services.counting import FAILED, count_failure, counter_of, of_passwords, reset_failures
from apps.accounts.services.sessions import end_all
from erp.access import Actor
from erp.errors import FieldError
from erp.identifiers import EMAIL
from erp.ids import uuid7
from erp.services import Refusal, emit, service


def hashed(password: str) -> str:
    """The hash of a new password."""
    return make_password(_normal(password))


def is_right(user: User | None, password: str) -> bool:
    """Whether it is the user's password. A password is always hashed, so that the timing reveals no account."""
    known = user is not None and user.has_usable_password()
    right = check_password(_normal(password), user.password if known and user else _dummy())
    return right and known


def check_strength(password: str, *, pointer: str, email: str | None, full_name: str) -> None:
    """Raise PasswordWeak for a common password, or one too similar to the e-mail address or name."""
    try:
        validate_password(_normal(password), User(email=email, full_name=full_name))
    except ValidationError as error:
        raise PasswordWeak(
            "Choose another password.",
            errors=[
                FieldError(pointer, f"password_{item.code}", item.messages[0]) for item in error.error_list
            ],
        ) from None


def set_password(user: User, password: str, *, pointer: str) -> None:
    """Set a new password; the caller saves the user. Raises PasswordWeak or PasswordReused."""
    check_strength(password, pointer=pointer, email=user.email, full_name=user.full_name)
    normal = _normal(password)
    if user.pk is not None and any(check_password(normal, row.hash) for row in _remembered(user)):
        raise _reused(pointer)
    store_password(user, make_password(normal))


def _reused(pointer: str) -> PasswordReused:
    return PasswordReused(
        "Choose a new password.",
        errors=[FieldError(pointer, "reused", "This is one of your last passwords.")],
    )


def store_password(user: User, encoded: str) -> None:
    """Set the hash as the user's password and add it to the history; the caller saves the user."""
    user.password = encoded
    PasswordHistory(user=user, hash=encoded).save()
    remembered = [row.pk for row in _remembered(user)]
    PasswordHistory.objects.filter(user=user).exclude(pk__in=remembered).delete()


def _remembered(user: User) -> list[PasswordHistory]:
    rows = PasswordHistory.objects.filter(user=user).order_by("-pk")
    return list(rows[: settings.PASSWORDS_REMEMBERED])


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


@cache
def _dummy() -> str:
    return make_password(uuid7().hex)


@service(
    requires=capabilities.CHANGE_PASSWORD,
    emits=[events.PasswordChanged, *FAILED],
    raises=[ReauthenticationFailed, NoPassword, PasswordWeak, PasswordReused, Locked],
    writes_on_refusal=[SignInCounter],
)
def change_password(
    user: User, *, actor: Actor, current_password: str, new_password: str, origin: Origin
) -> Refusal | None:
    """Change your password. All other sessions end."""
    if not user.has_usable_password():
        raise NoPassword
    counter_of(of_passwords(user))
    # Checks without hashing, which is slow by design, come first.
    check_strength(new_password, pointer="/new_password", email=user.email, full_name=user.full_name)
    if _normal(new_password) == _normal(current_password):
        raise _reused("/new_password")
    if not is_right(user, current_password):
        return count_failure(of_passwords(user), user, ReauthenticationFailed())
    set_password(user, new_password, pointer="/new_password")
    user.save()
    reset_failures(of_passwords(user))
    ended = end_all(user, Session.EndReason.PASSWORD, by=actor, except_session=origin.session)
    emit(events.PasswordChanged(user_id=user.pk, sessions_revoked=ended))
    return None


@service(
    public="a user who forgot the password can't sign in; the e-mail is sent only to the verified address",
    emits=[events.PasswordResetRequested],
    raises=[TooManyMails],
)
def request_password_reset(*, actor: Actor, email: str, origin: Origin | None = None) -> dict[str, str]:
    """Request a password reset link. The answer is the same whether or not the account exists."""
    purpose = OneTimeToken.Purpose.RESET_PASSWORD
    email = EMAIL.normalise(email)
    user = User.objects.active_at(email)
    row = one_time.create(purpose, address=email, user=user, origin=origin, voids=True)
    if row is not None:
        user_id = user.pk if user else None
        emit(events.PasswordResetRequested(token_id=row.pk, user_id=user_id, purpose=purpose))
    return one_time.ACCEPTED


@service(
    public="the one-time token is the proof",
    emits=[events.PasswordReset],
    raises=[TokenInvalid, PasswordWeak, PasswordReused],
)
def reset_password(*, actor: Actor, token: str, new_password: str) -> None:
    """Set a new password with a reset token. All sessions end; two-factor authentication stays enabled."""
    row, user = one_time.get_live(token, OneTimeToken.Purpose.RESET_PASSWORD)
    if user is None or not user.is_active or not one_time.is_for(row, user.email or ""):
        raise TokenInvalid
    set_password(user, new_password, pointer="/new_password")
    user.save()
    one_time.mark_used(row, OneTimeToken.Purpose.RESET_PASSWORD)
    reset_failures(of_passwords(user))
    ended = end_all(user, Session.EndReason.PASSWORD, by=user)
    emit(events.PasswordReset(user_id=user.pk, sessions_revoked=ended))
