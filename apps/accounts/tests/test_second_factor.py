"""Two-factor authentication: setup, sign-in, replacement and disabling."""

from datetime import timedelta
from uuid import uuid4

import pyotp
import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts import secrets, tokens
from apps.accounts.models import OneTimeToken, RecoveryCode, Session, SignInCounter, TotpDevice, User
from apps.accounts.services import common, otp, passwords, second_factor, signing_in, users
from apps.accounts.tests.factories import (
    AUTH,
    MOBILE,
    NEW_PASSWORD,
    in_threads,
    prove,
    status_and_code,
    with_factor,
    wrong,
)
from config.testing import PASSWORD, TOTP_SEED, begin_session, totp_code
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
LOGIN, SECOND = f"{AUTH}/login", f"{AUTH}/login/second-factor"
SETUP, CONFIRM, DISABLE = f"{AUTH}/mfa/setup", f"{AUTH}/mfa/confirm", f"{AUTH}/mfa/disable"


def failures():
    return sorted(SignInCounter.objects.values_list("failures", flat=True))


def challenge(client_for, person):
    answer = client_for().write(LOGIN, {"email": person.email, "password": PASSWORD})
    assert answer.status_code == 200, answer.content
    return answer.json()["challenge_token"]


def test_codes_are_those_of_rfc_6238():
    # The RFC's own secret and times, cut to six digits.
    seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for moment, expected in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert pyotp.TOTP(seed).at(moment) == expected


def test_setting_up_shows_the_secret_and_the_codes_once_and_ends_other_sessions(client_for, user, emitted):
    person = user("SELLER")
    client, other = client_for(person), client_for(person)
    setup = client.write(SETUP)
    assert setup.status_code == 200
    assert set(setup.json()) == {"secret", "otpauth_uri", "expires_at"}
    seed = setup.json()["secret"]
    assert seed in setup.json()["otpauth_uri"]
    assert TotpDevice.objects.get().confirmed_at is None
    assert status_and_code(client.write(CONFIRM, {"code": wrong(totp_code(seed=seed))})) == (
        422,
        "account.code_mismatch",
    )
    done = client.write(CONFIRM, {"code": totp_code(seed=seed)})
    assert len(set(done.json()["recovery_codes"])) == 10
    assert status_and_code(client.write(CONFIRM, {"code": totp_code(seed=seed)})) == (
        409,
        "account.mfa_not_pending",
    )
    assert emitted("mfa.enabled")[-1].payload["method"] == "totp"
    assert client.read(f"{AUTH}/me").json()["second_factor"] is True
    assert other.read(f"{AUTH}/me").status_code == 401
    assert Session.objects.get(pk=client.session_id).second_factor == "totp"


def test_secret_and_recovery_codes_are_not_stored_in_plain_text(user):
    seed, codes = with_factor(user("SELLER"))
    with connection.cursor() as cursor:
        for table in ("account_totpdevice", "account_recoverycode"):
            cursor.execute(f"SELECT t::text FROM {table} t")
            text = "\n".join(row[0] for row in cursor.fetchall())
            assert not [
                value for value in (seed, *codes, *(c.replace("-", "") for c in codes)) if value in text
            ]


def test_a_pending_secret_expires(client_for, user):
    client = client_for(user("SELLER"))
    seed = client.write(SETUP).json()["secret"]
    with unguarded_writes():
        TotpDevice.objects.update(pending_expires_at=timezone.now())
    assert status_and_code(client.write(CONFIRM, {"code": totp_code(seed=seed)})) == (
        409,
        "account.mfa_not_pending",
    )


def test_the_first_factor_returns_a_challenge_and_writes_nothing(client_for, user, emitted):
    person = user("INTERNAL")
    asked = client_for().write(LOGIN, {"email": person.email, "password": PASSWORD, "device_label": "desk"})
    assert set(asked.json()) == {"challenge_token", "expires_at", "methods"}
    assert (emitted(), Session.objects.count(), SignInCounter.objects.count()) == ([], 0, 0)
    answer = client_for().write(
        SECOND, {"challenge_token": asked.json()["challenge_token"], "code": totp_code()}
    )
    assert answer.status_code == 200
    session = Session.objects.get(pk=answer.json()["session_id"])
    assert (session.method, session.second_factor, session.device_label) == ("password", "totp", "desk")
    assert emitted("user.logged_in")[-1].payload["second_factor"] == "totp"


