"""Two-factor authentication: TOTP by RFC 6238 (SHA-1, 30 s, 6 digits), and ten recovery codes."""

import hmac
from typing import Any, Final, NamedTuple

import pyotp
from django.conf import settings

from apps.accounts import capabilities, events, secrets
from apps.accounts.models import RecoveryCode, Session, SignInCounter, TotpDevice, User
from apps.accounts.services.common import (
    CodeMismatch,
    Locked,
    MfaMandatory,
    MfaNotEnabled,
    MfaNotPending,
    Origin,
    ReauthenticationFailed,
)
from apps.accounts.services.counting import (
    FAILED,
    count_failure,
    counter_of,
    of_codes,
    of_passwords,
    reset_failures,
)
from apps.accounts.services.passwords import is_right
from apps.accounts.services.sessions import end_all
from erp import clock
from erp.access import Actor
from erp.services import Refusal, emit, service

STEP_SECONDS: Final = 30
RECOVERY_CODES: Final = 10


class Setup(NamedTuple):
    """A new secret for the authenticator app, shown once."""

    secret: str
    otpauth_uri: str
    expires_at: Any


class RecoveryCodes(NamedTuple):
    """New recovery codes, shown once."""

    recovery_codes: list[str]


def device_of(user: User) -> TotpDevice | None:
    """The authenticator of the user, locked; None without one."""
    device: TotpDevice | None = TotpDevice.objects.locked().filter(user=user).first()
    return device


def step_of(seed: str, code: str, *, after: int = 0) -> int | None:
    """The time step of the code, at most one before or after now; None if there is none.

    A step up to ``after`` was used before and is not accepted again.
    """
    totp, now, accepted = pyotp.TOTP(seed), int(clock.now().timestamp()) // STEP_SECONDS, None
    for step in (now - 1, now, now + 1):
        right = hmac.compare_digest(totp.generate_otp(step).encode(), code.encode())
        if right and step > after:
            accepted = step
    return accepted


def use_code(device: TotpDevice | None, code: str) -> bool:
    """Use a code of the authenticator, whose row is locked; False if it is wrong."""
    if device is None or device.confirmed_at is None:
        return False
    step = step_of(device.seed, code, after=device.last_step)
    if step is None:
        return False
    device.last_step, device.updated_at = step, clock.now()
    device.save()
    return True


def use_recovery_code(user: User, code: str) -> bool:
    """Use a recovery code of the user; False if it is wrong or was used before."""
    digest = secrets.recovery_digest(user, code)
    row = RecoveryCode.objects.locked().filter(user=user, digest=digest, used_at=None).first()
    if row is None:
        return False
    row.used_at = row.updated_at = clock.now()
    row.save()
    left = RecoveryCode.objects.filter(user=user, used_at=None).count()
    emit(events.RecoveryCodeUsed(user_id=user.pk, left=left))
    return True


def use_either(user: User, device: TotpDevice | None, *, code: str | None, recovery_code: str | None) -> bool:
    """Use the code or the recovery code; False if it is wrong."""
    if code is not None:
        return use_code(device, code)
    enabled = device is not None and device.confirmed_at is not None
    return enabled and recovery_code is not None and use_recovery_code(user, recovery_code)


def remove(user: User) -> bool:
    """Remove the user's second factor; return whether one was enabled."""
    device = device_of(user)
    reset_failures(of_codes(user))
    RecoveryCode.objects.filter(user=user).delete()
    if device is None or not (device.secret or device.pending_secret):
        return False
    was_enabled = device.confirmed_at is not None
    device.forget()
    device.updated_at = clock.now()
    device.save()
    return was_enabled


