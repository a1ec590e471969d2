"""Sign-in, tokens and sessions."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import jwt
import pytest
from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher, make_password
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.accounts import secrets, tokens
from apps.accounts.models import OneTimeToken, PolicyDeviation, RefreshToken, Session, SignInCounter, User
from apps.accounts.services import common, sessions, signing_in
from apps.accounts.services.counting import counter_key
from config.testing import PASSWORD, begin_session
from erp import access
from erp.access import SYSTEM
from erp.ids import uuid7
from erp.models import unguarded_writes
from erp.services import Refusal

pytestmark = pytest.mark.django_db
LOGIN, REFRESH, LIST = "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/commodities"


@pytest.fixture
def signed_in(user, client_for):
    """Sign in as a buyer; return the tokens."""
    person = user("BUYER")
    return client_for().write(LOGIN, {"email": person.email, "password": PASSWORD}).json()


def test_the_right_password_starts_a_session(user, client_for, emitted):
    person = user("BUYER")
    answer = client_for().write(
        LOGIN, {"email": person.email.upper(), "password": PASSWORD, "device_label": "desk"}
    )
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) == {
        "token_type", "access_token", "access_expires_at", "refresh_token", "refresh_expires_at", "session_id",
    }  # fmt: skip
    session = Session.objects.get(pk=body["session_id"])
    assert (session.user_id, session.door, session.method, session.device_label) == (
        person.pk, "api", "password", "desk",
    )  # fmt: skip
    event = emitted("user.logged_in")[-1]
    assert event.payload["session_id"] == body["session_id"]
    assert event.payload["new_device"] is False


def test_a_token_holds_no_role_and_no_personal_data(signed_in):
    claims = jwt.decode(signed_in["access_token"], options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "typ", "iat", "exp"}


def test_unknown_wrong_and_inactive_accounts_get_the_same_answer(user, client_for):
    person, sleeper = user("BUYER"), user("BUYER")
    with unguarded_writes():
        sleeper.status = User.Status.DEACTIVATED
        sleeper.save()
    client = client_for()
    answers = [
        client.write(LOGIN, {"email": email, "password": password})
        for email, password in (
            (person.email, "not the password"),
            ("nobody@example.com", PASSWORD),
            (sleeper.email, PASSWORD),
        )
    ]
    bodies = [{k: v for k, v in a.json().items() if k != "request_id"} for a in answers]
    assert [a.status_code for a in answers] == [401] * 3
    assert bodies[0]["code"] == "account.credentials_invalid"
    assert bodies[0] == bodies[1] == bodies[2]
    varying = {"X-Request-ID", "RateLimit"}
    headers = [{k: v for k, v in a.headers.items() if k not in varying} for a in answers]
    assert headers[0] == headers[1] == headers[2]


@pytest.mark.parametrize("known", [True, False])
def test_five_failures_lock_and_are_counted_although_each_answer_is_a_refusal(
    user, client_for, emitted, known
):
    email = user("BUYER").email if known else "nobody@example.com"
    client = client_for()
    for _ in range(5):
        assert client.write(LOGIN, {"email": email, "password": "wrong password"}).status_code == 401
    locked = client.write(LOGIN, {"email": email, "password": PASSWORD})
    assert (locked.status_code, locked.json()["code"]) == (429, "account.locked")
    assert 0 < int(locked["Retry-After"]) <= 15 * 60
    assert len(emitted("user.login_failed")) == 5
    assert len(emitted("user.locked")) == 1
    with unguarded_writes():
        SignInCounter.objects.update(locked_until=timezone.now())
    assert client.write(LOGIN, {"email": email, "password": PASSWORD}).status_code == (200 if known else 401)


def test_a_successful_sign_in_resets_the_failures(user, client_for):
    person, client = user("BUYER"), client_for()
    for _ in range(4):
        client.write(LOGIN, {"email": person.email, "password": "wrong password"})
    assert client.write(LOGIN, {"email": person.email, "password": PASSWORD}).status_code == 200
    assert SignInCounter.objects.get().failures == 0


@pytest.mark.django_db(transaction=True)
def test_no_parallel_failure_is_lost(user):
    email = user("BUYER").email

    def fail(_: int) -> bool:
        try:
            return isinstance(
                signing_in.log_in(actor=SYSTEM, email=email, password="wrong", origin=common.Origin("api")),
                Refusal,
            )
        except common.Locked:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        refused = sum(pool.map(fail, range(20)))
    assert refused == 5, "the sixth try and all after it met the lock"
    assert SignInCounter.objects.get().locked_until is not None


@pytest.fixture
def while_hashing(monkeypatch):
    """Run a function on another connection while the first password is hashed."""
    done = []

    def arrange(act):
        encode = MD5PasswordHasher.encode

        def slow(self, *args, **kwargs):
            if not done:
                done.append(None)
                with ThreadPoolExecutor(1) as pool:
                    done[0] = pool.submit(closing, act).result(timeout=20)
            return encode(self, *args, **kwargs)

        monkeypatch.setattr(MD5PasswordHasher, "encode", slow)
        return done

    def closing(act):
        try:
            return act()
        finally:
            connection.close()

    return arrange


@pytest.mark.django_db(transaction=True)
def test_the_users_row_is_not_locked_while_a_password_is_hashed(user, while_hashing):
    person = user("BUYER")

    def lock():
        with transaction.atomic():
            rows = User.objects.select_for_update(nowait=True).filter(pk=person.pk)
            return len(rows) + SignInCounter.objects.select_for_update(nowait=True).count()

    with unguarded_writes():
        SignInCounter(key=counter_key(person.email)).save()
    done = while_hashing(lock)
    origin = common.Origin("api")
    assert isinstance(
        signing_in.log_in(actor=SYSTEM, email=person.email, password=PASSWORD, origin=origin), common.Tokens
    )
    assert done == [2]


@pytest.mark.django_db(transaction=True)
def test_a_password_that_was_changed_while_it_was_hashed_is_refused(user, while_hashing):
    person = user("BUYER")
    new = make_password("quite another passphrase")

    def change():
        with unguarded_writes():
            User.objects.filter(pk=person.pk).update(password=new)

    while_hashing(change)
    origin = common.Origin("api")
    outcome = signing_in.log_in(actor=SYSTEM, email=person.email, password=PASSWORD, origin=origin)
    assert isinstance(outcome, Refusal)
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_lock_set_while_the_right_password_was_hashed_is_effective(user, while_hashing):
    person = user("BUYER")

    def shut():
        until = timezone.now() + timedelta(minutes=15)
        with unguarded_writes():
            SignInCounter(key=counter_key(person.email), locked_until=until).save()

    while_hashing(shut)
    with pytest.raises(common.Locked):
        signing_in.log_in(actor=SYSTEM, email=person.email, password=PASSWORD, origin=common.Origin("api"))


def test_a_refresh_returns_new_tokens(signed_in, client_for, emitted):
    fresh = client_for().write(REFRESH, {"refresh_token": signed_in["refresh_token"]})
    assert fresh.status_code == 200
    assert fresh.json()["session_id"] == signed_in["session_id"]
    assert fresh.json()["refresh_token"] != signed_in["refresh_token"]
    assert RefreshToken.objects.filter(rotated_at=None).count() == 1
    assert emitted("session.refreshed")[-1].aggregate_type == "session"


def test_a_refresh_token_used_twice_ends_the_session_and_emits_an_event(signed_in, client_for, emitted):
    client = client_for()
    fresh = client.write(REFRESH, {"refresh_token": signed_in["refresh_token"]}).json()
    reused = client.write(REFRESH, {"refresh_token": signed_in["refresh_token"]})
    assert (reused.status_code, reused.json()["code"]) == (401, "account.refresh_reused")
    assert len(emitted("session.refresh_reuse_detected")) == 1
    session = Session.objects.get(pk=signed_in["session_id"])
    assert (session.end_reason, session.ended_at is not None) == ("reuse", True)
    client.bearer = fresh["access_token"]
    assert client.read(LIST).status_code == 401
    assert client.write(REFRESH, {"refresh_token": fresh["refresh_token"]}).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_fifty_refreshes_of_one_token_side_by_side_give_one_pair(signed_in, emitted):
    def rotate(_: int) -> str:
        try:
            result = sessions.refresh(actor=SYSTEM, refresh_token=signed_in["refresh_token"])
            return "reused" if isinstance(result, Refusal) else "pair"
        except common.RefreshInvalid:
            return "ended"
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(rotate, range(50)))
    assert (results.count("pair"), results.count("reused"), results.count("ended")) == (1, 1, 48)
    assert len(emitted("session.refresh_reuse_detected")) == 1


def one_time_tokens(person):
    """A live token of the user for each purpose."""
    made = []
    for purpose in OneTimeToken.Purpose:
        row = OneTimeToken(
            purpose=purpose,
            user=person,
            address_hash=secrets.address_hash(person.email),
            key_id=secrets.current_key_id(),
            expires_at=timezone.now() + timedelta(hours=1),
        )
        with unguarded_writes():
            row.save()
        made.append(secrets.token_of(row))
    return made


def challenge_tokens(person):
    """The challenge after the user's first factor."""
    passed = tokens.FirstFactor(person.pk, "password", "", tokens.password_mark(person.password), None)
    now = timezone.now()
    return [tokens.encode_challenge(passed, issued=now, expires=now + timedelta(minutes=5))]