def test_neither_password_nor_code_alone_gives_a_token(client_for, user):
    person = user("INTERNAL")
    token = challenge(client_for, person)
    client = client_for()
    client.bearer = token
    assert client.read(f"{AUTH}/me").status_code == 401
    assert client.write(f"{AUTH}/refresh", {"refresh_token": token}).status_code == 401
    for body in (
        {"code": totp_code()},
        {"challenge_token": token},
        {"challenge_token": token, "code": totp_code(), "recovery_code": "x"},
        {"challenge_token": token, "code": "12345a"},
    ):
        assert client_for().write(SECOND, body).status_code == 400
    assert not SignInCounter.objects.exists()


@pytest.mark.parametrize(
    "change", ["nonsense", "access", "over", "password changed", "deactivated", "factor gone"]
)
def test_a_challenge_that_does_not_hold_begins_anew(client_for, user, change):
    person = user("SELLER")
    seed, _ = with_factor(person)
    token = challenge(client_for, person)
    now = timezone.now()
    if change == "nonsense":
        token = "a.b.c"
    elif change == "access":
        claims = tokens.Claims(person.pk, begin_session(person).pk, uuid4())
        token = tokens.encode("access", claims, issued=now, expires=now + timedelta(hours=1))
    elif change == "over":
        passed = tokens.decode_challenge(token)
        token = tokens.encode_challenge(
            passed, issued=now - timedelta(hours=1), expires=now - timedelta(seconds=6)
        )
    elif change == "password changed":
        person = User.objects.get(pk=person.pk)
        passwords.change_password(
            person,
            actor=person,
            current_password=PASSWORD,
            new_password="quite another passphrase",
            origin=common.Origin("api"),
        )
    elif change == "deactivated":
        users.deactivate(person, actor=SYSTEM)
    else:
        users.reset_second_factor(person, actor=SYSTEM)
    answer = client_for().write(SECOND, {"challenge_token": token, "code": totp_code(seed=seed, steps=1)})
    assert status_and_code(answer) == (401, "account.challenge_invalid")


def test_a_code_counts_once_and_one_step_to_either_side(client_for, user):
    for steps, taken in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        person = user("INTERNAL")
        body = {"challenge_token": challenge(client_for, person), "code": totp_code(steps=steps)}
        assert (client_for().write(SECOND, body).status_code == 200) == taken, steps
        if taken:
            assert status_and_code(client_for().write(SECOND, body)) == (401, "account.second_factor_invalid")


def test_a_code_older_than_the_newest_taken_is_refused(user):
    device = TotpDevice(user=user("SELLER"), last_step=0)
    later = second_factor.step_of(TOTP_SEED, totp_code(steps=1))
    assert later is not None
    assert second_factor.step_of(TOTP_SEED, totp_code(), after=later) is None
    assert device.last_step == 0


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_uses_of_a_code_are_one(user):
    person = user("INTERNAL")
    asked = signing_in.log_in(
        actor=SYSTEM, email=person.email, password=PASSWORD, origin=common.Origin("api")
    )
    code = totp_code()
    results = in_threads(
        lambda _: isinstance(
            signing_in.pass_second_factor(
                actor=SYSTEM, challenge_token=asked.challenge_token, code=code, origin=common.Origin("api")
            ),
            common.Tokens,
        )
    )
    assert results.count(True) == 1
    assert Session.objects.count() == 1
    assert set(results) <= {True, False, common.Locked}