@service(
    requires=capabilities.MANAGE_MFA,
    emits=[events.MfaSetupStarted, *FAILED],
    raises=[ReauthenticationFailed, Locked],
    writes_on_refusal=[SignInCounter],
)
def start_mfa(
    user: User, *, actor: Actor, password: str | None = None, code: str | None = None
) -> Setup | Refusal:
    """Start setting up two-factor authentication. Returns a secret for an authenticator app.

    An enabled authenticator stays in use until the new one is confirmed. To replace it, send password and code.
    """
    now = clock.now()
    counter_of(of_passwords(user))
    counter_of(of_codes(user))
    device = device_of(user) or TotpDevice(user=user)
    enabled = device.confirmed_at is not None
    if (enabled or password is not None) and not _knows_password(user, password):
        return count_failure(of_passwords(user), user, ReauthenticationFailed())
    if enabled and (code is None or not use_code(device, code)):
        return count_failure(of_codes(user), user, ReauthenticationFailed())
    if password is not None and user.has_usable_password():
        reset_failures(of_passwords(user))
    seed = pyotp.random_base32()
    expires_at = now + settings.TOTP_PENDING_AGE
    device.pend(seed, expires_at)
    device.updated_at = now
    device.save()
    emit(events.MfaSetupStarted(user_id=user.pk))
    uri = pyotp.TOTP(seed).provisioning_uri(name=user.identifier, issuer_name=settings.TOTP_ISSUER)
    return Setup(seed, uri, expires_at)


@service(
    requires=capabilities.MANAGE_MFA,
    emits=[events.MfaEnabled, *FAILED],
    raises=[MfaNotPending, CodeMismatch, Locked],
    writes_on_refusal=[SignInCounter],
)
def confirm_mfa(user: User, *, actor: Actor, code: str, origin: Origin) -> RecoveryCodes | Refusal:
    """Enable two-factor authentication. Returns ten recovery codes, once. Other sessions end."""
    now = clock.now()
    counter_of(of_codes(user))
    device = device_of(user)
    seed = device.pending_seed(now) if device is not None else ""
    if device is None or not seed:
        raise MfaNotPending
    step = step_of(seed, code)
    if step is None:
        return count_failure(of_codes(user), user, CodeMismatch())
    device.confirm(step, now)
    device.updated_at = now
    device.save()
    RecoveryCode.objects.filter(user=user).delete()
    codes = [secrets.new_recovery_code() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(
        [RecoveryCode(user=user, digest=secrets.recovery_digest(user, each)) for each in codes]
    )
    if origin.session is not None:
        Session.objects.filter(pk=origin.session.pk).update(second_factor=Session.SecondFactor.TOTP)
    end_all(user, Session.EndReason.SECOND_FACTOR, by=actor, except_session=origin.session)
    emit(events.MfaEnabled(user_id=user.pk, method="totp"))
    return RecoveryCodes(codes)


@service(
    requires=capabilities.MANAGE_MFA,
    emits=[events.MfaDisabled, events.RecoveryCodeUsed, *FAILED],
    raises=[ReauthenticationFailed, MfaNotEnabled, MfaMandatory, Locked],
    writes_on_refusal=[SignInCounter],
)
def disable_mfa(
    user: User,
    *,
    actor: Actor,
    origin: Origin,
    password: str | None = None,
    code: str | None = None,
    recovery_code: str | None = None,
) -> Refusal | None:
    """Disable two-factor authentication. Not available to staff. Other sessions end."""
    counter_of(of_passwords(user))
    counter_of(of_codes(user))
    device = device_of(user)
    if device is None or device.confirmed_at is None:
        raise MfaNotEnabled
    if user.is_staff:
        raise MfaMandatory
    if not _knows_password(user, password):
        return count_failure(of_passwords(user), user, ReauthenticationFailed())
    if not use_either(user, device, code=code, recovery_code=recovery_code):
        return count_failure(of_codes(user), user, ReauthenticationFailed())
    remove(user)
    reset_failures(of_passwords(user))
    end_all(user, Session.EndReason.SECOND_FACTOR, by=actor, except_session=origin.session)
    emit(events.MfaDisabled(user_id=user.pk, by=actor.pk, reason_code="own_choice"))
    return None


def _knows_password(user: User, password: str | None) -> bool:
    """Whether the password is right. A user without a password needs none."""
    if not user.has_usable_password():
        return True
    return password is not None and is_right(user, password)
