"""Sign-up, verification and invitation."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.accounts import secrets, tasks
from apps.accounts.models import OneTimeToken, OtpChallenge, PasswordHistory, RoleMembership, User
from apps.accounts.services import common, joining, roles, users
from apps.accounts.tests.factories import (
    AUTH,
    MOBILE,
    NEW_PASSWORD,
    SIGN_UP,
    in_threads,
    proofs,
    prove,
    status_and_code,
    token,
    wrong,
)
from config.testing import PASSWORD
from erp.access import SYSTEM
from erp.errors import Invalid
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
REGISTER, VERIFY, RESEND = f"{AUTH}/register", f"{AUTH}/verify-email", f"{AUTH}/verify-email/resend"
LOGIN, ACCEPT = f"{AUTH}/login", f"{AUTH}/invitations/accept"
STAFF = {"user_type": "INTERNAL", "organization_id": uuid4()}


@pytest.fixture
def company(organization):
    """The fields of an invitation of staff."""
    return {"user_type": "INTERNAL", "organization_id": organization().pk}


def signs_in(client_for, email, password):
    return client_for().write(LOGIN, {"email": email, "password": password}).status_code == 200


def test_a_sign_up_creates_an_applicant_whose_password_is_valid_after_verification(client_for, emitted):
    answer = client_for().write(REGISTER, SIGN_UP | {"email": "Asha@Example.com"})
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert answer["Cache-Control"] == "no-store"
    person = User.objects.get(email="asha@example.com")
    assert (person.user_type, person.status, person.role_names) == ("APPLICANT", "pending", ["APPLICANT"])
    assert not person.has_usable_password()
    assert not signs_in(client_for, person.email, NEW_PASSWORD)
    (registered,), (asked,) = emitted("user.registered"), emitted("user.email_verification_requested")
    assert registered.payload["method"] == "email"
    assert (asked.aggregate_type, asked.payload["purpose"]) == ("one_time_token", "sign_up")
    verified = client_for().write(VERIFY, {"token": token("sign_up")})
    assert (verified.status_code, verified.json()) == (200, {"status": "active"})
    assert signs_in(client_for, person.email, NEW_PASSWORD)
    person.refresh_from_db()
    assert person.email_verified_at is not None
    assert person.terms_version == "2026-01"


@pytest.mark.parametrize(
    "extra", ["user_type", "roles", "is_superuser", "partner_id", "organization_id", "status"]
)
def test_a_sign_up_cannot_set_type_or_rights(client_for, extra):
    answer = client_for().write(REGISTER, SIGN_UP | {extra: "SUPER_ADMIN"})
    assert status_and_code(answer) == (400, "request.unknown_field")
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"is_adult": False}, ["/is_adult"]),
        ({"email": "nowhere"}, ["/email"]),
        ({"email": f"{'a' * 245}@example.com"}, ["/email"]),
        ({"password": "x" * 129}, ["/password"]),
        ({"password": "eleven char"}, ["/password"]),
        ({"password": "a long enough\u0000 passphrase"}, []),
        ({"password": None}, ["/password"]),
        ({"email": None, "password": None}, ["/challenge_id", "/email"]),
        ({"challenge_id": str(uuid4()), "code": "123456"}, ["/challenge_id", "/email"]),
        ({"email": None, "password": None, "challenge_id": str(uuid4()), "code": "12345a"}, ["/code"]),
        ({"email": None, "challenge_id": str(uuid4()), "code": "123456"}, ["/password"]),
        ({"full_name": " "}, ["/full_name"]),
    ],
)
def test_an_invalid_input_is_refused_by_field_and_not_counted(client_for, emitted, change, pointers):
    answer = client_for().write(REGISTER, SIGN_UP | change)
    assert answer.status_code == 400
    if pointers:
        assert sorted(fault["pointer"] for fault in answer.json()["errors"]) == pointers
    assert emitted() == []
    assert not User.objects.exists()


@pytest.mark.parametrize("weak", ["password12345", "ASHA@example.com", "AshaPatelAsha"])
def test_a_weak_password_is_refused_known_or_not(client_for, user, weak):
    user("SELLER", email="asha@example.com")
    for email in ("asha@example.com", "other@example.com"):
        answer = client_for().write(
            REGISTER, SIGN_UP | {"password": weak, "email": email, "full_name": "AshaPatelAsha"}
        )
        if weak.startswith("ASHA") and email.startswith("other"):
            continue  # like nobody's address here
        assert status_and_code(answer) == (422, "account.password_weak")
        assert answer.json()["errors"][0]["pointer"] == "/password"
    assert not OneTimeToken.objects.exists()


@pytest.mark.parametrize("status", ["active", "invited", "deactivated"])
def test_an_address_that_is_taken_gets_the_same_answer_and_its_owner_a_notice(
    client_for, user, emitted, status
):
    owner = user("SELLER", status=status)
    known = client_for().write(REGISTER, SIGN_UP | {"email": owner.email})
    unknown = client_for().write(REGISTER, SIGN_UP)
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert [event.payload for event in emitted("user.sign_up_repeated")] == [{"user_id": str(owner.pk)}]
    (row,) = OneTimeToken.objects.filter(address_hash=secrets.address_hash(owner.email))
    assert (row.user_id, row.new_password) == (None, "")
    with pytest.raises(common.TokenInvalid):
        joining.verify_email(actor=SYSTEM, token=secrets.token_of(row))
    owner.refresh_from_db()
    assert owner.status == status


def test_a_sign_up_cannot_set_the_password_of_another_users_address(client_for):
    client = client_for()
    client.write(REGISTER, SIGN_UP | {"password": "the attacker's passphrase", "full_name": "Attacker"})
    client.write(REGISTER, SIGN_UP | {"password": "the victim's own passphrase"})
    first, own = OneTimeToken.objects.order_by("id")
    assert client.write(VERIFY, {"token": secrets.token_of(own)}).status_code == 200
    assert signs_in(client_for, SIGN_UP["email"], "the victim's own passphrase")
    assert not signs_in(client_for, SIGN_UP["email"], "the attacker's passphrase")
    assert status_and_code(client.write(VERIFY, {"token": secrets.token_of(first)})) == (
        409,
        "account.token_invalid",
    )
    assert not OneTimeToken.objects.exclude(new_password="").exists(), "no hash stays behind"


def test_a_resent_link_verifies_the_address_and_sets_no_password(client_for, emitted):
    client = client_for()
    client.write(REGISTER, SIGN_UP)
    assert client.write(RESEND, {"email": SIGN_UP["email"]}).status_code == 202
    older = token("verify_email")
    assert client.write(RESEND, {"email": SIGN_UP["email"]}).status_code == 202
    assert status_and_code(client.write(VERIFY, {"token": older})) == (409, "account.token_invalid")
    assert client.write(VERIFY, {"token": token("verify_email")}).status_code == 200
    person = User.objects.get(email=SIGN_UP["email"])
    assert person.is_active
    assert not person.has_usable_password()
    assert status_and_code(client.write(VERIFY, {"token": token("sign_up")})) == (
        409,
        "account.token_invalid",
    )


@pytest.mark.parametrize("status", ["active", "deactivated", None])
def test_only_a_new_account_gets_the_link_again(client_for, user, emitted, status):
    email = user("SELLER", status=status).email if status else "nobody@example.com"
    answer = client_for().write(RESEND, {"email": email})
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert emitted("user.email_verification_requested")[-1].payload["user_id"] is None


@pytest.mark.parametrize("change", ["altered", "over", "used", "unknown", "nonsense", "other key", "long"])
def test_every_invalid_token_gets_the_same_answer(client_for, settings, change):
    client = client_for()
    client.write(REGISTER, SIGN_UP)
    good = token("sign_up")
    text = good
    if change == "altered":
        text = f"{good[:-3]}{'AAA' if good[-3:] != 'AAA' else 'BBB'}"
    elif change == "over":
        with unguarded_writes():
            OneTimeToken.objects.update(expires_at=timezone.now())
    elif change == "used":
        assert client.write(VERIFY, {"token": good}).status_code == 200
    elif change == "unknown":
        text = secrets.token_of(OneTimeToken(purpose="sign_up", key_id=secrets.current_key_id()))
    elif change == "nonsense":
        text = "nonsense"
    elif change == "other key":
        settings.ONE_TIME_KEYS = {"new": "x" * 40}
    else:
        text = "x" * 10_000
    expected = (400, "request.invalid") if change == "long" else (409, "account.token_invalid")
    assert status_and_code(client.write(VERIFY, {"token": text})) == expected


def test_a_new_key_derives_new_links_while_older_ones_still_work(client_for, settings):
    client_for().write(REGISTER, SIGN_UP)
    old_key = settings.ONE_TIME_KEYS
    link = token("sign_up")
    settings.ONE_TIME_KEYS = {"2027": "y" * 40, **old_key}
    assert token("sign_up") == link, "sent again, it is the same link"
    client_for().write(REGISTER, SIGN_UP)
    assert OneTimeToken.objects.latest("id").key_id == "2027"
    assert client_for().write(VERIFY, {"token": link}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_uses_of_a_link_are_one():
    joining.register(actor=SYSTEM, **SIGN_UP)
    link = token("sign_up")
    results = in_threads(lambda _: joining.verify_email(actor=SYSTEM, token=link).status)
    assert (results.count("active"), results.count(common.TokenInvalid)) == (1, 19)


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_sign_ups_with_one_address_create_one_user():
    results = in_threads(lambda _: joining.register(actor=SYSTEM, **SIGN_UP))
    assert results == [{"status": "accepted"}] * 20
    assert User.objects.filter(email=SIGN_UP["email"]).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_users_who_verify_one_address_the_second_gets_a_conflict(user):
    links = []
    for _ in range(2):
        person = user("SELLER", pending_email="new@example.com")
        row = OneTimeToken(
            purpose="change_email",
            user=person,
            address_hash=secrets.address_hash("new@example.com"),
            key_id=secrets.current_key_id(),
            expires_at=timezone.now() + timedelta(hours=1),
        )
        with unguarded_writes():
            row.save()
        links.append(secrets.token_of(row))
    results = in_threads(lambda n: joining.verify_email(actor=SYSTEM, token=links[n]).status, 2)
    assert sorted(map(str, results)) == sorted(["active", str(common.EmailTaken)])


def by_number(**proof):
    return {k: v for k, v in SIGN_UP.items() if k not in ("email", "password")} | proof


def test_a_sign_up_by_number_creates_an_active_applicant(client_for, emitted):
    answer = client_for().write(REGISTER, by_number(**prove()))
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    person = User.objects.get(mobile=MOBILE)
    assert (person.status, person.user_type, person.email) == ("active", "APPLICANT", None)
    assert person.mobile_verified_at is not None
    assert emitted("user.registered")[-1].payload["method"] == "mobile"


def test_a_wrong_code_creates_no_account_and_is_counted(client_for, emitted):
    proof = prove()
    answer = client_for().write(REGISTER, by_number(**proof | {"code": wrong(proof["code"])}))
    assert status_and_code(answer) == (401, "account.otp_invalid")
    assert len(emitted("user.login_failed")) == 1
    assert OtpChallenge.objects.get().wrong == 1
    assert not User.objects.exists()
    used = client_for().write(REGISTER, by_number(**proof))
    assert used.status_code == 202
    assert status_and_code(client_for().write(REGISTER, by_number(**proof))) == (401, "account.otp_invalid")


def test_a_number_that_is_taken_gets_the_same_answer(client_for, user, emitted):
    owner = user("SELLER", mobile=MOBILE, mobile_verified_at=timezone.now())
    answer = client_for().write(REGISTER, by_number(**prove()))
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert emitted("user.sign_up_repeated")[-1].payload == {"user_id": str(owner.pk)}
    assert User.objects.filter(mobile=MOBILE).count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_sign_ups_with_one_number_create_one_user():
    waiting = proofs(8)
    results = in_threads(lambda n: joining.register(actor=SYSTEM, **by_number(**waiting[n])), 8)
    assert results == [{"status": "accepted"}] * 8
    assert User.objects.filter(mobile=MOBILE).count() == 1


def accepted(**change):
    return {
        "token": token("invitation"),
        "password": NEW_PASSWORD,
        "terms_version": "1",
        "is_adult": True,
    } | change


def test_staff_are_invited_as_internal_and_set_their_own_password(client_for, user, assert_emitted, company):
    from apps.accounts import events

    boss = user("INTERNAL_COMPLIANCE")
    person = joining.invite(actor=boss, email="Asha@example.com", full_name="Asha", **company)
    assert (person.status, person.email, person.role_names) == ("invited", "asha@example.com", ["INTERNAL"])
    row = OneTimeToken.objects.get()
    assert_emitted(events.UserInvited, token_id=str(row.pk), roles=["INTERNAL"], by=str(boss.pk))
    assert secrets.invitation_of(person) == secrets.token_of(row)
    assert client_for().write(ACCEPT, accepted()).status_code == 204
    assert_emitted(events.InvitationAccepted, user_id=str(person.pk))
    person.refresh_from_db()
    assert person.is_active
    assert person.email_verified_at is not None
    assert PasswordHistory.objects.filter(user=person).count() == 1
    assert signs_in(client_for, person.email, NEW_PASSWORD)
    assert secrets.invitation_of(person) is None
    assert status_and_code(client_for().write(ACCEPT, accepted())) == (409, "account.token_invalid")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({**STAFF, "roles": ["INTERNAL", "INTERNAL_MANAGER"]}, roles.RoleNotAllowed),
        ({**STAFF, "roles": ["AUDITOR"]}, roles.RoleNotAllowed),
        ({"user_type": "SUPER_ADMIN"}, roles.RoleNotAllowed),
        ({"user_type": "APPLICANT"}, roles.RoleNotAllowed),
        ({"user_type": "EXTERNAL", "partner_id": uuid4(), "roles": ["INTERNAL"]}, roles.RoleNotAllowed),
        ({"user_type": "EXTERNAL", "partner_id": uuid4()}, roles.RoleRequired),
        ({"user_type": "EXTERNAL", "roles": ["SELLER"]}, roles.RoleNotAllowed),
        ({"user_type": "INTERNAL"}, roles.RoleNotAllowed),
    ],
)
def test_an_invitation_grants_no_further_roles(user, fields, problem):
    boss = user("INTERNAL_COMPLIANCE")
    with pytest.raises(problem):
        joining.invite(actor=boss, email="x@example.com", full_name="X", **fields)
    assert not User.objects.filter(email="x@example.com").exists()


def test_only_a_super_administrator_or_the_first_command_invites_another(user):
    for number, actor in enumerate((user(), SYSTEM)):
        made = joining.invite(
            actor=actor, email=f"root{number}@example.com", full_name="Root", user_type="SUPER_ADMIN"
        )
        assert made.is_superuser
        assert not RoleMembership.objects.filter(user=made).exists()


def test_an_invitation_erases_only_an_unverified_sign_up_with_the_address(user, emitted, company):
    joining.register(actor=SYSTEM, **SIGN_UP)
    waiting = User.objects.get()
    link = token("sign_up")
    invited = joining.invite(actor=SYSTEM, email=SIGN_UP["email"], full_name="Asha", **company)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.email, waiting.full_name) == ("erased", None, "Erased person")
    assert invited.email == SIGN_UP["email"]
    assert emitted("user.erased")[-1].payload["user_id"] == str(waiting.pk)
    with pytest.raises(common.TokenInvalid):
        joining.verify_email(actor=SYSTEM, token=link)
    with pytest.raises(joining.IdentifierUnavailable):
        joining.invite(actor=SYSTEM, email=SIGN_UP["email"], full_name="Asha", **company)


@pytest.mark.django_db(transaction=True)
def test_concurrent_invitations_of_one_address_create_one_user(company):
    results = in_threads(
        lambda _: joining.invite(actor=SYSTEM, email="x@example.com", full_name="X", **company).status, 8
    )
    assert (results.count("invited"), results.count(joining.IdentifierUnavailable)) == (1, 7)


def test_another_invitation_voids_the_earlier_one_and_reactivates_a_deactivated_user(user, company):
    boss = user("INTERNAL_COMPLIANCE")
    person = joining.invite(actor=boss, email="x@example.com", full_name="X", **company)
    first = token("invitation")
    joining.invite_again(person, actor=boss)
    with pytest.raises(common.TokenInvalid):
        joining.accept_invitation(actor=SYSTEM, **accepted(token=first))
    joining.accept_invitation(actor=SYSTEM, **accepted())
    users.deactivate(person, actor=boss)
    joining.invite_again(person, actor=boss)
    joining.accept_invitation(actor=SYSTEM, **accepted(password=PASSWORD))
    person.refresh_from_db()
    assert person.is_active
    with pytest.raises(joining.InvalidState):
        joining.invite_again(person, actor=boss)


def test_a_sign_up_unverified_for_a_month_is_erased(emitted):
    joining.register(actor=SYSTEM, **SIGN_UP)
    joining.register(actor=SYSTEM, **SIGN_UP | {"email": "other@example.com"})
    with unguarded_writes():
        User.objects.filter(email=SIGN_UP["email"]).update(created_at=timezone.now() - timedelta(days=31))
    tasks.purge()
    assert sorted(User.objects.values_list("status", flat=True)) == ["erased", "pending"]
    assert emitted("user.erased")[-1].payload["reason_code"] == "never_verified"


@pytest.mark.parametrize("where", ["organization_id", "partner_id"])
def test_an_invitation_needs_an_existing_organization_or_partner(user, where):
    kind = {"organization_id": "INTERNAL", "partner_id": "EXTERNAL"}[where]
    with pytest.raises(Invalid) as caught:
        joining.invite(
            actor=user("INTERNAL_COMPLIANCE"),
            email="x@example.com",
            full_name="X",
            user_type=kind,
            roles=["SELLER"] if kind == "EXTERNAL" else [],
            **{where: uuid4()},
        )
    assert [(fault.pointer, fault.code) for fault in caught.value.errors] == [
        (f"/{where}", "does_not_exist"),
    ]
    assert not User.objects.filter(email="x@example.com").exists()