def test_a_recovery_code_is_accepted_once_and_the_last_ones_are_reported(client_for, user, emitted):
    person = user("SELLER")
    _, codes = with_factor(person)
    token = challenge(client_for, person)
    body = {"challenge_token": token, "recovery_code": f" {codes[0].lower()} "}
    assert client_for().write(SECOND, body).status_code == 200
    assert emitted("mfa.recovery_code_used")[-1].payload["left"] == 9
    assert emitted("user.logged_in")[-1].payload["second_factor"] == "recovery_code"
    assert status_and_code(client_for().write(SECOND, body)) == (401, "account.second_factor_invalid")


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_uses_of_a_recovery_code_are_one(user):
    person = user("SELLER")
    _, codes = with_factor(person)
    asked = signing_in.log_in(
        actor=SYSTEM, email=person.email, password=PASSWORD, origin=common.Origin("api")
    )
    results = in_threads(
        lambda _: isinstance(
            signing_in.pass_second_factor(
                actor=SYSTEM,
                challenge_token=asked.challenge_token,
                recovery_code=codes[0],
                origin=common.Origin("api"),
            ),
            common.Tokens,
        )
    )
    assert results.count(True) == 1
    assert RecoveryCode.objects.exclude(used_at=None).count() == 1


def test_wrong_codes_and_wrong_passwords_are_counted_and_locked_separately(client_for, user):
    person = user("INTERNAL")
    token = challenge(client_for, person)
    right = {"challenge_token": token, "code": totp_code()}
    for _ in range(4):
        client_for().write(LOGIN, {"email": person.email, "password": "wrong"})
        client_for().write(SECOND, right | {"code": wrong(totp_code())})
    assert failures() == [4, 4]
    client_for().write(SECOND, right | {"code": wrong(totp_code())})
    assert status_and_code(client_for().write(SECOND, right)) == (429, "account.locked")
    assert client_for().write(LOGIN, {"email": person.email, "password": PASSWORD}).status_code == 200


@pytest.fixture
def guess(client_for, user):
    """One wrong code at each endpoint with a code, by a caller with password and session."""
    person = user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now())
    seed, _ = with_factor(person)
    client, token = client_for(person), challenge(client_for, person)
    bad = wrong(totp_code(seed=seed, steps=1))
    recovery = "AAAA-AAAA-AAAA-AAAA"
    tries = {
        "sign-in": lambda: client_for().write(SECOND, {"challenge_token": token, "code": bad}),
        "sign-in by recovery code": lambda: client_for().write(
            SECOND, {"challenge_token": token, "recovery_code": recovery}
        ),
        "replacement": lambda: client.write(SETUP, {"password": PASSWORD, "code": bad}),
        "removal": lambda: client.write(DISABLE, {"password": PASSWORD, "code": bad}),
        "removal by recovery code": lambda: client.write(
            DISABLE, {"password": PASSWORD, "recovery_code": recovery}
        ),
        "confirmation": lambda: client.write(CONFIRM, {"code": bad}),
    }
    with unguarded_writes():
        device = TotpDevice.objects.get(user=person)
        device.pend(seed, timezone.now() + timedelta(minutes=10))
        device.save()

    def send(place):
        return tries[place]()

    send.person, send.client, send.seed, send.places = person, client, seed, list(tries)
    return send