def test_only_a_valid_access_token_authenticates(signed_in, client_for):
    client = client_for()
    claims = tokens.decode("access", signed_in["access_token"])
    assert claims is not None
    person = User.objects.get(pk=claims.user_id)
    now = timezone.now()
    hour = timedelta(hours=1)
    payload = jwt.decode(signed_in["access_token"], options={"verify_signature": False})
    forged = [
        signed_in["refresh_token"],
        *one_time_tokens(person),
        *challenge_tokens(person),
        tokens.encode("access", claims, issued=now - hour, expires=now - timedelta(seconds=6)),
        tokens.encode("access", claims._replace(session_id=uuid4()), issued=now, expires=now + hour),
        tokens.encode("access", claims._replace(user_id=uuid4()), issued=now, expires=now + hour),
        jwt.encode(payload, "another key that is long enough to sign", algorithm="HS256"),
        jwt.encode(payload, None, algorithm="none"),
        jwt.encode(payload, settings.JWT_SIGNING_KEY, algorithm="HS512"),
        "x" * 10_000,
        "",
        "a.b.c",
    ]
    for token in forged:
        client.bearer = token or " "
        answer = client.read(LIST)
        assert (answer.status_code, answer.json()["code"]) == (401, "account.not_authenticated"), token[:40]
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
    client.bearer = signed_in["access_token"]
    assert client.read(LIST).status_code == 200


