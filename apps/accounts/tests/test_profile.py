"""Profile, sessions and sign-out of the caller."""

from uuid import uuid4

import pytest
from django.utils import timezone

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, OtpChallenge, Session, SignInCounter, User
from apps.accounts.services import common, joining, passwords, sessions
from apps.accounts.services import profile as profile_services
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
from config.testing import PASSWORD, begin_session
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
ME, SESSIONS = f"{AUTH}/me", f"{AUTH}/sessions"


def profile(person, **change):
    return {
        "full_name": person.full_name,
        "email": person.email,
        "mobile": person.mobile,
        "locale": person.locale,
        "notify_email": person.notify_email,
        "notify_sms": person.notify_sms,
        "digest": person.digest,
        **change,
    }


@pytest.fixture
def put(client_for, user):
    """Update the profile of a seller; return user and response."""
    person = user("SELLER")
    client = client_for(person)

    def send(if_match="current", **change):
        stored = User.objects.get(pk=person.pk)
        version = stored.version if if_match == "current" else if_match
        return client.write(ME, profile(stored, **change), method="PUT", if_match=version)

    send.person, send.client = person, client
    return send


def test_the_profile_lists_roles_and_capabilities(client_for, user):
    person = user("SELLER")
    answer = client_for(person).read(ME)
    body = answer.json()
    assert answer["ETag"] == f'"{body["version"]}"'
    assert answer["Cache-Control"] == "no-store"
    assert (body["id"], body["user_type"], body["roles"], body["status"]) == (
        str(person.pk), "EXTERNAL", ["SELLER"], "active",
    )  # fmt: skip
    assert (body["partner_id"], body["organization_id"]) == (str(person.partner_id), None)
    assert "account.update_profile" in body["capabilities"]["everywhere"]
    assert "availability.create" in body["capabilities"]["own"]
    assert "availability.create" not in body["capabilities"]["everywhere"]
    assert "password" not in body
    assert "trade.approve" not in str(body["capabilities"])


def test_the_profile_is_returned_in_full_as_rights_change_without_its_version(client_for, user):
    client = client_for(user("SELLER"))
    first = client.read(ME)
    again = client.read(ME, **{"If-None-Match": first["ETag"]})
    assert (again.status_code, again.json()) == (200, first.json())


def test_a_profile_update_needs_the_current_version(put, emitted):
    assert status_and_code(put(if_match=None, full_name="New")) == (428, "precondition.required")
    assert status_and_code(put(if_match=99, full_name="New")) == (412, "precondition.failed")
    answer = put(full_name="New Name", locale="gu-IN", notify_sms=True, digest="daily")
    assert answer.status_code == 200
    assert answer.json()["full_name"] == "New Name"
    assert emitted("user.profile_updated")[-1].payload["changed"] == [
        "digest", "full_name", "locale", "notify_sms",
    ]  # fmt: skip
    before = len(emitted())
    again = put(full_name="New Name", locale="gu-IN", notify_sms=True, digest="daily")
    assert (again.status_code, len(emitted())) == (200, before)


def test_a_new_address_needs_the_password_and_is_pending_until_verified(put, emitted):
    assert status_and_code(put(email="new@example.com")) == (422, "account.current_password_required")
    wrong_one = put(email="new@example.com", current_password="wrong")
    assert status_and_code(wrong_one) == (403, "account.reauthentication_failed")
    answer = put(email="New@Example.com", current_password=PASSWORD)
    assert (answer.json()["email"], answer.json()["pending_email"]) == (put.person.email, "new@example.com")
    assert emitted("user.email_verification_requested")[-1].payload["purpose"] == "change_email"
    assert put.client.write(f"{AUTH}/verify-email", {"token": token("change_email")}).status_code == 200
    stored = User.objects.get(pk=put.person.pk)
    assert (stored.email, stored.pending_email) == ("new@example.com", None)


def test_a_pending_address_remains_pending_when_other_fields_change(put, emitted):
    put(email="new@example.com", current_password=PASSWORD)
    before = len(emitted())
    again = put()
    assert (again.json()["email"], again.json()["pending_email"]) == (put.person.email, "new@example.com")
    assert len(emitted()) == before, "the same values say nothing"
    assert put(full_name="New Name").json()["pending_email"] == "new@example.com"
    assert emitted("user.profile_updated")[-1].payload["changed"] == ["full_name"]
    assert put.client.write(f"{AUTH}/verify-email", {"token": token("change_email")}).status_code == 200


def test_removing_the_address_voids_its_links(put):
    passwords.request_password_reset(actor=SYSTEM, email=put.person.email)
    link = token("reset_password")
    put(mobile=MOBILE, current_password=PASSWORD, mobile_proof=prove())
    put(email="new@example.com", current_password=PASSWORD)
    change = token("change_email")
    assert put(email=None, current_password=PASSWORD).status_code == 200
    with pytest.raises(common.TokenInvalid):
        passwords.reset_password(actor=SYSTEM, token=link, new_password=NEW_PASSWORD)
    with pytest.raises(common.TokenInvalid):
        joining.verify_email(actor=SYSTEM, token=change)