def test_a_correct_password_elsewhere_does_not_reset_the_count_of_codes(guess, client_for):
    person, client = guess.person, guess.client
    session = Session.objects.get(pk=client.session_id)
    proofs = [
        lambda: challenge(client_for, person),
        lambda: signing_in.reauthenticate(session, actor=person, password=PASSWORD),
        lambda: client.write(
            f"{AUTH}/me",
            {
                "full_name": person.full_name,
                "email": "other@example.com",
                "mobile": MOBILE,
                "locale": "en-IN",
                "notify_email": True,
                "notify_sms": False,
                "digest": "immediate",
                "current_password": PASSWORD,
            },
            method="PUT",
            if_match=person.version,
        ),
        lambda: client.write(SETUP, {"password": PASSWORD}),
        lambda: otp.verify_otp(actor=SYSTEM, **prove(purpose="sign_in"), origin=common.Origin("api")),
        lambda: client.write(
            f"{AUTH}/change-password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        ),
    ]
    for _ in range(4):
        assert guess("removal").status_code == 403
    for proof in proofs:
        proof()
        assert max(failures()) >= 4 or SignInCounter.objects.exclude(locked_until=None).exists(), proof
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    link = secrets.token_of(OneTimeToken.objects.latest("id"))
    passwords.reset_password(actor=SYSTEM, token=link, new_password="yet another passphrase")
    assert SignInCounter.objects.exclude(locked_until=None).exists()


@pytest.mark.parametrize("round", [0, 1, 2])
def test_wrong_codes_of_all_endpoints_count_together_and_lock_every_endpoint(guess, round):
    for place in (guess.places * 2)[round * 2 : round * 2 + 5]:
        assert guess(place).status_code in (401, 403, 422), place
    for place in guess.places:
        assert status_and_code(guess(place)) == (429, "account.locked"), place
    session = Session.objects.get(pk=guess.client.session_id)
    with pytest.raises(common.Locked):
        signing_in.reauthenticate(session, actor=guess.person, code=totp_code(seed=guess.seed, steps=1))


def test_wrong_codes_at_a_reauthentication_count_with_those_of_a_sign_in(guess):
    session = Session.objects.get(pk=guess.client.session_id)
    for _ in range(5):
        signing_in.reauthenticate(
            session, actor=guess.person, code=wrong(totp_code(seed=guess.seed, steps=1))
        )
        signing_in.reauthenticate(session, actor=guess.person, password=PASSWORD)
    assert status_and_code(guess("sign-in")) == (429, "account.locked")


@pytest.mark.parametrize("cleared_by", ["sign-in", "removal", "reset", "unlock"])
def test_a_complete_sign_in_or_a_reset_resets_the_count_of_codes(guess, client_for, user, cleared_by):
    person = guess.person
    for _ in range(4):
        guess("sign-in")
    code = totp_code(seed=guess.seed, steps=1)
    if cleared_by == "sign-in":
        answer = client_for().write(SECOND, {"challenge_token": challenge(client_for, person), "code": code})
        assert answer.status_code == 200
    elif cleared_by == "removal":
        assert guess.client.write(DISABLE, {"password": PASSWORD, "code": code}).status_code == 204
    elif cleared_by == "reset":
        users.reset_second_factor(person, actor=user("INTERNAL_COMPLIANCE"))
    else:
        users.unlock(person, actor=user("INTERNAL_COMPLIANCE"))
    assert set(failures()) == {0}


def test_a_correct_password_does_not_reset_the_failures_of_codes_by_sms(user):
    person = user("BUYER", email=None, mobile=MOBILE, mobile_verified_at=timezone.now())
    proof = prove(purpose="sign_in")
    otp.verify_otp(
        actor=SYSTEM,
        challenge_id=proof["challenge_id"],
        code=wrong(proof["code"]),
        origin=common.Origin("api"),
    )
    session = begin_session(person)
    signing_in.reauthenticate(session, actor=person, password="wrong")
    assert failures() == [1, 1]
    signing_in.reauthenticate(session, actor=person, password=PASSWORD)
    assert failures() == [0, 1]


def test_the_right_password_alone_does_not_reset_failures_of_the_second_factor(client_for, user):
    person = user("INTERNAL")
    client_for().write(LOGIN, {"email": person.email, "password": "wrong"})
    token = challenge(client_for, person)
    assert SignInCounter.objects.get().failures == 1
    client_for().write(SECOND, {"challenge_token": token, "code": totp_code()})
    assert SignInCounter.objects.get().failures == 0


def test_replacing_an_authenticator_needs_password_and_code_and_a_confirmation(client_for, user):
    person = user("SELLER")
    old, _ = with_factor(person)
    client = client_for(person)
    failed = (403, "account.reauthentication_failed")
    assert status_and_code(client.write(SETUP)) == failed
    assert status_and_code(client.write(SETUP, {"password": PASSWORD})) == failed
    assert (
        status_and_code(client.write(SETUP, {"password": "wrong", "code": totp_code(seed=old, steps=1)}))
        == failed
    )
    setup = client.write(SETUP, {"password": PASSWORD, "code": totp_code(seed=old, steps=1)})
    assert setup.status_code == 200
    assert TotpDevice.objects.get().seed == old
    new = setup.json()["secret"]
    assert client.write(CONFIRM, {"code": totp_code(seed=new)}).status_code == 200
    assert TotpDevice.objects.get().seed == new


def test_disabling_needs_password_and_code_and_ends_other_sessions(client_for, user, emitted):
    person = user("SELLER")
    seed, codes = with_factor(person)
    client, other = client_for(person), client_for(person)
    failed = (403, "account.reauthentication_failed")
    assert status_and_code(client.write(DISABLE, {"code": totp_code(seed=seed, steps=1)})) == failed
    assert status_and_code(client.write(DISABLE, {"password": PASSWORD, "code": "000000"})) == failed
    assert client.write(DISABLE, {"password": PASSWORD, "recovery_code": codes[1]}).status_code == 204
    assert emitted("mfa.disabled")[-1].payload == {
        "user_id": str(person.pk), "by": str(person.pk), "reason_code": "own_choice",
    }  # fmt: skip
    assert other.read(f"{AUTH}/me").status_code == 401
    assert not RecoveryCode.objects.exists()
    assert status_and_code(client.write(DISABLE, {"code": "123456"})) == (409, "account.mfa_not_enabled")
    assert "access_token" in client_for().write(LOGIN, {"email": person.email, "password": PASSWORD}).json()


def test_staff_without_two_factor_authentication_reach_only_its_setup(client_for, user):
    person = user("INTERNAL_MANAGER", factor=False)
    answer = client_for().write(LOGIN, {"email": person.email, "password": PASSWORD})
    client = client_for()
    client.bearer = answer.json()["access_token"]
    shut = (403, "account.second_factor_setup_required")
    assert status_and_code(client.read("/api/v1/commodities")) == shut
    assert status_and_code(client.read(f"{AUTH}/sessions")) == shut
    assert status_and_code(client.write("/api/v1/commodities", {})) == shut
    assert status_and_code(client.write(f"{AUTH}/change-password", {})) == shut
    assert status_and_code(client.write(f"{AUTH}/me", {}, method="PUT")) == shut
    assert client.read(f"{AUTH}/me").json()["second_factor"] is False
    seed = client.write(SETUP).json()["secret"]
    assert client.write(CONFIRM, {"code": totp_code(seed=seed)}).status_code == 200
    assert client.read("/api/v1/commodities").status_code == 200


def test_staff_without_two_factor_authentication_can_sign_out(client_for, user):
    client = client_for(user("AUDITOR", factor=False))
    assert client.write(f"{AUTH}/logout").status_code == 204


@pytest.mark.parametrize("roles", [(), ("INTERNAL",), ("AUDITOR",)])
def test_staff_cannot_disable_two_factor_authentication(client_for, user, roles):
    client = client_for(user(*roles))
    answer = client.write(DISABLE, {"password": PASSWORD, "code": totp_code()})
    assert status_and_code(answer) == (409, "account.mfa_mandatory")


def test_a_lost_factor_is_reset_by_another_person(client_for, user, emitted):
    boss, person = user("INTERNAL_COMPLIANCE"), user("INTERNAL_FINANCE")
    client = client_for(person)
    with pytest.raises(users.OwnAccount):
        users.reset_second_factor(boss, actor=boss)
    users.reset_second_factor(person, actor=boss)
    payload = emitted("mfa.disabled")[-1].payload
    assert (payload["by"], payload["reason_code"]) == (str(boss.pk), "device_lost")
    assert client.read(f"{AUTH}/me").status_code == 401
    answer = client_for().write(LOGIN, {"email": person.email, "password": PASSWORD})
    assert "access_token" in answer.json(), "a limited session, to set a new one up"
    with pytest.raises(common.MfaNotEnabled):
        users.reset_second_factor(person, actor=boss)


def test_a_correct_password_at_the_setup_resets_the_failures(client_for, user):
    person = user("SELLER")
    client = client_for(person)
    client.write(SETUP, {"password": "wrong"})
    assert SignInCounter.objects.get().failures == 1
    assert client.write(SETUP).status_code == 200
    assert SignInCounter.objects.get().failures == 1, "nothing was proved"
    assert client.write(SETUP, {"password": PASSWORD}).status_code == 200
    assert SignInCounter.objects.get().failures == 0
