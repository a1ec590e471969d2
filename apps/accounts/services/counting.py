"""Failures per identifier, known or not: five within a quarter of an hour lock it for as long.

Passwords, codes of the second factor, and codes by SMS (on their number) are counted apart: who knows one of them
must not be able to clear the count of another.
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

FAILED = (events.UserLoginFailed, events.UserLocked)  # what a counted failure emits


def of_passwords(user: User) -> str:
    """Identifier that the user's wrong passwords count on: the e-mail that a sign-in names."""
    return user.email or f"password:{user.pk}"


def of_codes(user: User) -> str:
    """Identifier that the user's wrong codes of the second factor count on, wherever they are typed.

    Only a complete sign-in, the factor's removal or an administrator clears it.
    """
    return f"code:{user.pk}"


def check_open(identifier: str) -> None:
    """Raises Locked while the identifier is shut. Takes no lock: for the look before slow work."""
    _open(SignInCounter.objects.filter(key=counter_key(identifier)).first())


def counter_of(identifier: str) -> SignInCounter | None:
    """The identifier's counter, locked; None while nothing ever failed. Raises Locked while it is shut."""
    return _open(SignInCounter.objects.locked().filter(key=counter_key(identifier)).first())


def _open(counter: SignInCounter | None) -> SignInCounter | None:
    now = clock.now()
    if counter is not None and counter.locked_until is not None and counter.locked_until > now:
        seconds = int((counter.locked_until - now).total_seconds()) + 1
        raise Locked("Wait before you try again.", headers={"Retry-After": str(seconds)})
    return counter


def failed(identifier: str, user: User | None, problem: DomainError) -> Refusal:
    """Count a failure and refuse. Raises Locked where others shut the identifier meanwhile."""
    now = clock.now()
    SignInCounter.objects.bulk_create(
        [SignInCounter(key=counter_key(identifier), user=user, window_started_at=now)],
        ignore_conflicts=True,
    )
    counter = counter_of(identifier)
    assert counter is not None
    return _count(counter, user, problem, now)


def succeeded(identifier: str) -> None:
    """Forget the identifier's failures."""
    SignInCounter.objects.filter(key=counter_key(identifier)).exclude(failures=0, locked_until=None).update(
        failures=0, locked_until=None, updated_at=clock.now()
    )


def seconds_to_wait(rows: Any, limits: dict[timedelta, int], now: datetime) -> int:
    """How long until another such row may be made under limits per window; 0 where one may be made now."""
    for window, most in limits.items():
        newest = rows.filter(created_at__gt=now - window).order_by("-created_at")
        if last := list(newest.values_list("created_at", flat=True)[most - 1 : most]):
            return int((last[0] + window - now).total_seconds()) + 1
    return 0


def counter_key(identifier: str) -> str:
    """What stands in the table for an identifier."""
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
