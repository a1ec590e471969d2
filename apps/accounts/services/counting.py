"""Counters of failed sign-ins: five failures within 15 minutes lock an identifier for 15 minutes, known or not.

Passwords, codes of the second factor and codes by SMS (per number) are counted separately: knowing one of them must
not reset the count of another.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from apps.accounts import events
from apps.accounts.models import SignInCounter, User
from apps.accounts.services.common import Locked
from erp import clock
from erp.errors import DomainError
from erp.services import Refusal, emit, refuse

FAILED = (events.UserLoginFailed, events.UserLocked)  # emitted by a counted failure


def of_passwords(user: User) -> str:
    """The identifier for wrong passwords of the user: the e-mail address."""
    return user.email or f"password:{user.pk}"


def of_codes(user: User) -> str:
    """The identifier for wrong codes of the user's second factor, at all endpoints.

    Only a complete sign-in, the removal of the factor or an administrator resets its counter.
    """
    return f"code:{user.pk}"


def check_not_locked(identifier: str) -> None:
    """Raise Locked while the identifier is locked. Takes no row lock: for a check before slow work."""
    _require_unlocked(SignInCounter.objects.filter(key=counter_key(identifier)).first())


def counter_of(identifier: str) -> SignInCounter | None:
    """The counter of the identifier with a row lock; None without one. Raises Locked while it is locked."""
    return _require_unlocked(SignInCounter.objects.locked().filter(key=counter_key(identifier)).first())


def _require_unlocked(counter: SignInCounter | None) -> SignInCounter | None:
    now = clock.now()
    if counter is not None and counter.locked_until is not None and counter.locked_until > now:
        seconds = int((counter.locked_until - now).total_seconds()) + 1
        words = f"Wait up to {settings.SIGN_IN_LOCK_MINUTES} minutes before you try again."
        raise Locked(words, headers={"Retry-After": str(seconds)})
    return counter


def count_failure(identifier: str, user: User | None, problem: DomainError) -> Refusal:
    """Count a failure and refuse. Raises Locked where the identifier was locked meanwhile."""
    now = clock.now()
    SignInCounter.objects.bulk_create(
        [SignInCounter(key=counter_key(identifier), user=user, window_started_at=now)],
        ignore_conflicts=True,
    )
    counter = counter_of(identifier)
    assert counter is not None
    return _count(counter, user, problem, now)


def reset_failures(identifier: str) -> None:
    """Reset the failures of the identifier."""
    SignInCounter.objects.filter(key=counter_key(identifier)).exclude(failures=0, locked_until=None).update(
        failures=0, locked_until=None, updated_at=clock.now()
    )


def seconds_to_wait(rows: Any, limits: dict[timedelta, int], now: datetime) -> int:
    """Seconds until another row is allowed by the limits per window; 0 if one is allowed now."""
    for window, most in limits.items():
        newest = rows.filter(created_at__gt=now - window).order_by("-created_at")
        if last := list(newest.values_list("created_at", flat=True)[most - 1 : most]):
            return int((last[0] + window - now).total_seconds()) + 1
    return 0


def counter_key(identifier: str) -> str:
    """The keyed hash that stands for an identifier in the table."""
    key = settings.SIGN_IN_COUNTER_KEY.encode()
    return hmac.new(key, identifier.encode(), hashlib.sha256).hexdigest()


def _count(counter: SignInCounter, user: User | None, problem: DomainError, now: datetime) -> Refusal:
    user_id = user.pk if user is not None else None
    if counter.window_started_at <= now - timedelta(minutes=settings.SIGN_IN_WINDOW_MINUTES):
        counter.failures, counter.window_started_at = 0, now
    counter.failures += 1
    reason = problem.code.partition(".")[2]
    emit(
        events.UserLoginFailed(
            sign_in_id=counter.pk, user_id=user_id, reason=reason, failures=counter.failures
        )
    )
    if counter.failures >= settings.SIGN_IN_FAILURES:
        counter.locked_until = now + timedelta(minutes=settings.SIGN_IN_LOCK_MINUTES)
        counter.failures, counter.window_started_at = 0, now
        emit(events.UserLocked(sign_in_id=counter.pk, user_id=user_id, locked_until=counter.locked_until))
    counter.updated_at = now
    counter.save()
    return refuse(problem)
