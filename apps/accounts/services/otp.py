"""Codes by SMS: to sign in with a verified number, or to verify a number."""

import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.utils import timezone

from apps.accounts import events, secrets
from apps.accounts.models import OtpChallenge, Session, SignInCounter, User
from apps.accounts.services.common import Challenge, Locked, Origin, OtpInvalid, Tokens, TooManyCodes
from apps.accounts.services.counting import (
    FAILED,
    check_not_locked,
    count_failure,
    counter_of,
    seconds_to_wait,
)
from apps.accounts.services.signing_in import first_factor_passed
from erp import clock
from erp.access import Actor
from erp.errors import DomainError
from erp.services import Refusal, emit, service

log = structlog.get_logger(__name__)

_MAY_SIGN_IN = (User.Type.EXTERNAL, User.Type.APPLICANT)
ALERT_SHARE = Decimal("0.8")  # of the daily limit of messages


class Requested(NamedTuple):
    """A requested code: its challenge, its expiry, and when another may be requested."""

    challenge_id: UUID
    expires_at: datetime
    resend_after: datetime


@service(
    public="the caller has not signed in yet; limited per number and address",
    emits=[events.OtpRequested],
    raises=[TooManyCodes],
    advisory_lock="account.otp",  # serialized: a number has one live code, and concurrent requests exceed no limit
)
def request_otp(*, actor: Actor, mobile: str, purpose: str) -> Requested:
    """Request a code by SMS. The answer is the same whether or not the number is known.

    Within a minute of the latest code of the number nothing is sent. Raises TooManyCodes.
    """
    now = clock.now()
    mobile_hash = secrets.address_hash(mobile)
    earlier = OtpChallenge.objects.filter(mobile_hash=mobile_hash)
    latest = earlier.filter(purpose=purpose).order_by("-created_at").first()
    if latest is not None and latest.created_at > now - settings.OTP_RESEND_AFTER:
        return Requested(latest.pk, latest.expires_at, latest.created_at + settings.OTP_RESEND_AFTER)
    if wait := seconds_to_wait(earlier, settings.OTP_PER_NUMBER, now):
        raise TooManyCodes(f"Try again in {wait} s.", headers={"Retry-After": str(wait)})
    owner = User.objects.filter(
        mobile=mobile,
        mobile_verified_at__isnull=False,
        status=User.Status.ACTIVE,
        user_type__in=_MAY_SIGN_IN,
    ).first()
    user = owner if purpose == OtpChallenge.Purpose.SIGN_IN else None
    challenge = OtpChallenge(
        purpose=purpose,
        mobile_hash=mobile_hash,
        user=user,
        key_id=secrets.current_key_id(),
        expires_at=now + settings.OTP_AGE,
        created_at=now,
    )
    challenge.number = mobile
    _check_daily_limit(now)
    earlier.live().filter(purpose=purpose).update(voided_at=now, updated_at=now)
    challenge.save()
    emit(
        events.OtpRequested(
            challenge_id=challenge.pk, user_id=user.pk if user is not None else None, purpose=purpose
        )
    )
    return Requested(challenge.pk, challenge.expires_at, now + settings.OTP_RESEND_AFTER)


@service(
    public="the code is the proof; failures are counted and lock the number",
    emits=[events.UserLoggedIn, *FAILED],
    raises=[OtpInvalid, Locked],
    writes_on_refusal=[SignInCounter, OtpChallenge],
)
def verify_otp(
    *, actor: Actor, challenge_id: UUID, code: str, origin: Origin, device_label: str = ""
) -> Tokens | Challenge | Refusal:
    """Sign in with a code sent by SMS. With two-factor authentication the answer is a challenge."""
    unlocked = OtpChallenge.objects.filter(pk=challenge_id).first()
    user = User.objects.locked().filter(pk=unlocked.user_id).first() if unlocked is not None else None
    challenge, wrong = check(challenge_id, OtpChallenge.Purpose.SIGN_IN, code, OtpInvalid(), user=user)
    if wrong is not None:
        return wrong
    if user is None or not user.is_active or user.mobile != challenge.number:
        return count_failure(challenge.number, user, OtpInvalid())
    return first_factor_passed(
        user, origin, method=Session.Method.OTP, device_label=device_label, otp=challenge
    )


def check(
    challenge_id: UUID, purpose: str, code: str, problem: DomainError, *, user: User | None = None
) -> tuple[OtpChallenge, Refusal | None]:
    """The locked challenge, and the refusal of a wrong code (counted; the third one voids the challenge).

    Raises ``problem`` without a live challenge, Locked while the number is locked. The caller marks the challenge
    as used.
    """
    unlocked = OtpChallenge.objects.filter(pk=challenge_id, purpose=purpose).first()
    if unlocked is None:
        raise problem
    check_not_locked(unlocked.number)
    challenge = OtpChallenge.objects.locked().filter(pk=unlocked.pk).first()
    if challenge is None or not challenge.is_live:
        raise problem
    counter_of(challenge.number)
    if secrets.is_code_of(challenge, code):
        return challenge, None
    now = clock.now()
    challenge.wrong += 1
    if challenge.wrong >= settings.OTP_TRIES:
        challenge.voided_at = now
    challenge.updated_at = now
    challenge.save()
    return challenge, count_failure(challenge.number, user, problem)


def day_share(now: datetime) -> Decimal:
    """Share of the daily limit that is used: 0 to 1, or above where the setting was lowered."""
    return Decimal(_requested_today(now)) / settings.OTP_PER_DAY


def _requested_today(now: datetime) -> int:
    """Number of codes requested today. Unknown numbers count too, so that the limit does not reveal known ones."""
    return OtpChallenge.objects.filter(created_at__gte=_start_of_day(now)).count()


def _start_of_day(now: datetime) -> datetime:
    return timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)


def _check_daily_limit(now: datetime) -> None:
    """Enforce the daily limit of messages, and log an error when four fifths of it are used."""
    count = _requested_today(now)
    if count >= settings.OTP_PER_DAY:
        wait = int((_start_of_day(now) + timedelta(days=1) - now).total_seconds()) + 1
        raise TooManyCodes(
            "The daily limit of codes is reached. Try again tomorrow.", headers={"Retry-After": str(wait)}
        )
    if count + 1 == math.ceil(settings.OTP_PER_DAY * ALERT_SHARE):
        log.error("otp.day_nearly_used_up", sent=count + 1, most=settings.OTP_PER_DAY)
