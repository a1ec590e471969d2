"""Helpers of the tests of accounts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, OtpChallenge
from apps.accounts.services import common, otp, second_factor
from config.testing import totp_code
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.services import Refusal

NEW_PASSWORD = "quite another passphrase"  # noqa: S105
AUTH = "/api/v1/auth"
MOBILE = "+919876543210"
SIGN_UP = {
    "full_name": "Asha Patel",
    "terms_version": "2026-01",
    "is_adult": True,
    "email": "asha@example.com",
    "password": NEW_PASSWORD,
}


def token(purpose: str) -> str:
    """The token of the newest row of the purpose, as in its e-mail."""
    return secrets.token_of(OneTimeToken.objects.filter(purpose=purpose).latest("id"))


def code(challenge_id: Any) -> str:
    """The code of a challenge, as in its message."""
    return secrets.code_of(OtpChallenge.objects.get(pk=challenge_id))


def wrong(right: str) -> str:
    """Six other digits."""
    return f"{(int(right) + 1) % 1_000_000:06d}"


def with_factor(person: Any) -> tuple[str, list[str]]:
    """Enable two-factor authentication; return secret and recovery codes. The next code is that of the next step."""
    setup = second_factor.start_mfa(person, actor=person)
    assert not isinstance(setup, Refusal)
    done = second_factor.confirm_mfa(
        person, actor=person, code=totp_code(seed=setup.secret), origin=common.Origin("api")
    )
    assert not isinstance(done, Refusal)
    return setup.secret, done.recovery_codes


def prove(mobile: str = MOBILE, purpose: str = "prove_number") -> dict[str, str]:
    """Request a code for the number; return challenge and code."""
    asked = otp.request_otp(actor=SYSTEM, mobile=mobile, purpose=purpose)
    return {"challenge_id": str(asked.challenge_id), "code": code(asked.challenge_id)}


def proofs(number: int, mobile: str = MOBILE) -> list[dict[str, str]]:
    """Create live challenges of one number."""
    made = []
    for _ in range(number):
        challenge = OtpChallenge(
            purpose="prove_number",
            mobile_hash=secrets.address_hash(mobile),
            key_id=secrets.current_key_id(),
            expires_at=timezone.now() + timedelta(minutes=5),
        )
        challenge.number = mobile
        with unguarded_writes():
            challenge.save()
        made.append({"challenge_id": str(challenge.pk), "code": secrets.code_of(challenge)})
    return made


def in_threads(call: Callable[[int], Any], times: int = 20) -> list[Any]:
    """Results of concurrent calls over real connections; an exception is returned as its class."""

    def one(number: int) -> Any:
        try:
            return call(number)
        except Exception as error:
            return type(error)
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def status_and_code(answer: Any) -> tuple[int, str]:
    """Status and code of a problem."""
    return answer.status_code, answer.json()["code"]
