"""Administration of users, and combinations of roles."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import OneTimeToken, OtpChallenge, RefreshToken, Session, SignInCounter, User
from apps.accounts.services import joining, passwords, rights, signing_in, users
from apps.accounts.services import roles as roles_services
from apps.accounts.services.roles import check_roles
from apps.accounts.tests.factories import AUTH, MOBILE, in_threads, prove, status_and_code, with_factor
from config.testing import PASSWORD, begin_session, totp_code
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, Invalid
from erp.models import unguarded_writes
from erp.services import Refusal

pytestmark = pytest.mark.django_db
LOGIN, ME = f"{AUTH}/login", f"{AUTH}/me"


@pytest.fixture
def boss(user):
    return user("INTERNAL_COMPLIANCE")


def test_a_deactivated_user_is_signed_out_at_once_and_can_be_reactivated(client_for, user, boss, emitted):
    person = user("SELLER")
    client = client_for(person)
    users.deactivate(person, actor=boss, reason_code="left")
    assert client.read(ME).status_code == 401
    assert Session.objects.get().end_reason == "deactivated"
    assert emitted("user.deactivated")[-1].payload == {
        "user_id": str(person.pk), "reason_code": "left", "by": str(boss.pk),
    }  # fmt: skip
    with pytest.raises(joining.InvalidState):
        users.deactivate(person, actor=boss)
    users.reactivate(person, actor=boss)
    assert client_for().write(LOGIN, {"email": person.email, "password": PASSWORD}).status_code == 200
    assert client.read(ME).status_code == 401, "the old session stays ended"
    with pytest.raises(joining.InvalidState):
        users.reactivate(person, actor=boss)


def test_a_user_without_a_verified_address_is_invited_again_instead_of_reactivated(user, boss):
    person = user("SELLER", status="invited", email_verified_at=None)
    users.deactivate(person, actor=boss)
    with pytest.raises(joining.InvalidState):
        users.reactivate(person, actor=boss)


@pytest.mark.parametrize(
    "service", ["deactivate", "reset_second_factor", "end_sessions", "unlock", "reactivate"]
)
def test_administrators_cannot_act_on_themselves_or_a_super_administrator(user, boss, service):
    with pytest.raises(users.OwnAccount):
        getattr(users, service)(boss, actor=boss)
    with pytest.raises(roles_services.RoleNotAllowed):
        getattr(users, service)(user(), actor=boss)
    with pytest.raises(CapabilityMissing):
        getattr(users, service)(user("SELLER"), actor=user("INTERNAL_MANAGER"))


def test_only_a_super_administrator_erases_another_or_proposes_rights_for_one(user, boss):
    one, two = user(), user()
    with pytest.raises(roles_services.RoleNotAllowed):
        users.erase(two, actor=boss, reason_code="asked")
    what = {"capability": "availability.create", "operation": "add", "reason": "Needed for the season."}
    with pytest.raises(roles_services.RoleNotAllowed):
        rights.propose_grant(two, actor=boss, **what)
    assert rights.propose_grant(two, actor=one, **what).status == "proposed"
    assert users.erase(two, actor=one, reason_code="asked").status == "erased"


@pytest.mark.parametrize("service", ["deactivate", "reactivate", "reset_second_factor", "unlock"])
def test_the_reason_is_chosen_from_a_list(client_for, user, boss, emitted, service):
    person = user("SELLER", status="deactivated" if service == "reactivate" else "active")
    if service == "reset_second_factor":
        with_factor(person)
    client_for().write(LOGIN, {"email": person.email, "password": "wrong"})
    before = len(emitted())
    with pytest.raises(ValueError, match="Asha's phone fell"):
        getattr(users, service)(person, actor=boss, reason_code="Asha's phone fell into the well")
    assert len(emitted()) == before


def test_the_last_super_administrator_cannot_be_deactivated(user):
    one, two = user(), user()
    users.deactivate(two, actor=one)
    with pytest.raises(users.LastAdministrator):
        users.deactivate(one, actor=SYSTEM)
    with pytest.raises(users.LastAdministrator):
        users.erase(one, actor=SYSTEM, reason_code="asked")


@pytest.mark.django_db(transaction=True)
def test_two_super_administrators_who_deactivate_each_other_leave_one(user):
    for _ in range(5):
        pair = [user(), user()]
        results = in_threads(lambda n, pair=pair: users.deactivate(pair[n], actor=pair[1 - n]).status, 2)
        assert sorted(map(str, results)) == sorted(["deactivated", str(users.LastAdministrator)])
        assert User.objects.filter(is_superuser=True, status="active").count() == 1
        with unguarded_writes():
            User.objects.all().delete()


def test_ending_all_sessions_emits_an_event_for_each(client_for, user, boss, emitted):
    person = user("SELLER")
    clients = [client_for(person), client_for(person)]
    assert users.end_sessions(person, actor=boss).revoked == 2
    assert [event.payload["reason"] for event in emitted("session.revoked")] == ["administrator"] * 2
    assert [client.read(ME).status_code for client in clients] == [401, 401]


def test_an_administrator_unlocks_a_user(client_for, user, boss, emitted):
    person = user("SELLER")
    for _ in range(5):
        client_for().write(LOGIN, {"email": person.email, "password": "wrong"})
    right = {"email": person.email, "password": PASSWORD}
    assert status_and_code(client_for().write(LOGIN, right)) == (429, "account.locked")
    users.unlock(person, actor=boss)
    assert client_for().write(LOGIN, right).status_code == 200
    users.unlock(person, actor=boss)
    assert len(emitted("user.unlocked")) == 1


def test_an_applicant_is_admitted_to_its_partner_and_in_no_other_way(client_for, user, partner, emitted):
    person, firm = user("APPLICANT"), partner()
    users.admit(person, actor=SYSTEM, partner_id=firm.pk, roles=["PARTNER_ADMIN", "SELLER"])
    stored = User.objects.get(pk=person.pk)
    assert (stored.user_type, stored.partner_id, stored.role_names) == (
        "EXTERNAL", firm.pk, ["PARTNER_ADMIN", "SELLER"],
    )  # fmt: skip
    assert emitted("user.admitted")[-1].payload["partner_id"] == str(firm.pk)
    with pytest.raises(Invalid, match="not valid"):
        users.admit(user("APPLICANT"), actor=SYSTEM, partner_id=uuid4(), roles=["SELLER"])
    with pytest.raises(joining.InvalidState):
        users.admit(stored, actor=SYSTEM, partner_id=firm.pk, roles=["SELLER"])
    with pytest.raises(roles_services.RoleNotAllowed):
        users.admit(user("APPLICANT"), actor=SYSTEM, partner_id=firm.pk, roles=["INTERNAL"])


def test_external_users_get_only_roles_of_their_partner(user, boss, emitted):
    person = user("SELLER")
    within = ["PARTNER_ADMIN", "SELLER"]
    users.set_partner_roles(person, actor=SYSTEM, roles=["PARTNER_ADMIN"], within=within)
    assert User.objects.get(pk=person.pk).role_names == ["PARTNER_ADMIN"]
    payload = emitted("user.roles_changed")[-1].payload
    assert (payload["added"], payload["removed"]) == (["PARTNER_ADMIN"], ["SELLER"])
    for roles, problem in (
        (["BUYER"], roles_services.RoleNotAllowed),
        (["INTERNAL"], roles_services.RoleNotAllowed),
        ([], roles_services.RoleRequired),
    ):
        with pytest.raises(problem):
            users.set_partner_roles(person, actor=SYSTEM, roles=roles, within=within)
    with pytest.raises(roles_services.RoleNotAllowed):
        users.set_partner_roles(boss, actor=SYSTEM, roles=["SELLER"], within=within)
    before = len(emitted())
    users.set_partner_roles(person, actor=SYSTEM, roles=["PARTNER_ADMIN"], within=within)
    assert len(emitted()) == before


@pytest.mark.parametrize(
    ("kind", "roles", "problem"),
    [
        ("INTERNAL", ["AUDITOR", "INTERNAL"], roles_services.RoleNotAllowed),
        ("INTERNAL", ["INTERNAL_MANAGER"], roles_services.RoleNotAllowed),
        ("INTERNAL", ["INTERNAL", "SELLER"], roles_services.RoleNotAllowed),
        ("EXTERNAL", ["INTERNAL"], roles_services.RoleNotAllowed),
        ("EXTERNAL", ["SELLER", "INTERNAL"], roles_services.RoleNotAllowed),
        ("SUPER_ADMIN", ["INTERNAL"], roles_services.RoleNotAllowed),
        ("APPLICANT", ["SELLER"], roles_services.RoleNotAllowed),
        ("INTERNAL", [], roles_services.RoleRequired),
        ("EXTERNAL", [], roles_services.RoleRequired),
        ("APPLICANT", [], roles_services.RoleRequired),
        ("INTERNAL", ["INTERNAL", "INTERNAL_MANAGER", "INTERNAL_FINANCE"], roles_services.RolesIncompatible),
        (
            "INTERNAL",
            ["INTERNAL", "INTERNAL_MANAGER", "INTERNAL_COMPLIANCE"],
            roles_services.RolesIncompatible,
        ),
        (
            "INTERNAL",
            ["INTERNAL", "INTERNAL_FINANCE", "INTERNAL_COMPLIANCE"],
            roles_services.RolesIncompatible,
        ),
    ],
)
def test_roles_not_allowed_for_the_user_type(kind, roles, problem):
    with pytest.raises(problem):
        check_roles(kind, frozenset(roles))


@pytest.mark.parametrize(
    ("kind", "roles"),
    [
        ("INTERNAL", ["AUDITOR"]),
        ("INTERNAL", ["INTERNAL"]),
        ("INTERNAL", ["INTERNAL", "INTERNAL_MANAGER", "INTERNAL_DIRECTOR", "INTERNAL_MASTERDATA"]),
        ("EXTERNAL", ["SELLER", "BUYER", "PARTNER_ADMIN"]),
        ("APPLICANT", ["APPLICANT"]),
        ("SUPER_ADMIN", []),
    ],
)
def test_roles_allowed_for_the_user_type(kind, roles):
    check_roles(kind, frozenset(roles))


def test_erasing_removes_personal_data_and_leaves_the_id(client_for, user, emitted):
    person = user("SELLER", full_name="Asha Patel", mobile=MOBILE, mobile_verified_at=timezone.now())
    with_factor(person)
    client = client_for(person)
    with unguarded_writes():
        Session.objects.update(device_label="Asha's phone")
    prove(purpose="sign_in")
    prove(purpose="prove_number")
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    with unguarded_writes():
        # A sign-up that was overtaken: its password stayed with the token.
        OneTimeToken(
            purpose="sign_up",
            user=person,
            new_password="md5$x",
            key_id="test",
            expires_at=timezone.now(),
        ).save()
    users.erase(person, actor=SYSTEM, reason_code="asked")
    stored = User.objects.get(pk=person.pk)
    assert (stored.full_name, stored.email, stored.mobile, stored.status) == (
        "Erased person",
        None,
        None,
        "erased",
    )
    assert stored.erased_at is not None
    assert not stored.has_usable_password()
    assert not stored.has_second_factor
    assert client.read(ME).status_code == 401
    assert not OneTimeToken.objects.live().exists()
    with connection.cursor() as cursor:
        for table in ("account_user", "account_session", "account_otpchallenge", "account_totpdevice"):
            cursor.execute(f"SELECT t::text FROM {table} t")
            text = "\n".join(row[0] for row in cursor.fetchall())
            for value in ("Asha", person.email, MOBILE, "127.0.0.1"):
                assert value not in text, (table, value)
    assert {(each.number, each.is_live) for each in OtpChallenge.objects.all()} == {("", False)}
    assert not OneTimeToken.objects.exclude(new_password="").exists()
    with pytest.raises(joining.InvalidState):
        users.erase(stored, actor=SYSTEM, reason_code="asked")


def test_expired_rows_are_purged_in_batches(client_for, user, emitted):
    person = user("SELLER", former_email="before@example.com")
    user("SELLER", former_email="lately@example.com")
    client_for().write(LOGIN, {"email": person.email, "password": "wrong"})
    client_for().write(LOGIN, {"email": person.email, "password": PASSWORD})
    begin_session(person)
    prove()
    passwords.request_password_reset(actor=SYSTEM, email=person.email)
    assert sum(users.purge(actor=SYSTEM).values()) == 0
    assert emitted("account.purged") == []
    month, year = timezone.now() - timedelta(days=31), timezone.now() - timedelta(days=366)
    with unguarded_writes():
        Session.objects.filter(pk=Session.objects.earliest("id").pk).update(ended_at=year, end_reason="user")
        OneTimeToken.objects.update(expires_at=month)
        OtpChallenge.objects.update(expires_at=month)
        SignInCounter.objects.update(updated_at=month)
        User.objects.filter(pk=person.pk).update(email_verified_at=month)
    counts = users.purge(actor=SYSTEM)
    assert counts == {"sessions": 1, "tokens": 1, "challenges": 1, "counters": 1, "addresses": 1}
    stored = User.objects.get(pk=person.pk)
    assert (stored.former_email, stored.version) == (None, person.version)
    assert emitted("account.purged")[-1].payload["counts"] == counts
    assert Session.objects.count() == 1
    assert not RefreshToken.objects.exclude(session__in=Session.objects.all()).exists()


def test_a_reauthentication_is_valid_for_ten_minutes(user, emitted):
    person = user("INTERNAL")
    session = begin_session(person, door="admin")
    assert isinstance(signing_in.reauthenticate(session, actor=person, password="wrong"), Refusal)
    for proof in ({"password": PASSWORD}, {"code": totp_code()}):
        reauthenticated = signing_in.reauthenticate(session, actor=person, **proof)
        assert reauthenticated.is_reauthenticated(timezone.now() + timedelta(minutes=9))
        assert not reauthenticated.is_reauthenticated(timezone.now() + timedelta(minutes=10))
    assert isinstance(signing_in.reauthenticate(session, actor=person, code=totp_code()), Refusal), (
        "a code counts once"
    )
    assert len(emitted("user.reauthenticated")) == 2