def test_an_ended_session_or_deactivated_user_is_refused_at_the_next_request(signed_in, client_for):
    client = client_for()
    client.bearer = signed_in["access_token"]
    session = Session.objects.get(pk=signed_in["session_id"])
    person = session.user
    with unguarded_writes():
        person.status = User.Status.DEACTIVATED
        person.save()
    assert client.read(LIST).status_code == 401
    with unguarded_writes():
        person.status = User.Status.ACTIVE
        person.save()
    assert client.read(LIST).status_code == 200
    sessions.log_out(session, actor=SYSTEM)
    assert client.read(LIST).status_code == 401


def test_a_refresh_needs_a_live_session_and_an_active_user(signed_in, client_for):
    client = client_for()
    for token in ("nonsense", signed_in["access_token"]):
        answer = client.write(REFRESH, {"refresh_token": token})
        assert (answer.status_code, answer.json()["code"]) == (401, "account.refresh_invalid")


def test_no_password_or_token_is_in_any_table(signed_in, emitted):
    planted = [signed_in["access_token"], signed_in["refresh_token"], PASSWORD]
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            text = "\n".join(row[0] for row in cursor.fetchall())
            assert not [value for value in planted if value in text], table


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_type": "INTERNAL", "organization_id": None},
        {"user_type": "INTERNAL", "partner_id": uuid4()},
        {"user_type": "EXTERNAL", "organization_id": None, "partner_id": None},
        {"user_type": "APPLICANT"},
        {"user_type": "SUPER_ADMIN", "organization_id": None},
        {"is_superuser": True},
        {"email": "Upper@example.com"},
        {"email": None},
        {"mobile": "9876543210"},
    ],
)
def test_the_database_refuses_inconsistent_users(user, wrong):
    person = user("INTERNAL")
    for name, value in wrong.items():
        setattr(person, name, value)
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        person.save()


