"""Responses do not reveal accounts, and secrets are stored and logged nowhere."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts import events, secrets
from apps.accounts.models import OneTimeToken, OtpChallenge, SignInCounter
from apps.accounts.tests.factories import AUTH, MOBILE, NEW_PASSWORD, SIGN_UP, prove, status_and_code, token
from config.testing import PASSWORD, totp_code
from erp.api import throttling
from erp.events import registry, sample
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
VARYING = {"X-Request-ID", "RateLimit", "Idempotency-Replayed"}


def seen(answer):
    """The visible parts of a response, without those that always vary."""
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body = {
            name: "…" if name in ("request_id", "challenge_id", "expires_at", "resend_after") else value
            for name, value in body.items()
        }
    return answer.status_code, body, {k: v for k, v in answer.headers.items() if k not in VARYING}


@pytest.mark.parametrize("status", ["active", "pending", "invited", "deactivated"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("login", {"email": "{}", "password": "not the password"}),
        ("forgot-password", {"email": "{}"}),
        ("verify-email/resend", {"email": "{}"}),
        ("register", {**SIGN_UP, "email": "{}"}),
    ],
)
def test_no_answer_reveals_whether_an_account_exists(client_for, user, path, body, status):
    def ask(email):
        return client_for().write(f"{AUTH}/{path}", {**body, "email": email})

    known = user("SELLER", status=status, email="first.last@example.com").email
    answers = [seen(ask(known)), seen(ask("other.name@example.com"))]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("purpose", ["sign_in", "prove_number"])
def test_a_code_is_asked_for_with_the_same_answer_known_or_not(client_for, user, purpose):
    user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now())
    answers = [
        client_for().write(f"{AUTH}/otp/request", {"mobile": mobile, "purpose": purpose})
        for mobile in (MOBILE, "+919876500000")
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert seen(answers[0]) == seen(answers[1])
    assert [set(answer.json()) for answer in answers] == [{"challenge_id", "expires_at", "resend_after"}] * 2


def test_a_lock_is_the_same_for_known_and_unknown(client_for, user):
    answers = []
    for email in (user("SELLER").email, "nobody@example.com"):
        for _ in range(5):
            client_for().write(f"{AUTH}/login", {"email": email, "password": "wrong"})
        answer = client_for().write(f"{AUTH}/login", {"email": email, "password": PASSWORD})
        answers.append((status_and_code(answer), set(answer.headers) - VARYING))
    assert answers[0] == answers[1]
    assert SignInCounter.objects.count() == 2


def test_a_password_is_hashed_at_every_endpoint_that_needs_one(client_for, user, monkeypatch):
    known = user("SELLER", status="deactivated").email
    without = user("SELLER", password=None).email
    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda self, *a, **k: hashed.append(1) or encode(self, *a, **k)
    )
    client_for().write(f"{AUTH}/login", {"email": "warm@example.com", "password": "x"})  # makes the dummy
    for email in (known, without, "nobody@example.com"):
        for path, body in (
            ("login", {"email": email, "password": "wrong"}),
            ("register", {**SIGN_UP, "email": email}),
        ):
            hashed.clear()
            client_for().write(f"{AUTH}/{path}", body)
            assert len(hashed) == 1, (email, path)


def test_no_secret_is_in_any_table_event_record_or_log(client_for, user, request_lines, caplog, capfd):
    person = user("SELLER", mobile=MOBILE, mobile_verified_at=timezone.now())
    planted = {"password": PASSWORD, "new": NEW_PASSWORD}
    anonymous = client_for()
    signed_in = anonymous.write(f"{AUTH}/login", {"email": person.email, "password": PASSWORD}).json()
    planted |= {name: signed_in[name] for name in ("access_token", "refresh_token")}
    refreshed = anonymous.write(f"{AUTH}/refresh", {"refresh_token": signed_in["refresh_token"]}).json()
    planted |= {f"2 {name}": refreshed[name] for name in ("access_token", "refresh_token")}
    client = client_for(person)
    anonymous.write(f"{AUTH}/register", SIGN_UP)
    planted["sign_up"] = token("sign_up")
    anonymous.write(f"{AUTH}/forgot-password", {"email": person.email})
    planted["reset"] = token("reset_password")
    proof = prove(purpose="sign_in")
    with_totp = client.write(f"{AUTH}/mfa/setup").json()["secret"]
    planted["seed"] = with_totp
    codes = client.write(f"{AUTH}/mfa/confirm", {"code": totp_code(seed=with_totp)}).json()["recovery_codes"]
    planted |= dict(zip(map(str, range(10)), codes, strict=True))
    asked = anonymous.write(f"{AUTH}/login", {"email": person.email, "password": PASSWORD}).json()
    planted["challenge"] = asked["challenge_token"]
    anonymous.write(f"{AUTH}/otp/verify", proof)
    anonymous.write(f"{AUTH}/reset-password", {"token": planted["reset"], "new_password": NEW_PASSWORD})
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            text = "\n".join(row[0] for row in cursor.fetchall())
            assert not [name for name, value in planted.items() if value in text], table
        cursor.execute("SELECT payload::text FROM event_outbox")
        events_text = "\n".join(row[0] for row in cursor.fetchall())
    for value in (
        *planted.values(),
        person.email,
        MOBILE,
        SIGN_UP["email"],
        SIGN_UP["full_name"],
        proof["code"],
    ):
        assert f'"{value}"' not in events_text
    written = caplog.text + "".join(capfd.readouterr())
    assert not [name for name, value in planted.items() if value in written]
    assert person.email not in written


def test_no_event_of_accounts_has_a_member_for_personal_data_or_free_text():
    own = [model for model in registry if model.__module__ == events.__name__]
    assert len(own) == 41
    free = {
        "reason",
        "method",
        "purpose",
        "door",
        "kind",
        "role",
        "second_factor",
        "reason_code",
        "operation",
    }
    for model in own:
        for name, value in sample(model).items():
            if isinstance(value, str) and not name.endswith(("_id", "_at", "until")) and name != "by":
                assert name in free | {"user_type", "capability", "object_type"}, (model, name)


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a@example.com", "password": "x" * 129},
        {"email": f"{'a' * 245}@example.com", "password": "x"},
        {"email": "a@example.com", "password": "NUL\u0000"},
        {"email": "a@example.com", "password": ""},
    ],
)
def test_a_malformed_code_is_not_counted(client_for, body):
    assert client_for().write(f"{AUTH}/login", body).status_code == 400
    raw = b'{"email":"a@example.com","email":"b@example.com","password":"x"}'
    assert status_and_code(client_for().write(f"{AUTH}/login", raw=raw)) == (400, "request.malformed")
    assert not SignInCounter.objects.exists()


@pytest.mark.parametrize("path", ["forgot-password", "verify-email/resend", "register"])
@pytest.mark.parametrize("known", [True, False])
def test_an_address_is_limited_to_three_requests_an_hour_known_or_not(
    client_for, user, settings, path, known
):
    settings.THROTTLE_PUBLIC_FACTOR = 1
    email = user("SELLER").email if known else "nobody@example.com"
    body = {**SIGN_UP, "email": email} if path == "register" else {"email": email}
    answers = [client_for().write(f"{AUTH}/{path}", body) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert status_and_code(answers[3])[1] == "throttle.limited"
    assert int(answers[3]["Retry-After"]) > 0
    upper = {**body, "email": email.upper()}
    assert client_for().write(f"{AUTH}/{path}", upper).status_code == 429


@pytest.mark.parametrize(
    ("path", "body", "most"),
    [
        ("otp/request", {"mobile": MOBILE, "purpose": "sign_in"}, 20),
        ("reset-password", {"token": "x", "new_password": NEW_PASSWORD}, 20),
        ("verify-email", {"token": "x"}, 20),
        ("login/second-factor", {"challenge_token": "x", "code": "123456"}, 100),
    ],
)
def test_a_caller_is_limited_at_each_door(client_for, settings, path, body, most):
    settings.THROTTLE_PUBLIC_FACTOR = 1
    client = client_for()
    statuses = [client.write(f"{AUTH}/{path}", body).status_code for _ in range(most + 1)]
    assert 429 not in statuses[:most]
    assert statuses[most] == 429


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("login", {"email": "a@example.com", "password": "x"}),
        ("forgot-password", {"email": "a@example.com"}),
        ("register", SIGN_UP),
        ("otp/request", {"mobile": MOBILE, "purpose": "sign_in"}),
        ("refresh", {"refresh_token": "x"}),
    ],
)
def test_endpoints_are_refused_when_requests_cannot_be_counted(client_for, settings, monkeypatch, path, body):
    monkeypatch.setattr(throttling._local, "quiet_until", 0.0)
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    answer = client_for().write(f"{AUTH}/{path}", body)
    assert status_and_code(answer) == (503, "dependency.unavailable")
    assert int(answer["Retry-After"]) > 0
    assert not OneTimeToken.objects.exists()
    assert not OtpChallenge.objects.exists()


HASHING = {
    "login": {"email": "a@example.com", "password": "x"},
    "register": SIGN_UP,
    "reset-password": {"token": "x", "new_password": NEW_PASSWORD},
    "invitations/accept": {
        "token": "x", "password": NEW_PASSWORD, "terms_version": "1", "is_adult": True,
    },
    "change-password": {"current_password": "x", "new_password": NEW_PASSWORD},
    "mfa/setup": {"password": "x"},
    "mfa/disable": {"password": "x", "code": "123456"},
    "me": {},
}  # fmt: skip


@pytest.mark.parametrize("path", HASHING)
def test_endpoints_that_hash_a_password_share_a_limit_per_address(client_for, user, settings, path):
    settings.THROTTLE_PUBLIC_FACTOR = 1
    settings.THROTTLE_LIMITS = settings.THROTTLE_LIMITS | {"password-address": (3, 3600)}

    def ask(path):
        method = "PUT" if path == "me" else "POST"
        return client_for(user("SELLER")).write(f"{AUTH}/{path}", HASHING[path], method=method, if_match=1)

    others = [other for other in HASHING if other != path][:3]
    assert 429 not in [ask(other).status_code for other in others]
    answer = ask(path)
    assert status_and_code(answer) == (429, "throttle.limited")
    assert answer["RateLimit-Policy"] == '"password-address";q=3;w=3600'
    assert client_for(user("SELLER")).read(f"{AUTH}/me").status_code == 200


@pytest.mark.parametrize("path", ["change-password", "mfa/setup", "mfa/disable", "me"])
def test_a_user_is_limited_over_all_endpoints_that_hash_a_password(client_for, user, settings, path):
    settings.THROTTLE_LIMITS = settings.THROTTLE_LIMITS | {"password": (2, 3600)}
    client = client_for(user("SELLER"))
    method = "PUT" if path == "me" else "POST"
    for other in ("mfa/disable", "change-password"):
        assert client.write(f"{AUTH}/{other}", HASHING[other]).status_code != 429
    answer = client.write(f"{AUTH}/{path}", HASHING[path], method=method, if_match=1)
    assert status_and_code(answer) == (429, "throttle.limited")
    assert client_for(user("SELLER")).write(f"{AUTH}/mfa/setup").status_code == 200


def test_signing_in_costs_the_same_for_any_number_of_users(client_for, user):
    person = user("SELLER")
    body = {"email": person.email, "password": PASSWORD}
    client_for().write(f"{AUTH}/login", body)

    def cost():
        with CaptureQueriesContext(connection) as asked:
            assert client_for().write(f"{AUTH}/login", body).status_code == 200
        return len(asked)

    few = cost()
    for _ in range(20):
        user("SELLER", of=SimpleNamespace(pk=person.partner_id))
    assert cost() == few


def test_a_new_device_is_reported_but_not_the_first_one(client_for, user, emitted):
    person = user("SELLER")
    body = {"email": person.email, "password": PASSWORD}
    for agent in ("Firefox/130.0 Linux", "Firefox/131.2 Linux", "Safari/17 iPhone"):
        client_for().write(f"{AUTH}/login", body, **{"User-Agent": agent})
    assert [event.payload["new_device"] for event in emitted("user.logged_in")] == [False, False, True]


def test_a_message_sent_later_carries_the_same_secret_and_an_expired_one_is_refused(client_for):
    client_for().write(f"{AUTH}/register", SIGN_UP)
    row = OneTimeToken.objects.get()
    assert secrets.token_of(row) == secrets.token_of(OneTimeToken.objects.get(pk=row.pk))
    with unguarded_writes():
        OneTimeToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = client_for().write(f"{AUTH}/verify-email", {"token": secrets.token_of(row)})
    assert status_and_code(answer) == (409, "account.token_invalid")
