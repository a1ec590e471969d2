"""Codes by SMS."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.accounts import secrets, tasks
from apps.accounts.models import OtpChallenge, Session, SignInCounter
from apps.accounts.services import common, otp
from apps.accounts.services.counting import counter_key
from apps.accounts.tests.factories import (
    AUTH,
    MOBILE,
    code,
    in_threads,
    prove,
    status_and_code,
    with_factor,
    wrong,
)
from config.testing import PASSWORD, totp_code
from erp import metrics
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
REQUEST, VERIFY = f"{AUTH}/otp/request", f"{AUTH}/otp/verify"
ASK = {"mobile": MOBILE, "purpose": "sign_in"}


@pytest.fixture
def owner(user):
    return user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now())


def test_a_code_signs_its_owner_in_once(client_for, owner, emitted):
    asked = client_for().write(REQUEST, ASK)
    assert asked.status_code == 202
    assert set(asked.json()) == {"challenge_id", "expires_at", "resend_after"}
    assert emitted("otp.requested")[-1].payload["user_id"] == str(owner.pk)
    body = {"challenge_id": asked.json()["challenge_id"], "code": code(asked.json()["challenge_id"])}
    answer = client_for().write(VERIFY, body)
    assert answer.status_code == 200
    assert Session.objects.get().method == "otp"
    assert emitted("user.logged_in")[-1].payload["method"] == "otp"
    assert status_and_code(client_for().write(VERIFY, body)) == (401, "account.otp_invalid")


def test_with_two_factor_authentication_a_code_by_sms_returns_a_challenge(client_for, owner):
    seed, _ = with_factor(owner)
    body = prove(purpose="sign_in")
    asked = client_for().write(VERIFY, body)
    assert set(asked.json()) == {"challenge_token", "expires_at", "methods"}
    second = {"challenge_token": asked.json()["challenge_token"], "code": totp_code(seed=seed, steps=1)}
    assert client_for().write(f"{AUTH}/login/second-factor", second).status_code == 200
    assert Session.objects.get().method == "otp"
    assert status_and_code(client_for().write(VERIFY, body)) == (401, "account.otp_invalid")


@pytest.mark.parametrize("who", ["unknown", "unverified", "deactivated", "staff"])
def test_other_users_get_no_code_and_the_answer_is_the_same(client_for, user, emitted, who):
    if who == "unverified":
        user("BUYER", mobile=MOBILE)
    elif who == "deactivated":
        user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now(), status="deactivated")
    elif who == "staff":
        user("INTERNAL", mobile=MOBILE, mobile_verified_at=timezone.now())
    asked = client_for().write(REQUEST, ASK)
    assert asked.status_code == 202
    assert set(asked.json()) == {"challenge_id", "expires_at", "resend_after"}
    assert emitted("otp.requested")[-1].payload["user_id"] is None
    assert not OtpChallenge.objects.get().is_sent
    body = {"challenge_id": asked.json()["challenge_id"], "code": code(asked.json()["challenge_id"])}
    assert status_and_code(client_for().write(VERIFY, body)) == (401, "account.otp_invalid")
    assert not Session.objects.exists()


def test_a_code_that_proves_a_number_signs_nobody_in(client_for, owner, emitted):
    body = prove(purpose="prove_number")
    assert emitted("otp.requested")[-1].payload["purpose"] == "prove_number"
    assert status_and_code(client_for().write(VERIFY, body)) == (401, "account.otp_invalid")
    assert not Session.objects.exists()


def test_a_repeated_request_within_a_minute_sends_nothing(client_for, owner, emitted):
    first, again = client_for().write(REQUEST, ASK), client_for().write(REQUEST, ASK)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert len(emitted("otp.requested")) == 1
    with unguarded_writes():
        OtpChallenge.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    later = client_for().write(REQUEST, ASK).json()
    assert later["challenge_id"] != first.json()["challenge_id"]
    assert OtpChallenge.objects.get(pk=first.json()["challenge_id"]).voided_at is not None
    assert len(emitted("otp.requested")) == 2


def test_the_third_wrong_code_voids_the_challenge_and_each_is_counted(client_for, owner, emitted):
    body = prove(purpose="sign_in")
    for tried in range(3):
        answer = client_for().write(VERIFY, body | {"code": wrong(body["code"])})
        assert status_and_code(answer) == (401, "account.otp_invalid")
        assert OtpChallenge.objects.get().wrong == tried + 1
    assert status_and_code(client_for().write(VERIFY, body)) == (401, "account.otp_invalid")
    assert [event.payload["failures"] for event in emitted("user.login_failed")] == [1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_the_third_wrong_code_voids_the_challenge_under_concurrency_too(user):
    user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now())
    body = prove(purpose="sign_in")
    bad = {"challenge_id": body["challenge_id"], "code": wrong(body["code"])}
    results = in_threads(
        lambda _: type(otp.verify_otp(actor=SYSTEM, origin=common.Origin("api"), **bad)).__name__
    )
    assert (results.count("Refusal"), results.count(common.OtpInvalid)) == (3, 17)
    challenge = OtpChallenge.objects.get()
    assert (challenge.wrong, challenge.voided_at is not None) == (3, True)
    assert SignInCounter.objects.get().failures == 3


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_uses_of_a_code_are_one(user):
    user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now())
    body = prove(purpose="sign_in")
    results = in_threads(
        lambda _: type(otp.verify_otp(actor=SYSTEM, origin=common.Origin("api"), **body)).__name__
    )
    assert (results.count("Tokens"), results.count(common.OtpInvalid)) == (1, 19)
    assert Session.objects.count() == 1


def test_five_wrong_codes_lock_the_number_and_not_its_owners_password(client_for, owner):
    for round_ in range(2):
        with unguarded_writes():
            OtpChallenge.objects.update(created_at=timezone.now() - timedelta(seconds=61))
        body = prove(purpose="sign_in")
        for _ in range(3 - round_):
            client_for().write(VERIFY, body | {"code": wrong(body["code"])})
    assert status_and_code(client_for().write(VERIFY, body)) == (429, "account.locked")
    login = client_for().write(f"{AUTH}/login", {"email": owner.email, "password": PASSWORD})
    assert login.status_code == 200


@pytest.mark.parametrize("change", ["unknown", "over", "other purpose"])
def test_an_unknown_used_or_voided_challenge_is_refused_and_not_counted(client_for, owner, change):
    body = prove(purpose="prove_number" if change == "other purpose" else "sign_in")
    if change == "unknown":
        body["challenge_id"] = str(uuid4())
    elif change == "over":
        with unguarded_writes():
            OtpChallenge.objects.update(expires_at=timezone.now())
    assert status_and_code(client_for().write(VERIFY, body)) == (401, "account.otp_invalid")
    assert not SignInCounter.objects.exists()


@pytest.mark.parametrize("known", [True, False])
def test_a_number_gets_five_codes_an_hour_and_ten_a_day(client_for, user, known):
    if known:
        user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now())

    def ask(ago: timedelta) -> tuple[int, str]:
        answer = client_for().write(REQUEST, ASK)
        with unguarded_writes():
            OtpChallenge.objects.filter(pk=answer.json().get("challenge_id")).update(
                created_at=timezone.now() - ago
            )
        return answer.status_code, answer.get("Retry-After", "")

    assert [ask(timedelta(minutes=2))[0] for _ in range(5)] == [202] * 5
    status, wait = ask(timedelta())
    assert status == 429
    assert 3400 < int(wait) <= 3600 - 110
    with unguarded_writes():
        OtpChallenge.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert [ask(timedelta(minutes=2))[0] for _ in range(5)] == [202] * 5
    with unguarded_writes():
        OtpChallenge.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert ask(timedelta())[0] == 429, "ten of the day are used up"


def numbered(number: int) -> str:
    return f"+9198765{number:05d}"


def test_the_daily_limit_of_codes_does_not_reveal_known_numbers(client_for, owner, settings):
    settings.OTP_PER_DAY = 1
    assert client_for().write(REQUEST, ASK | {"mobile": numbered(1)}).status_code == 202, "unknown, it counts"
    answers = [
        client_for().write(REQUEST, {"mobile": mobile, "purpose": purpose})
        for mobile, purpose in ((MOBILE, "sign_in"), (numbered(2), "sign_in"), (numbered(2), "prove_number"))
    ]
    assert [status_and_code(answer) for answer in answers] == [(429, "account.too_many_codes")] * 3
    assert len({answer.json()["detail"] for answer in answers}) == 1


def test_an_error_is_logged_once_when_four_fifths_of_the_daily_limit_are_used(settings, caplog):
    settings.OTP_PER_DAY = 10
    for number in range(10):
        otp.request_otp(actor=SYSTEM, mobile=numbered(number), purpose="prove_number")
        [metric] = tasks.codes_sent()
        assert metric.samples[0].value == (number + 1) / 10
    errors = [record for record in caplog.records if "otp.day_nearly_used_up" in record.getMessage()]
    assert len(errors) == 1
    assert "'sent': 8" in errors[0].getMessage()
    assert tasks.codes_sent in metrics.of_modules


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_requests_leave_one_live_code(user, emitted):
    user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now())
    results = in_threads(lambda _: otp.request_otp(actor=SYSTEM, **ASK).challenge_id)
    assert len(set(results)) == OtpChallenge.objects.count() == len(emitted("otp.requested")) == 1


@pytest.mark.django_db(transaction=True)
def test_the_daily_limit_of_codes_holds_for_twenty_concurrent_requests(settings):
    settings.OTP_PER_DAY = 5
    results = in_threads(
        lambda n: type(otp.request_otp(actor=SYSTEM, mobile=numbered(n), purpose="sign_in")).__name__
    )
    assert (results.count("Requested"), results.count(common.TooManyCodes)) == (5, 15)


@pytest.mark.parametrize("gone", ["used_at", "voided_at"])
def test_no_code_is_sent_within_a_minute_of_a_used_or_voided_one(client_for, owner, emitted, gone):
    first = client_for().write(REQUEST, ASK).json()
    with unguarded_writes():
        OtpChallenge.objects.update(**{gone: timezone.now()})
    assert client_for().write(REQUEST, ASK).json() == first
    assert len(emitted("otp.requested")) == 1


@pytest.mark.parametrize("state", ["live", "used", "voided", "over"])
def test_a_locked_number_is_refused_whatever_the_code(client_for, owner, state):
    body = prove(purpose="sign_in")
    now = timezone.now()
    change = {"used": {"used_at": now}, "voided": {"voided_at": now}, "over": {"expires_at": now}}
    with unguarded_writes():
        SignInCounter(key=counter_key(MOBILE), locked_until=now + timedelta(minutes=15)).save()
        if state in change:
            OtpChallenge.objects.update(**change[state])
    assert status_and_code(client_for().write(VERIFY, body)) == (429, "account.locked")


@pytest.mark.parametrize("endpoint", ["register", "verify"])
def test_a_right_code_resets_the_failures(client_for, owner, endpoint):
    body = prove(purpose="sign_in" if endpoint == "verify" else "prove_number")
    sign_up = {"full_name": "Asha Patel", "terms_version": "1", "is_adult": True}
    path, more = (VERIFY, {}) if endpoint == "verify" else (f"{AUTH}/register", sign_up)
    assert client_for().write(path, {**more, **body, "code": wrong(body["code"])}).status_code == 401
    assert SignInCounter.objects.get().failures == 1
    assert client_for().write(path, {**more, **body}).status_code in (200, 202)
    assert SignInCounter.objects.get().failures == 0


@pytest.mark.parametrize(
    ("mobile", "item"),
    [
        ("+14155552671", "mobile.not_accepted"),
        ("02227654321", "mobile.format"),
        ("+0123456789", "mobile.format"),
        ("+9198765432101", "mobile.length"),
    ],
)
def test_an_unserved_number_shows_the_error_at_the_field(client_for, mobile, item):
    answer = client_for().write(REQUEST, ASK | {"mobile": mobile})
    assert status_and_code(answer) == (400, "request.invalid")
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [("/mobile", item)]


def test_a_code_is_six_digits_from_its_row_alone():
    challenges = [OtpChallenge(purpose="sign_in", key_id=secrets.current_key_id()) for _ in range(500)]
    codes = [secrets.code_of(challenge) for challenge in challenges]
    assert all(len(each) == 6 and each.isdecimal() for each in codes)
    assert len(set(codes)) > 490
    assert codes == [secrets.code_of(challenge) for challenge in challenges]