def test_the_right_password_resets_the_failures(put):
    put(email="new@example.com", current_password="wrong")
    assert SignInCounter.objects.get().failures == 1
    put(email="new@example.com", current_password=PASSWORD)
    assert SignInCounter.objects.get().failures == 0


@pytest.mark.django_db(transaction=True)
def test_of_two_users_who_verify_one_number_the_second_gets_a_conflict(user):
    people, waiting = [user("SELLER"), user("BUYER")], proofs(2)

    def take(n):
        values = profile(people[n], mobile=MOBILE, current_password=PASSWORD, mobile_proof=waiting[n])
        return profile_services.update_profile(people[n], actor=people[n], **values).mobile

    results = in_threads(take, 2)
    assert sorted(map(str, results)) == sorted([MOBILE, str(profile_services.MobileTaken)])


def test_a_second_new_address_voids_the_link_of_the_first(put):
    put(email="one@example.com", current_password=PASSWORD)
    first = token("change_email")
    put(email="two@example.com", current_password=PASSWORD)
    with pytest.raises(common.TokenInvalid):
        joining.verify_email(actor=SYSTEM, token=first)


def test_another_users_address_gets_the_same_answer_and_is_not_taken_over(put, user, emitted):
    other = user("BUYER")
    free = put(email="free@example.com", current_password=PASSWORD)
    taken = put(email=other.email, current_password=PASSWORD)
    assert (free.status_code, taken.status_code) == (200, 200)
    assert set(free.json()) == set(taken.json())
    assert emitted("user.sign_up_repeated")[-1].payload == {"user_id": str(other.pk)}
    row = OneTimeToken.objects.latest("id")
    assert row.user_id is None
    with pytest.raises(common.TokenInvalid):
        joining.verify_email(actor=SYSTEM, token=secrets.token_of(row))
    assert User.objects.get(pk=put.person.pk).email == put.person.email


def test_an_unverified_sign_up_is_erased_when_another_user_verifies_the_address(
    put, user, emitted, client_for
):
    squatter = user("APPLICANT", status="pending", email="mine@example.com", email_verified_at=None)
    free = put(email="free@example.com", current_password=PASSWORD)
    squatted = put(email="mine@example.com", current_password=PASSWORD)
    assert (squatted.status_code, set(squatted.json())) == (200, set(free.json()))
    assert emitted("user.sign_up_repeated") == []
    assert User.objects.get(pk=squatter.pk).email == "mine@example.com", "nothing is proved yet"
    assert put.client.write(f"{AUTH}/verify-email", {"token": token("change_email")}).status_code == 200
    assert User.objects.get(pk=put.person.pk).email == "mine@example.com"
    assert User.objects.get(pk=squatter.pk).status == "erased"
    assert emitted("user.erased")[-1].payload == {
        "user_id": str(squatter.pk), "reason_code": "address_proven", "by": str(put.person.pk),
    }  # fmt: skip


def test_the_first_user_to_verify_an_address_owns_it(put, client_for):
    client_for().write(f"{AUTH}/register", SIGN_UP)
    sign_up = token("sign_up")
    put(email=SIGN_UP["email"], current_password=PASSWORD)
    change = token("change_email")
    assert client_for().write(f"{AUTH}/verify-email", {"token": sign_up}).status_code == 200
    assert status_and_code(put.client.write(f"{AUTH}/verify-email", {"token": change})) == (
        409,
        "account.email_taken",
    )


def test_an_erased_sign_up_can_no_longer_be_verified(put, client_for):
    client_for().write(f"{AUTH}/register", SIGN_UP)
    sign_up = token("sign_up")
    put(email=SIGN_UP["email"], current_password=PASSWORD)
    put.client.write(f"{AUTH}/verify-email", {"token": token("change_email")})
    assert status_and_code(client_for().write(f"{AUTH}/verify-email", {"token": sign_up})) == (
        409,
        "account.token_invalid",
    )


def test_a_link_for_an_address_that_was_taken_meanwhile_gets_a_conflict(put, user):
    put(email="new@example.com", current_password=PASSWORD)
    link = token("change_email")
    user("BUYER", email="new@example.com")
    assert status_and_code(put.client.write(f"{AUTH}/verify-email", {"token": link})) == (
        409,
        "account.email_taken",
    )


