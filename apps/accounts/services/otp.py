"""Codes by SMS: to sign in with a verified number, or to prove that a number is one's own."""

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
from apps.accounts.services.counting import FAILED, check_open, counter_of, failed, seconds_to_wait
from apps.accounts.services.signing_in import first_factor_passed
from erp import clock
from erp.access import Actor
from erp.errors import DomainError
from erp.services import Refusal, emit, service

log = structlog.get_logger(__name__)

_MAY_SIGN_IN = (User.Type.EXTERNAL, User.Type.APPLICANT)
ALERT_SHARE = Decimal("0.8")  # of the day's messages


class Requested(NamedTuple):
    """What was asked for: where to send the code, until when, and when another may be asked for."""

    challenge_id: UUID
    expires_at: datetime
    resend_after: datetime


@service(
    public="nobody is signed in yet; limited per number and address",
    emits=[events.OtpRequested],
    raises=[TooManyCodes],
    advisory_lock="account.otp",  # one at a time: a number has one live code, and no cap is passed side by side
)
def request_otp(*, actor: Actor, mobile: str, purpose: str) -> Requested:
    """Request a code by SMS. The answer is the same whether or not the number is known, to the day's last.

    Within a minute of the number's latest, whatever became of it, nothing is sent. Raises TooManyCodes.
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
    _count_day(now)
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
    found = OtpChallenge.objects.filter(pk=challenge_id).first()
    user = User.objects.locked().filter(pk=found.user_id).first() if found is not None else None
    challenge, wrong = check(challenge_id, OtpChallenge.Purpose.SIGN_IN, code, OtpInvalid(), user=user)
    if wrong is not None:
        return wrong
    if user is None or not user.is_active or user.mobile != challenge.number:
        return failed(challenge.number, user, OtpInvalid())
    return first_factor_passed(
        user, origin, method=Session.Method.OTP, device_label=device_label, otp=challenge
    )


def check(
    challenge_id: UUID, purpose: str, code: str, problem: DomainError, *, user: User | None = None
) -> tuple[OtpChallenge, Refusal | None]:
    """The challenge, locked, and the refusal of a wrong code (counted; the third one voids the challenge).

    Raises ``problem`` where no such challenge waits any more, Locked while the number is shut. The caller
    marks the challenge as used.
    """
    found = OtpChallenge.objects.filter(pk=challenge_id, purpose=purpose).first()
    if found is None:
        raise problem
    check_open(found.number)
    challenge = OtpChallenge.objects.locked().filter(pk=found.pk).first()
    if challenge is None or not challenge.is_live:
        raise problem
    counter_of(challenge.number)
    if secrets.code_fits(challenge, code):
        return challenge, None
    now = clock.now()
    challenge.wrong += 1
    if challenge.wrong >= settings.OTP_TRIES:
        challenge.voided_at = now
    challenge.updated_at = now
    challenge.save()
    return challenge, failed(challenge.number, user, problem)


def day_share(now: datetime) -> Decimal:
    """How much of the day's messages is used up, 0 to 1 and, where the setting was lowered, above."""
    return Decimal(_asked_today(now)) / settings.OTP_PER_DAY


def _asked_today(now: datetime) -> int:
    """Unknown numbers count as well: the answer of a full day mustn't tell them from the known."""
    return OtpChallenge.objects.filter(created_at__gte=_start_of_day(now)).count()


def _start_of_day(now: datetime) -> datetime:
    return timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)


def _count_day(now: datetime) -> None:
    """Hold the day's messages within their number; whoever watches the log is told before."""
    count = _asked_today(now)
    if count >= settings.OTP_PER_DAY:
        wait = int((_start_of_day(now) + timedelta(days=1) - now).total_seconds()) + 1
        raise TooManyCodes("No more codes are sent today.", headers={"Retry-After": str(wait)})
    if count + 1 == math.ceil(settings.OTP_PER_DAY * ALERT_SHARE):
        log.error("otp.day_nearly_used_up", sent=count + 1, most=settings.OTP_PER_DAY)
