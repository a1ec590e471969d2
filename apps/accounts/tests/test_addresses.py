"""Addresses and numbers are normalized at every endpoint."""

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import OneTimeToken, OtpChallenge, SignInCounter, User
from apps.accounts.services import joining
from apps.accounts.tests.factories import AUTH, MOBILE, NEW_PASSWORD, SIGN_UP, prove, token
from config.testing import PASSWORD
from erp.access import SYSTEM

pytestmark = pytest.mark.django_db
# One mailbox each.
SPELLINGS = [
    [
        "asha@example.com",
        " Asha@Example.COM ",
        "ASHA@ｅｘａｍｐｌｅ.com",
        "asha@example。com",
        "asha@exam\u00adple.com",
    ],
    [
        "asha@xn--bcher-kva.example",
        "asha@bücher.example",
        "Asha@BU\u0308CHER.example",
        "asha@XN--BCHER-KVA.example",
    ],
    ["asha@xn--h2brj9c.xn--h2brj9c", "asha@भारत.भारत"],
]
UNUSABLE = ["nowhere", "аsha@example.com", "asha@10.1.1.1", "asha\u200b@example.com"]
NOT_MOBILE = [
    "+912227654321", "02227654321", "+9198765432101", "98765432101", "+91987654321", "+915876543210", "5876543210",
    "+91 ९८७६५४३२१०", "tel:+919876543210", "+91987654321O", "",
]  # fmt: skip


@pytest.mark.parametrize("spellings", SPELLINGS)
def test_spellings_of_one_address_create_one_account(client_for, spellings):
    for spelling in spellings:
        answer = client_for().write(f"{AUTH}/register", SIGN_UP | {"email": spelling})
        assert answer.status_code == 202, spelling
    assert [user.email for user in User.objects.all()] == [spellings[0]]
    assert len(set(OneTimeToken.objects.values_list("address_hash", flat=True))) == 1


@pytest.mark.parametrize("spellings", SPELLINGS)
def test_users_sign_in_with_any_spelling_of_their_address(client_for, spellings):
    client_for().write(f"{AUTH}/register", SIGN_UP | {"email": spellings[-1]})
    client_for().write(f"{AUTH}/verify-email", {"token": token("sign_up")})
    for spelling in spellings:
        body = {"email": spelling, "password": NEW_PASSWORD}
        assert client_for().write(f"{AUTH}/login", body).status_code == 200, spelling
    for spelling in spellings[:2]:
        client_for().write(f"{AUTH}/login", {"email": spelling, "password": "never the right one"})
    assert SignInCounter.objects.get().failures == 2


@pytest.mark.parametrize("spellings", SPELLINGS)
def test_links_for_a_new_password_go_to_the_account_of_the_mailbox(client_for, user, spellings):
    person = user("APPLICANT", email=spellings[0])
    for spelling in spellings[:3]:
        assert client_for().write(f"{AUTH}/forgot-password", {"email": spelling}).status_code == 202
    assert set(OneTimeToken.objects.values_list("user_id", flat=True)) == {person.pk}


@pytest.mark.parametrize("spellings", SPELLINGS)
def test_an_address_in_use_is_neither_invited_nor_taken_over_in_any_spelling(client_for, user, spellings):
    user("APPLICANT", email=spellings[0])
    with pytest.raises(joining.IdentifierUnavailable):
        joining.invite(actor=SYSTEM, email=spellings[1], full_name="Asha", user_type="SUPER_ADMIN")
    other = user("APPLICANT")
    profile = {
        "full_name": "Ravi", "locale": "en-IN", "notify_email": True, "notify_sms": False, "digest": "immediate",
        "email": spellings[1], "current_password": PASSWORD,
    }  # fmt: skip
    client = client_for(other)
    tag = client.read(f"{AUTH}/me")["ETag"]
    assert client.write(f"{AUTH}/me", profile, method="PUT", if_match=tag).status_code == 200
    assert User.objects.get(pk=other.pk).pending_email == spellings[0]
    assert OneTimeToken.objects.get().user_id is None  # the mailbox is taken: nobody gets the link


@pytest.mark.parametrize("address", UNUSABLE)
def test_an_invalid_address_is_refused_at_every_endpoint(client_for, user, address):
    bodies = {
        "register": SIGN_UP | {"email": address},
        "login": {"email": address, "password": PASSWORD},
        "forgot-password": {"email": address},
        "verify-email/resend": {"email": address},
    }
    for path, body in bodies.items():
        answer = client_for().write(f"{AUTH}/{path}", body)
        assert answer.status_code == 400, path
        assert answer.json()["errors"][0]["pointer"] == "/email"
    assert not User.objects.exists()


def test_staff_sign_in_to_the_admin_in_any_spelling(client, user):
    person = user("INTERNAL", email=SPELLINGS[1][0], factor=False)
    answer = client.post(reverse("admin:login"), {"username": SPELLINGS[1][2], "password": PASSWORD})
    assert answer.status_code == 302
    assert person.sessions.filter(door="admin").exists()
    refused = client.post(reverse("admin:login"), {"username": "аsha@example.com", "password": PASSWORD})
    assert "name@example.com" in refused.content.decode()


@pytest.mark.parametrize("number", NOT_MOBILE)
def test_no_code_is_sent_to_an_invalid_mobile_number(client_for, number):
    for purpose in ("sign_in", "prove_number"):
        answer = client_for().write(f"{AUTH}/otp/request", {"mobile": number, "purpose": purpose})
        assert answer.status_code == 400, number
    assert not OtpChallenge.objects.exists()


@pytest.mark.parametrize(
    "number", ["9876543210", "09876543210", "+91 98765-43210", "0091 (98765) 43210", MOBILE]
)
def test_a_mobile_is_one_number_however_it_is_typed(client_for, user, number):
    person = user("BUYER", mobile=MOBILE, mobile_verified_at=timezone.now())
    answer = client_for().write(f"{AUTH}/otp/request", {"mobile": number, "purpose": "sign_in"})
    assert answer.status_code == 202
    challenge = OtpChallenge.objects.get()
    assert (challenge.number, challenge.user_id) == (MOBILE, person.pk)


def test_a_profile_accepts_mobile_numbers_only(client_for, user):
    person = user("APPLICANT")
    client = client_for(person)
    profile = {
        "full_name": "Asha", "locale": "en-IN", "notify_email": True, "notify_sms": False, "digest": "immediate",
        "email": person.email, "current_password": PASSWORD,
    }  # fmt: skip
    tag = client.read(f"{AUTH}/me")["ETag"]
    for number in NOT_MOBILE[:-1]:
        answer = client.write(f"{AUTH}/me", profile | {"mobile": number}, method="PUT", if_match=tag)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/mobile")
    proof = {"mobile": "098765 43210", "mobile_proof": prove()}
    assert client.write(f"{AUTH}/me", profile | proof, method="PUT", if_match=tag).status_code == 200
    assert User.objects.get(pk=person.pk).mobile == MOBILE