def test_a_new_number_needs_password_and_proof(put, emitted):
    assert status_and_code(put(mobile=MOBILE)) == (422, "account.current_password_required")
    assert status_and_code(put(mobile=MOBILE, current_password=PASSWORD)) == (
        422,
        "account.mobile_proof_required",
    )
    proof = prove()
    bad = put(mobile=MOBILE, current_password=PASSWORD, mobile_proof=proof | {"code": wrong(proof["code"])})
    assert status_and_code(bad) == (403, "account.mobile_proof_invalid")
    assert OtpChallenge.objects.get().wrong == 1
    other = put(mobile="+919876500000", current_password=PASSWORD, mobile_proof=proof)
    assert status_and_code(other) == (403, "account.mobile_proof_invalid")
    answer = put(mobile=MOBILE, current_password=PASSWORD, mobile_proof=proof)
    assert answer.status_code == 200
    stored = User.objects.get(pk=put.person.pk)
    assert (stored.mobile, stored.mobile_verified_at is not None) == (MOBILE, True)
    assert emitted("user.profile_updated")[-1].payload["changed"] == ["mobile"]


def test_another_users_number_is_refused_after_its_verification(put, user):
    user("BUYER", mobile=MOBILE)
    answer = put(mobile=MOBILE, current_password=PASSWORD, mobile_proof=prove())
    assert status_and_code(answer) == (409, "account.mobile_taken")


def test_a_profile_needs_an_address_or_a_number(put):
    assert status_and_code(put(email=None, current_password=PASSWORD)) == (422, "account.identifier_required")
    put(mobile=MOBILE, current_password=PASSWORD, mobile_proof=prove())
    answer = put(email=None, current_password=PASSWORD)
    assert (answer.status_code, answer.json()["email"]) == (200, None)
    assert status_and_code(put(email=None, mobile=None, current_password=PASSWORD)) == (
        422,
        "account.identifier_required",
    )


def test_a_user_without_a_password_needs_none_to_change_the_profile(client_for, user):
    person = user("APPLICANT", email=None, mobile=MOBILE, mobile_verified_at=timezone.now(), password=None)
    answer = client_for(person).write(
        ME, profile(person, email="new@example.com"), method="PUT", if_match=person.version
    )
    assert (answer.status_code, answer.json()["pending_email"]) == (200, "new@example.com")


def test_users_see_only_their_own_sessions(client_for, user):
    person = user("SELLER")
    client, other = client_for(person), client_for(user("INTERNAL_COMPLIANCE"))
    ended = begin_session(person)
    sessions.revoke_session(ended, actor=person)
    rows = client.read(SESSIONS).json()["results"]
    assert {row["id"]: row["current"] for row in rows} == {
        str(client.session_id): True, str(ended.pk): False,
    }  # fmt: skip
    assert [row["id"] for row in client.read(f"{SESSIONS}?live=true").json()["results"]] == [
        str(client.session_id)
    ]
    assert client.read(f"{SESSIONS}?live=maybe").status_code == 400
    one = client.read(f"{SESSIONS}/{client.session_id}").json()
    assert (one["door"], one["ip"], one["allowed_actions"]) == ("api", "127.0.0.1", ["revoke"])
    assert status_and_code(other.read(f"{SESSIONS}/{client.session_id}")) == (404, "resource.not_found")
    assert status_and_code(other.write(f"{SESSIONS}/{client.session_id}/revoke")) == (
        404,
        "resource.not_found",
    )


def test_a_revoked_sessions_token_fails_at_the_next_request(client_for, user, emitted):
    person = user("SELLER")
    client, other = client_for(person), client_for(person)
    assert other.read(ME).status_code == 200
    answer = client.write(f"{SESSIONS}/{other.session_id}/revoke")
    assert (answer.status_code, answer.json()["end_reason"]) == (200, "user")
    assert status_and_code(other.read(ME)) == (401, "account.not_authenticated")
    assert emitted("session.revoked")[-1].payload["by"] == str(person.pk)
    assert status_and_code(client.write(f"{SESSIONS}/{other.session_id}/revoke")) == (
        409,
        "account.session_ended",
    )


def test_signing_out_ends_this_session_and_everywhere_all_others(client_for, user, emitted):
    person = user("SELLER")
    client, second, third = client_for(person), client_for(person), client_for(person)
    assert client.write(f"{AUTH}/logout-all").json() == {"revoked": 2}
    assert len(emitted("session.revoked")) == 2
    assert [each.read(ME).status_code for each in (client, second, third)] == [200, 401, 401]
    assert client.write(f"{AUTH}/logout-all").json() == {"revoked": 0}
    assert client.write(f"{AUTH}/logout").status_code == 204
    assert emitted("user.logged_out")[-1].payload["session_id"] == str(client.session_id)
    assert client.read(ME).status_code == 401


def test_a_token_of_an_unknown_session_is_refused(client_for, user):
    client = client_for(user("SELLER"))

    with unguarded_writes():
        Session.objects.all().delete()
    assert status_and_code(client.read(ME)) == (401, "account.not_authenticated")
    assert status_and_code(client.write(f"{SESSIONS}/{uuid4()}/revoke")) == (401, "account.not_authenticated")
