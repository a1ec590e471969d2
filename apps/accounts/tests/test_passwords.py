"""Reset and change of the password."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.utils import timezone

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, PasswordHistory, Session, SignInCounter, User
from apps.accounts.services import common, joining, passwords
from apps.accounts.tests.factories import AUTH, NEW_PASSWORD, in_threads, status_and_code, token, with_factor
from config.testing import PASSWORD, begin_session
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
FORGOT, RESET, CHANGE = f"{AUTH}/forgot-password", f"{AUTH}/reset-password", f"{AUTH}/change-password"
LOGIN = f"{AUTH}/login"
WEAK = "qwerty123456"


def test_a_reset_sets_the_password_ends_all_sessions_and_signs_nobody_in(client_for, user, emitted):
    person = user("SELLER")
    client = client_for(person)
    for _ in range(5):
        client_for().write(LOGIN, {"email": person.email, "password": "wrong"})
    assert client_for().write(FORGOT, {"email": person.email.upper()}).status_code == 202
    asked = emitted("password.reset_requested")[-1]
    assert (asked.aggregate_type, asked.payload["user_id"]) == ("one_time_token", str(person.pk))
    answer = client_for().write(RESET, {"token": token("reset_password"), "new_password": NEW_PASSWORD})
    assert (answer.status_code, answer.content) == (204, b"")
    assert emitted("password.reset")[-1].payload["sessions_revoked"] == 1
    assert client.read(f"{AUTH}/me").status_code == 401
    assert Session.objects.get().end_reason == "password"
    assert client_for().write(LOGIN, {"email": person.email, "password": NEW_PASSWORD}).status_code == 200
    assert not OneTimeToken.objects.live().exists()


def test_a_reset_leaves_the_second_factor_on(client_for, user):
    person = user("SELLER")
    with_factor(person)
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    passwords.reset_password(actor=SYSTEM, token=token("reset_password"), new_password=NEW_PASSWORD)
    answer = client_for().write(LOGIN, {"email": person.email, "password": NEW_PASSWORD})
    assert set(answer.json()) == {"challenge_token", "expires_at", "methods"}


@pytest.mark.parametrize("who", ["unknown", "pending", "invited", "deactivated", "unverified"])
def test_only_an_active_user_with_a_verified_address_gets_a_link(client_for, user, emitted, who):
    email = "nobody@example.com"
    if who == "unverified":
        email = user("SELLER", email_verified_at=None).email
    elif who != "unknown":
        email = user("SELLER", status=who).email
    answer = client_for().write(FORGOT, {"email": email})
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert emitted("password.reset_requested")[-1].payload["user_id"] is None
    row = OneTimeToken.objects.get()
    with pytest.raises(common.TokenInvalid):
        passwords.reset_password(actor=SYSTEM, token=secrets.token_of(row), new_password=NEW_PASSWORD)


def test_a_new_link_voids_the_earlier_one_and_expires_after_half_an_hour(user):
    person = user("SELLER")
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    older = token("reset_password")
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    with pytest.raises(common.TokenInvalid):
        passwords.reset_password(actor=SYSTEM, token=older, new_password=NEW_PASSWORD)
    row = OneTimeToken.objects.live().get()
    assert row.expires_at - row.created_at < timedelta(minutes=30, seconds=1)
    with unguarded_writes():
        OneTimeToken.objects.update(expires_at=timezone.now())
    with pytest.raises(common.TokenInvalid):
        passwords.reset_password(actor=SYSTEM, token=token("reset_password"), new_password=NEW_PASSWORD)


def test_a_used_link_voids_the_other_live_links(user):
    person = user("SELLER")
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    waiting = OneTimeToken.objects.get()
    with unguarded_writes():
        OneTimeToken.objects.update(voided_at=timezone.now())
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    with unguarded_writes():
        OneTimeToken.objects.update(voided_at=None)  # as when both were asked for at the same moment
    passwords.reset_password(actor=SYSTEM, token=token("reset_password"), new_password=NEW_PASSWORD)
    with pytest.raises(common.TokenInvalid):
        passwords.reset_password(
            actor=SYSTEM, token=secrets.token_of(waiting), new_password="yet another passphrase"
        )


@pytest.mark.django_db(transaction=True)
def test_of_links_from_twenty_concurrent_requests_one_is_live(user):
    person = user("SELLER")
    in_threads(lambda _: passwords.request_password_reset(actor=SYSTEM, email=person.email))
    assert (OneTimeToken.objects.count(), OneTimeToken.objects.live().count()) == (20, 1)


def test_a_link_for_a_former_address_sets_no_password(user):
    person = user("SELLER")
    passwords.request_password_reset(actor=SYSTEM, email=f" {person.email.upper()}")
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(email="other@example.com")
    with pytest.raises(common.TokenInvalid):
        passwords.reset_password(actor=SYSTEM, token=token("reset_password"), new_password=NEW_PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_uses_of_a_reset_link_are_one(user):
    person = user("SELLER")
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    link = token("reset_password")
    results = in_threads(
        lambda n: passwords.reset_password(
            actor=SYSTEM, token=link, new_password=f"passphrase number {n:02d}"
        )
    )
    assert (results.count(None), results.count(common.TokenInvalid)) == (1, 19)


def test_one_of_the_last_five_passwords_is_refused(user):
    person = user("SELLER")

    def change(old, new):
        return passwords.change_password(
            User.objects.get(pk=person.pk),
            actor=person,
            current_password=old,
            new_password=new,
            origin=common.Origin("api"),
        )

    had = [PASSWORD, *(f"passphrase number {n}" for n in range(5))]
    for old, new in pairwise(had):
        change(old, new)
    for reused in had[1:]:
        with pytest.raises(common.PasswordReused):
            change(had[-1], reused)
    change(had[-1], had[0])
    assert PasswordHistory.objects.filter(user=person).count() == 5


def test_changing_the_password_needs_the_current_one_and_ends_other_sessions(client_for, user, emitted):
    person = user("SELLER")
    client, other = client_for(person), client_for(person)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert status_and_code(client.write(CHANGE, body | {"current_password": "wrong"})) == (
        403,
        "account.reauthentication_failed",
    )
    assert emitted("user.login_failed")[-1].payload["reason"] == "reauthentication_failed"
    assert SignInCounter.objects.get().failures == 1
    assert client.write(CHANGE, body).status_code == 204
    assert SignInCounter.objects.get().failures == 0
    assert emitted("password.changed")[-1].payload["sessions_revoked"] == 1
    assert client.read(f"{AUTH}/me").status_code == 200
    assert other.read(f"{AUTH}/me").status_code == 401


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (WEAK, "account.password_weak"),
        (PASSWORD, "account.password_reused"),
        (PASSWORD.replace("a", "ａ"), "account.password_reused"),
    ],
)
def test_cheap_checks_are_made_before_a_password_is_hashed(client_for, user, hashes, new, problem):
    client = client_for(user("SELLER"))
    hashes.clear()
    answer = client.write(CHANGE, {"current_password": PASSWORD, "new_password": new})
    assert (status_and_code(answer), hashes) == ((422, problem), [])


@pytest.mark.parametrize("path", ["reset-password", "invitations/accept", "register"])
def test_a_weak_password_or_invalid_link_is_refused_before_a_password_is_hashed(
    client_for, user, organization, hashes, path
):
    person = user("SELLER")
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    joining.invite(
        actor=SYSTEM,
        email="asha@example.com",
        full_name="Asha Patel",
        user_type="INTERNAL",
        organization_id=organization().pk,
    )
    weak, whole = WEAK, {"terms_version": "1", "is_adult": True}
    body = {
        "reset-password": {"token": token("reset_password"), "new_password": weak},
        "invitations/accept": {"token": token("invitation"), "password": weak, **whole},
        "register": {"email": "x@example.com", "full_name": "X Y", "password": weak, **whole},
    }[path]
    hashes.clear()
    assert status_and_code(client_for().write(f"{AUTH}/{path}", body)) == (422, "account.password_weak")
    if "token" in body:
        answer = client_for().write(f"{AUTH}/{path}", body | {"token": "x.y"})
        assert status_and_code(answer) == (409, "account.token_invalid")
    assert hashes == []


def test_a_profile_change_without_its_proof_is_refused_before_a_password_is_hashed(client_for, user, hashes):
    person = user("SELLER")
    body = {
        "full_name": person.full_name,
        "email": person.email,
        "mobile": "+919876543210",
        "locale": "en-IN",
        "notify_email": True,
        "notify_sms": False,
        "digest": "immediate",
        "current_password": PASSWORD,
    }
    client = client_for(person)
    hashes.clear()
    answer = client.write(f"{AUTH}/me", body, method="PUT", if_match=person.version)
    assert (status_and_code(answer), hashes) == ((422, "account.mobile_proof_required"), [])


@pytest.fixture
def hashes(monkeypatch):
    """A list with one item for each hashed password."""
    made = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda self, *a, **k: made.append(1) or encode(self, *a, **k)
    )
    return made


def test_wrong_current_passwords_lock_like_those_of_a_sign_in(client_for, user):
    person = user("SELLER")
    client = client_for(person)
    for _ in range(5):
        client.write(CHANGE, {"current_password": "wrong", "new_password": NEW_PASSWORD})
    right = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert status_and_code(client.write(CHANGE, right)) == (429, "account.locked")
    assert status_and_code(client_for().write(LOGIN, {"email": person.email, "password": PASSWORD})) == (
        429,
        "account.locked",
    )


def test_a_user_without_a_password_requests_a_link(client_for, user):
    person = user("SELLER", password=None)
    answer = client_for(person).write(CHANGE, {"current_password": "x", "new_password": NEW_PASSWORD})
    assert status_and_code(answer) == (409, "account.no_password")
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    passwords.reset_password(actor=SYSTEM, token=token("reset_password"), new_password=NEW_PASSWORD)
    assert client_for().write(LOGIN, {"email": person.email, "password": NEW_PASSWORD}).status_code == 200


def test_unicode_variants_of_a_password_are_equal(client_for, user):
    person = user("SELLER", password="Ａ ﬁne passphrase of mine")
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    passwords.reset_password(
        actor=SYSTEM, token=token("reset_password"), new_password="Ａ ﬁne passphrase of mine"
    )
    answer = client_for().write(LOGIN, {"email": person.email, "password": "A fine passphrase of mine"})
    assert answer.status_code == 200


def test_production_hashes_with_argon2id():
    from config import settings as real

    assert real.PASSWORD_HASHERS == ["django.contrib.auth.hashers.Argon2PasswordHasher"]
    from django.contrib.auth.hashers import Argon2PasswordHasher

    assert Argon2PasswordHasher().encode("x", "12345678").startswith("argon2$argon2id$")


def test_other_users_sessions_do_not_end(user):
    person, other = user("SELLER"), user("SELLER")
    begin_session(person)
    stored = begin_session(other)
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    passwords.reset_password(actor=SYSTEM, token=token("reset_password"), new_password=NEW_PASSWORD)
    assert list(Session.objects.live()) == [stored]
