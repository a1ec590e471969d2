"""Sign-in, sessions and users in the staff portal."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session as DjangoSession
from django.utils import timezone

from apps.accounts.models import Session, SignInCounter, User
from config.testing import PASSWORD, totp_code
from erp.admin.testing import StaffClient, controls
from erp.api import throttling
from erp.models import unguarded_writes

LOGIN = "/admin/login/"


def is_open(staff: StaffClient) -> bool:
    return staff.get("/admin/").status_code == 200


def enter(person: User) -> StaffClient:
    """Sign in by both steps of the form."""
    staff = StaffClient()
    asked = staff.sign_in(person.email, PASSWORD)
    assert asked.status_code == 200, asked.context["form"].errors
    answer = staff.post(LOGIN, {**controls(asked, "login-form"), "code": totp_code()})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    return staff


def test_staff_sign_in_by_password_and_code(user, assert_emitted):
    from apps.accounts import events

    person = user("INTERNAL")
    asked = StaffClient().sign_in(person.email, PASSWORD)
    assert (asked.status_code, asked["Cache-Control"]) == (200, "no-store")
    assert not Session.objects.exists()
    staff = enter(person)
    session = Session.objects.get()
    assert (session.user, session.door, session.second_factor) == (person, "admin", "totp")
    assert session.absolute_expires_at - session.created_at < timedelta(hours=12, seconds=5)
    assert_emitted(events.UserLoggedIn, session_id=str(session.pk), door="admin")
    assert is_open(staff)


def test_a_wrong_code_is_counted_and_a_recovery_code_is_accepted_once(user, emitted):
    from apps.accounts import secrets
    from apps.accounts.models import RecoveryCode

    person = user("INTERNAL")
    code = secrets.new_recovery_code()
    with unguarded_writes():
        RecoveryCode(user=person, digest=secrets.recovery_digest(person, code)).save()
    form = controls(StaffClient().sign_in(person.email, PASSWORD), "login-form")
    wrong = StaffClient().post(LOGIN, {**form, "code": "000000"})
    assert wrong.context["form"].non_field_errors() == ["Incorrect code."]
    assert emitted("user.login_failed")[-1].payload["reason"] == "second_factor_invalid"
    staff = StaffClient()
    assert staff.post(LOGIN, {**form, "code": code.lower().replace("-", "")}).status_code == 302
    assert is_open(staff)
    assert StaffClient().post(LOGIN, {**form, "code": code}).status_code == 200


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (f"{'a' * 245}@example.com", PASSWORD),
        ("", PASSWORD),
        ("known", ""),
        ("known", "x" * 129),
        ("known", "a NUL\u0000 inside"),
    ],
)
def test_a_malformed_sign_in_is_not_attempted_and_not_counted(user, emitted, email, password):
    person = user("INTERNAL")
    answer = StaffClient().sign_in(person.email if email == "known" else email, password)
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not SignInCounter.objects.exists()
    assert emitted() == []


@pytest.mark.parametrize("code", ["12345a", "1234567", "", "٣٤٥٦٧٨", "AAAA-BBBB-CCCC-DDD1", "x" * 41])
def test_a_malformed_code_is_not_counted_as_an_attempt(user, emitted, code):
    form = controls(StaffClient().sign_in(user("INTERNAL").email, PASSWORD), "login-form")
    answer = StaffClient().post(LOGIN, {**form, "code": code})
    assert answer.status_code == 200
    assert answer.context["form"].errors["code"]
    assert not SignInCounter.objects.exists()
    assert emitted() == []


def test_an_expired_second_step_starts_again(user):
    answer = StaffClient().post(LOGIN, {"challenge_token": "x.y.z", "code": totp_code()})
    assert (answer.status_code, answer["Location"]) == (302, LOGIN)


@pytest.mark.parametrize("roles", [("SELLER",), ("BUYER",), ("PARTNER_ADMIN",)])
def test_an_external_user_cannot_sign_in_to_the_staff_portal(user, roles):
    person = user(*roles)
    staff = StaffClient()
    right, wrong = staff.sign_in(person.email, PASSWORD), staff.sign_in(f"{uuid4()}@example.com", PASSWORD)
    for answer in (right, wrong):
        assert answer.status_code == 200
        assert answer.context["form"].non_field_errors() == ["Incorrect e-mail or password."]
    assert not is_open(staff)
    assert not Session.objects.exists()


def test_five_wrong_passwords_lock(user, emitted):
    person = user("INTERNAL")
    staff = StaffClient()
    for _ in range(5):
        answer = staff.sign_in(person.email, "a wrong passphrase")
        assert answer.context["form"].non_field_errors() == ["Incorrect e-mail or password."]
    answer = staff.sign_in(person.email, PASSWORD)
    assert "Too many failed attempts" in answer.content.decode()
    assert not is_open(staff)
    assert len(emitted("user.login_failed")) == 5
    assert len(emitted("user.locked")) == 1


def test_failures_in_the_api_and_the_staff_portal_are_counted_together(user, client_for):
    person = user("INTERNAL")
    for _ in range(3):
        client_for().write("/api/v1/auth/login", {"email": person.email, "password": "wrong"})
    for _ in range(2):
        StaffClient().sign_in(person.email, "wrong")
    assert (
        client_for().write("/api/v1/auth/login", {"email": person.email, "password": PASSWORD}).status_code
        == 429
    )


def test_signing_in_changes_no_user_row(user):
    person = user("INTERNAL")
    enter(person)
    stored = User.objects.get(pk=person.pk)
    assert (stored.version, stored.updated_at, stored.password) == (
        person.version,
        person.updated_at,
        person.password,
    )


def test_signing_out_ends_the_accounts_session(user, staff_client_for, emitted):
    staff = staff_client_for(user("INTERNAL"))
    staff.post("/admin/logout/")
    session = Session.objects.get()
    assert session.end_reason == "signed_out"
    assert len(emitted("user.logged_out")) == 1
    assert not is_open(staff)


def test_an_ended_session_is_refused_at_the_next_request(user, staff_client_for):
    from apps.accounts.services import sessions
    from erp.access import SYSTEM

    staff = staff_client_for(user("INTERNAL"))
    assert is_open(staff)
    sessions.log_out(Session.objects.get(), actor=SYSTEM)
    assert not is_open(staff)
    assert "Your session has ended" in staff.get(LOGIN).content.decode()


@pytest.mark.parametrize("field", ["expires_at", "absolute_expires_at"])
def test_a_session_ends_after_twelve_hours(user, staff_client_for, field):
    staff = staff_client_for(user("INTERNAL"))
    with unguarded_writes():
        Session.objects.update(**{field: timezone.now() - timedelta(seconds=1)})
    assert not is_open(staff)


def test_a_session_ends_after_thirty_idle_minutes(user, staff_client_for):
    staff = staff_client_for(user("INTERNAL"))
    stored = DjangoSession.objects.get()
    assert timedelta(minutes=29) < stored.expire_date - timezone.now() <= timedelta(minutes=30)
    DjangoSession.objects.update(expire_date=timezone.now() + timedelta(minutes=1))
    store = staff.session
    store["seen"] -= 61
    store.save()
    DjangoSession.objects.update(expire_date=timezone.now() + timedelta(minutes=1))
    assert is_open(staff)  # a click after more than a minute moves the end
    assert DjangoSession.objects.get().expire_date > timezone.now() + timedelta(minutes=29)
    DjangoSession.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert not is_open(staff)


def test_a_deactivated_user_is_signed_out_at_once(user, staff_client_for):
    person = user("INTERNAL")
    staff = staff_client_for(person)
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(status="deactivated")
    assert not is_open(staff)


def test_a_cookie_with_another_users_session_is_refused(user, staff_client_for):
    one, two = staff_client_for(user("INTERNAL")), staff_client_for(user("INTERNAL"))
    store = one.session
    store["account_session"] = two.session["account_session"]
    store.save()
    assert not is_open(one)


def test_signing_in_as_somebody_else_ends_the_earlier_session(user, staff_client_for):
    first, second = user("INTERNAL"), user("INTERNAL")
    staff = staff_client_for(first)
    earlier = Session.objects.get()
    form = controls(StaffClient().sign_in(second.email, PASSWORD), "login-form")
    staff.post(LOGIN, {**form, "code": totp_code()})
    earlier.refresh_from_db()
    assert staff.get("/admin/").context["user"] == second
    assert earlier.ended_at is None or earlier.end_reason == "signed_out"


def test_sign_in_is_refused_when_failures_cannot_be_counted(user, settings, monkeypatch):
    monkeypatch.setattr(throttling._local, "quiet_until", 0.0)  # and put back, for the tests that follow
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    answer = StaffClient().sign_in(user("INTERNAL").email, PASSWORD)
    assert "temporarily unavailable" in answer.content.decode()
    assert not Session.objects.exists()


@pytest.mark.parametrize("path", ["prove", "second-factor"])
def test_the_admin_counts_passwords_with_those_of_the_api(user, staff_client_for, client_for, settings, path):
    settings.THROTTLE_LIMITS = settings.THROTTLE_LIMITS | {"password": (2, 3600)}
    person = user("INTERNAL_MANAGER")
    for _ in range(2):
        client_for(person).write("/api/v1/auth/mfa/setup", {"password": PASSWORD})
    answer = staff_client_for(person, reauthenticated=False).post(
        f"/admin/{path}/", {"password": PASSWORD, "code": totp_code(), "key": uuid4().hex}
    )
    assert "Try again in" in answer.content.decode()
    assert Session.objects.get(user=person, door="admin").reauthenticated_at is None


ADD = "/admin/account/user/add/"


def test_compliance_invites_staff(user, staff_client_for, assert_emitted, organization):
    from apps.accounts import events, secrets

    answer = staff_client_for(user("INTERNAL_COMPLIANCE")).fill(
        ADD,
        email="asha@example.com",
        full_name="Asha Patel",
        user_type="INTERNAL",
        organization_id=str(organization().pk),
    )
    assert answer.status_code == 302, answer.context["errors"]
    assert_emitted(events.UserInvited, roles=["INTERNAL"])
    person = User.objects.get(email="asha@example.com")
    assert (person.status, person.role_names) == ("invited", ["INTERNAL"])
    assert secrets.invitation_of(person)


def test_only_staff_are_invited_here(user, staff_client_for):
    staff = staff_client_for(user())
    form = controls(staff.get(ADD))
    assert not {"roles", "partner_id"} & set(form)
    answer = staff.post(
        ADD,
        {
            **form,
            "email": "asha@example.com",
            "full_name": "Asha Patel",
            "user_type": "EXTERNAL",
            "roles": "PARTNER_ADMIN",
            "partner_id": str(uuid4()),
        },
    )
    assert answer.status_code == 400
    assert not User.objects.filter(email="asha@example.com").exists()
    made = staff.fill(ADD, email="root@example.com", full_name="Asha Patel", user_type="SUPER_ADMIN")
    assert made.status_code == 302, made.context["errors"]


def test_an_invitation_to_an_unknown_organization_shows_the_error_at_the_field(user, staff_client_for):
    answer = staff_client_for(user("INTERNAL_COMPLIANCE")).fill(
        ADD,
        email="asha@example.com",
        full_name="Asha Patel",
        user_type="INTERNAL",
        organization_id=str(uuid4()),
    )
    assert answer.status_code == 400
    assert "There is no record with this ID." in answer.content.decode()


def test_inviting_an_address_in_use_is_refused(user, staff_client_for, organization):
    taken = user("SELLER").email
    answer = staff_client_for(user("INTERNAL_COMPLIANCE")).fill(
        ADD, email=taken, full_name="Asha Patel", user_type="INTERNAL", organization_id=str(organization().pk)
    )
    assert answer.status_code == 409
    assert "already in use" in answer.content.decode()


def test_only_administrators_of_users_see_and_invite_other_users(user, staff_client_for):
    other, person = user("BUYER"), user("INTERNAL")
    staff = staff_client_for(person)
    listed = staff.get("/admin/account/user/").context["cl"].result_list
    assert [row.pk for row in listed] == [person.pk]
    assert staff.get(f"/admin/account/user/{other.pk}/change/").status_code == 404
    assert staff.post(ADD, {"email": "x@example.com"}).status_code == 403
    everybody = staff_client_for(user("AUDITOR")).get("/admin/account/user/").context["cl"].result_list
    assert {other.pk, person.pk} <= {row.pk for row in everybody}


def test_device_and_ip_address_are_shown_to_the_owner_and_administrators_only(user, staff_client_for):
    person = user("INTERNAL")
    own = staff_client_for(person)
    session = Session.objects.get(user=person)
    path = f"/admin/account/session/{session.pk}/change/"
    assert "127.0.0.1" in own.get(path).content.decode()
    assert "127.0.0.1" in staff_client_for(user("INTERNAL_COMPLIANCE")).get(path).content.decode()
    seen = staff_client_for(user("AUDITOR")).get(path)
    assert seen.status_code == 200
    assert "127.0.0.1" not in seen.content.decode()
    assert staff_client_for(user("INTERNAL")).get(path).status_code == 404


def test_no_page_shows_a_password_hash(user, staff_client_for):
    person = user("INTERNAL")
    page = staff_client_for(user("INTERNAL_COMPLIANCE")).get(f"/admin/account/user/{person.pk}/change/")
    assert person.password not in page.content.decode()
    assert "md5" not in page.content.decode()
