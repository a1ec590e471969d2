"""One successful request for each endpoint of the accounts module."""

from typing import Any
from uuid import uuid4

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, OtpChallenge
from apps.accounts.services import common, joining, otp, passwords, second_factor
from config.testing import PASSWORD, begin_session, totp_code
from erp.access import SYSTEM
from erp.api.examples import Example, Sample
from erp.api.testing import ApiClient
from erp.services import Refusal

NEW_PASSWORD = "quite another passphrase"  # noqa: S105
MOBILE = "+919876543210"
EMAIL = "asha@example.com"
CODE = "123456"
TOKEN = "AYkKXayWd0u8zrMCCZqAVw.YSBzaWduYXR1cmUgb2YgdGhpcnR5LXR3byBieXRlcyE"  # noqa: S105
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXAiOiJyZWZyZXNoIn0.c2lnbmF0dXJl"


def _buyer(world, target=None):
    return world.user("BUYER")


def _itself(world, target):
    return target


def _owner(world, target):
    return target.user


def _email(world, target):
    return world.user("BUYER").email


def _refresh_token(world, target):
    answer = ApiClient().write("/api/v1/auth/login", {"email": _email(world, target), "password": PASSWORD})
    return answer.json()["refresh_token"]


def _challenge_token(world, target):
    person = world.user("INTERNAL")
    body = {"email": person.email, "password": PASSWORD}
    return ApiClient().write("/api/v1/auth/login", body).json()["challenge_token"]


def _pair(purpose):
    """ID and code of a challenge, created at the first access."""
    made: dict[Any, OtpChallenge] = {}

    def challenge(world):
        if id(world) not in made:
            made.clear()
            world.user("BUYER", mobile=MOBILE, mobile_verified_at="2026-01-12T10:00:00Z")
            asked = otp.request_otp(actor=SYSTEM, mobile=MOBILE, purpose=purpose)
            made[id(world)] = OtpChallenge.objects.get(pk=asked.challenge_id)
        return made[id(world)]

    return {
        "challenge_id": lambda world, target: str(challenge(world).pk),
        "code": Sample(CODE, lambda world, target: secrets.code_of(challenge(world))),
    }


def _invited(world, target):
    person = joining.invite(
        actor=SYSTEM,
        email=f"{uuid4().hex[:12]}@example.com",
        full_name="Asha Patel",
        user_type="INTERNAL",
        organization_id=world.organization().pk,
    )
    return secrets.invitation_of(person)


def _reset_token(world, target):
    passwords.request_password_reset(actor=SYSTEM, email=_email(world, target))
    return secrets.token_of(OneTimeToken.objects.get(purpose="reset_password"))


def _sign_up_token(world, target):
    joining.register(
        actor=SYSTEM,
        email=EMAIL,
        password=NEW_PASSWORD,
        full_name="Asha Patel",
        terms_version="2026-01",
        is_adult=True,
    )
    return secrets.token_of(OneTimeToken.objects.get(purpose="sign_up"))


def _pending_factor(world):
    person = world.user("BUYER")
    setup = second_factor.start_mfa(person, actor=person)
    assert not isinstance(setup, Refusal)
    person.seed = setup.secret
    return person


def _with_factor(world):
    person = _pending_factor(world)
    second_factor.confirm_mfa(
        person, actor=person, code=totp_code(seed=person.seed), origin=common.Origin("api")
    )
    return person


EXAMPLES = {
    "log_in": Example(body={"email": Sample(EMAIL, _email), "password": PASSWORD}),
    "pass_second_factor": Example(
        body={
            "challenge_token": Sample(JWT, _challenge_token),
            "code": Sample(CODE, lambda world, target: totp_code()),
        }
    ),
    "request_otp": Example(body={"mobile": MOBILE, "purpose": "prove_number"}),
    "verify_otp": Example(body=_pair("sign_in")),
    "register": Example(
        body={
            "full_name": "Asha Patel",
            "terms_version": "2026-01",
            "is_adult": True,
            "email": EMAIL,
            "password": NEW_PASSWORD,
        }
    ),
    "refresh": Example(body={"refresh_token": Sample(JWT, _refresh_token)}),
    "log_out": Example(actor=_buyer, signs_out=True),
    "log_out_everywhere": Example(target=lambda world: begin_session(world.user("BUYER")), actor=_owner),
    "revoke_session": Example(target=lambda world: begin_session(world.user("BUYER")), actor=_owner),
    "request_password_reset": Example(body={"email": Sample(EMAIL, _email)}),
    "reset_password": Example(body={"token": Sample(TOKEN, _reset_token), "new_password": NEW_PASSWORD}),
    "change_password": Example(
        actor=_buyer, body={"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    ),
    "verify_email": Example(body={"token": Sample(TOKEN, _sign_up_token)}),
    "request_email_verification": Example(body={"email": EMAIL}),
    "accept_invitation": Example(
        body={
            "token": Sample(TOKEN, _invited),
            "password": NEW_PASSWORD,
            "terms_version": "2026-01",
            "is_adult": True,
        }
    ),
    "update_profile": Example(
        target=_buyer,
        actor=_itself,
        body={
            "full_name": "Asha Patel",
            "email": Sample(EMAIL, lambda world, target: target.email),
            "locale": "gu-IN",
            "notify_email": True,
            "notify_sms": False,
            "digest": "daily",
        },
    ),
    "reauthenticate": Example(actor=_buyer, body={"password": PASSWORD}),
    "start_mfa": Example(actor=_buyer),
    "confirm_mfa": Example(
        target=_pending_factor,
        actor=_itself,
        body={"code": Sample(CODE, lambda world, target: totp_code(seed=target.seed))},
    ),
    "disable_mfa": Example(
        target=_with_factor,
        actor=_itself,
        body={
            "password": PASSWORD,
            "code": Sample(CODE, lambda world, target: totp_code(seed=target.seed, steps=1)),
        },
    ),
}

LISTS = {"/api/v1/auth/sessions": ("INTERNAL", lambda world, viewer: begin_session(viewer))}
