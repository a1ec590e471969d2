"""Sign-in with one or two factors, and reauthentication."""

from datetime import timedelta

from django.conf import settings

from apps.accounts import capabilities, events, tokens
from apps.accounts.models import OtpChallenge, Session, SignInCounter, User
from apps.accounts.services import second_factor
from apps.accounts.services.common import (
    Challenge,
    ChallengeInvalid,
    CredentialsInvalid,
    Locked,
    Origin,
    ReauthenticationFailed,
    SecondFactorInvalid,
    Tokens,
)
from apps.accounts.services.counting import (
    FAILED,
    check_not_locked,
    count_failure,
    counter_of,
    of_codes,
    of_passwords,
    reset_failures,
)
from apps.accounts.services.passwords import is_right
from apps.accounts.services.sessions import start_session
from erp import clock
from erp.access import Actor
from erp.identifiers import EMAIL
from erp.services import Refusal, emit, service


@service(
    public="the caller signs in here; failures are counted and lock the identifier",
    emits=[events.UserLoggedIn, *FAILED],
    raises=[CredentialsInvalid, Locked],
    writes_on_refusal=[SignInCounter],
)
def log_in(
    *, actor: Actor, email: str, password: str, origin: Origin, device_label: str = ""
) -> Tokens | Challenge | Refusal:
    """Sign in with e-mail and password.

    The problem is the same for an unknown, an inactive and a wrong account. With two-factor authentication the
    answer is a challenge.
    """
    email = EMAIL.normalise(email)
    check_not_locked(email)
    # Hashing is slow: a caller who only knows an address must not lock its owner's row meanwhile.
    unlocked = User.objects.filter(email=email).first()
    right = is_right(unlocked, password)
    user = User.objects.locked().filter(email=email).first()
    counter_of(email)
    if user is not None and (unlocked is None or unlocked.password != user.password):
        right = is_right(user, password)
    admin = origin.channel == Session.Channel.ADMIN
    if user is None or not right or not user.is_active or (admin and not user.is_staff):
        return count_failure(email, user, CredentialsInvalid())
    return first_factor_passed(user, origin, method=Session.Method.PASSWORD, device_label=device_label)


def first_factor_passed(
    user: User, origin: Origin, *, method: str, device_label: str, otp: OtpChallenge | None = None
) -> Tokens | Challenge:
    """Tokens, or a challenge for a user with two-factor authentication."""
    now = clock.now()
    if user.has_second_factor:
        expires_at = now + timedelta(minutes=settings.CHALLENGE_MINUTES)
        passed = tokens.FirstFactor(
            user.pk, method, device_label, tokens.password_mark(user.password), otp.pk if otp else None
        )
        return Challenge(tokens.encode_challenge(passed, issued=now, expires=expires_at), expires_at)
    if otp is not None:
        mark_used(otp)
    else:
        reset_failures(of_passwords(user))
    return start_session(
        user,
        origin,
        now,
        method=method,
        second_factor=Session.SecondFactor.NONE,
        device_label=device_label,
    )


@service(
    public="the challenge token stands for the first factor; failures are counted and lock the second factor",
    emits=[events.UserLoggedIn, events.RecoveryCodeUsed, *FAILED],
    raises=[SecondFactorInvalid, ChallengeInvalid, Locked],
    writes_on_refusal=[SignInCounter],
)
def pass_second_factor(
    *,
    actor: Actor,
    challenge_token: str,
    origin: Origin,
    code: str | None = None,
    recovery_code: str | None = None,
) -> Tokens | Refusal:
    """Complete sign-in with an authenticator code or a recovery code."""
    passed = tokens.decode_challenge(challenge_token)
    user = User.objects.locked().filter(pk=passed.user_id).first() if passed is not None else None
    if passed is None or user is None or not user.is_active:
        raise ChallengeInvalid
    if tokens.password_mark(user.password) != passed.password_mark:
        raise ChallengeInvalid
    if origin.channel == Session.Channel.ADMIN and not user.is_staff:
        raise ChallengeInvalid
    counter_of(of_codes(user))
    otp = None
    if passed.otp_challenge_id is not None:
        otp = OtpChallenge.objects.locked().filter(pk=passed.otp_challenge_id).first()
        if otp is None or not otp.is_live:
            raise ChallengeInvalid
    device = second_factor.device_of(user)
    if device is None or device.confirmed_at is None:
        raise ChallengeInvalid
    if not second_factor.use_either(user, device, code=code, recovery_code=recovery_code):
        return count_failure(of_codes(user), user, SecondFactorInvalid())
    reset_failures(of_codes(user))
    if otp is not None:
        mark_used(otp)
    else:
        reset_failures(of_passwords(user))
    factor = Session.SecondFactor.TOTP if code is not None else Session.SecondFactor.RECOVERY_CODE
    return start_session(
        user,
        origin,
        clock.now(),
        method=passed.method,
        second_factor=factor,
        device_label=passed.device_label,
    )


@service(
    requires=capabilities.MANAGE_SESSIONS,
    emits=[events.UserReauthenticated, *FAILED],
    raises=[ReauthenticationFailed, Locked],
    writes_on_refusal=[SignInCounter],
    lock_via="user",
)
def reauthenticate(
    session: Session, *, actor: Actor, password: str | None = None, code: str | None = None
) -> Session | Refusal:
    """Confirm your identity by password or code. It is valid for ten minutes in this session."""
    user: User = session.user
    counted = of_passwords(user) if password is not None else of_codes(user)
    counter_of(counted)
    reauthenticated = (
        is_right(user, password)
        if password is not None
        else second_factor.use_code(second_factor.device_of(user), code or "")
    )
    if not reauthenticated:
        return count_failure(counted, user, ReauthenticationFailed())
    if password is not None:
        reset_failures(counted)
    session.reauthenticated_at = clock.now()
    session.save()
    emit(events.UserReauthenticated(user_id=user.pk, reason_code=session.door, by=actor.pk))
    return session


def mark_used(challenge: OtpChallenge) -> None:
    """Mark the challenge as used and reset the failures of its number."""
    challenge.used_at = challenge.updated_at = clock.now()
    challenge.save()
    reset_failures(challenge.number)