def test_rights_come_from_roles_ownership_and_single_grants(user, partner, offer, commodity):
    from guardian.shortcuts import assign_perm

    seller = user("SELLER")
    own, other = offer(seller=seller, live=False), offer(live=False)
    assert seller.has_perm("availability.create", own)
    assert not seller.has_perm("availability.create", other)
    assert access.may_enter(seller, "availability.create"), "any form is enough to enter an endpoint"
    assert not seller.has_perm("availability.create"), "without a row, every row is meant"
    assert not access.may_enter(seller, "availability.approve")
    helper = user("INTERNAL")
    assert not helper.has_perm("availability.create", own)
    assign_perm("availability.create", helper, own)
    helper = User.objects.get(pk=helper.pk)
    assert helper.has_perm("availability.create", own)
    assert not helper.has_perm("availability.create", other)
    assert not helper.has_perm("commodity.create", own), "a right of another module is simply not held"
    assert user().has_perm("availability.approve", other), "a superuser holds every capability"


def test_a_grant_on_an_offer_covers_its_reservations(user, offer):
    from guardian.shortcuts import assign_perm

    from apps.availability.services import stock as availability

    live, other, helper = offer(), offer(), user("BROKER")
    holds = [availability.reserve(o, actor=user("BUYER"), quantity=Decimal(1)) for o in (live, other)]
    assign_perm("availability.release", helper, live)
    assert [helper.has_perm("availability.release", hold) for hold in holds] == [True, False]


def test_removed_rights_have_no_effect_from_the_next_request(user, client_for):
    person = user("INTERNAL_MASTERDATA")
    client = client_for(person)
    body = {"code": "JUTE", "name": "Jute", "category": "FIBRE"}
    assert client.write(LIST, body).status_code == 201
    with unguarded_writes():
        person.memberships.filter(role__name="INTERNAL_MASTERDATA").delete()
    assert client.write(LIST, {**body, "code": "J2", "name": "J2"}).status_code == 403


def test_a_deviation_made_at_run_time_survives_a_sync(user):
    assert access.sync(check=True) == []
    with unguarded_writes():
        PolicyDeviation.objects.create(
            role="INTERNAL_MANAGER", capability="availability.approve", scope="everywhere", operation="remove"
        )
        PolicyDeviation.objects.create(
            role="BROKER", capability="availability.create", scope="own", operation="add"
        )
    drift = access.sync()
    assert {(d.operation, d.name) for d in drift} == {
        ("remove", "INTERNAL_MANAGER: availability.approve"),
        ("add", "BROKER: availability.create@own"),
    }
    assert access.sync() == []
    assert not user("INTERNAL_MANAGER").has_perm("availability.approve")
    assert access.may_enter(user("BROKER"), "availability.create")


@pytest.mark.parametrize("kind", ["access", "refresh"])
@pytest.mark.parametrize(
    ("member", "seconds", "accepted"),
    [
        ("iat", 4, True),
        ("iat", 15, False),
        ("nbf", 4, True),
        ("nbf", 15, False),
        ("exp", -1, True),
        ("exp", -6, False),
    ],
)
def test_the_clock_of_another_host_may_differ_by_five_seconds(user, kind, member, seconds, accepted):
    now = timezone.now()
    session = begin_session(user("SELLER"))
    claims = tokens.Claims(session.user_id, session.pk, uuid7())
    whole = tokens.encode(kind, claims, issued=now, expires=now + timedelta(minutes=5))
    payload = jwt.decode(whole, options={"verify_signature": False})
    payload[member] = int(now.timestamp()) + seconds
    shifted = jwt.encode(payload, settings.JWT_SIGNING_KEY, algorithm=tokens.ALGORITHM)
    assert tokens.decode(kind, shifted) == (claims if accepted else None)
