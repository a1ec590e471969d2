"""Limits of e-mails per address, user, network and day."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import OneTimeToken, User
from apps.accounts.services import common, joining, passwords
from apps.accounts.tests.factories import AUTH, SIGN_UP, in_threads, status_and_code, token
from config.testing import PASSWORD
from erp.access import SYSTEM
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
PUBLIC = {
    "register": lambda email: {**SIGN_UP, "email": email},
    "verify-email/resend": lambda email: {"email": email},
    "forgot-password": lambda email: {"email": email},
}


@pytest.fixture(autouse=True)
def limits(settings):
    """Remove the limits; a test sets the ones that it needs."""
    for name in ("MAIL_PER_ADDRESS", "MAIL_PER_USER", "MAIL_PER_INVITER", "MAIL_PER_NETWORK"):
        setattr(settings, name, {HOUR: 1000})
    settings.MAIL_PER_DAY = 1000
    settings.THROTTLE_PUBLIC_FACTOR = 1
    return settings


@pytest.fixture
def put(client_for, user):
    """Request a change of the user's address."""
    person = user("SELLER")
    client = client_for(person)

    def ask(email):
        stored = User.objects.get(pk=person.pk)
        body = {
            "full_name": stored.full_name,
            "email": email,
            "mobile": None,
            "locale": "en-IN",
            "notify_email": True,
            "notify_sms": False,
            "digest": "immediate",
            "current_password": PASSWORD,
        }
        return client.write(f"{AUTH}/me", body, method="PUT", if_match=stored.version)

    ask.person = person
    return ask


def invitation(organization, email="asha@example.com"):
    return {
        "email": email,
        "full_name": "Asha Patel",
        "user_type": "INTERNAL",
        "organization_id": organization().pk,
    }


@pytest.mark.parametrize("path", [*PUBLIC, "me"])
def test_all_endpoints_share_the_limit_of_an_address_and_do_not_reveal_it(client_for, limits, put, path):
    limits.MAIL_PER_ADDRESS = {HOUR: 2}

    def ask(email):
        answer = put(email) if path == "me" else client_for().write(f"{AUTH}/{path}", PUBLIC[path](email))
        body = answer.json() | dict.fromkeys(("pending_email", "version"))
        return answer.status_code, body, set(answer.headers)

    unlimited = ask("free@example.com")
    for first in ("verify-email/resend", "forgot-password"):
        client_for().write(f"{AUTH}/{first}", PUBLIC[first]("asha@example.com"))
    made = OneTimeToken.objects.count()
    limited = ask("asha@example.com")
    if path == "me":  # the profile holds the time of its change
        limited[1].update(updated_at=unlimited[1]["updated_at"])
    assert limited == unlimited
    assert OneTimeToken.objects.count() == made


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("status", ["active", "pending", "invited", "deactivated"])
def test_a_limited_address_answers_the_same_known_or_not(client_for, user, limits, path, status):
    limits.MAIL_PER_ADDRESS = {HOUR: 1}
    known = user("SELLER", status=status).email
    answers = [
        [client_for().write(f"{AUTH}/{path}", PUBLIC[path](email)) for _ in range(2)]
        for email in (known, "nobody@example.com")
    ]
    assert {(a.status_code, a.content) for pair in answers for a in pair} == {(202, answers[0][0].content)}
    assert OneTimeToken.objects.count() == 2


def test_an_address_is_mailed_again_once_its_hour_is_over(limits):
    limits.MAIL_PER_ADDRESS = {HOUR: 1, 24 * HOUR: 2}

    def made():
        passwords.request_password_reset(actor=SYSTEM, email="asha@example.com")
        return OneTimeToken.objects.count()

    def pass_an_hour():
        with unguarded_writes():
            for row in OneTimeToken.objects.all():
                row.created_at -= timedelta(minutes=61)
                row.save()

    assert [made(), made()] == [1, 1]
    pass_an_hour()
    assert made() == 2
    pass_an_hour()
    assert made() == 2, "the day's share is used up"


def test_a_limited_request_does_not_void_the_earlier_link(client_for, user, limits):
    limits.MAIL_PER_ADDRESS = {HOUR: 1}
    person = user("SELLER")
    for _ in range(3):
        passwords.request_password_reset(actor=SYSTEM, email=person.email)
    body = {"token": token("reset_password"), "new_password": "quite another passphrase"}
    assert client_for().write(f"{AUTH}/reset-password", body).status_code == 204


def test_a_user_is_limited_in_requested_mails(put, user, limits, client_for):
    limits.MAIL_PER_USER = {HOUR: 2}
    taken = user("BUYER").email
    assert [put(email).status_code for email in ("one@example.com", taken)] == [200, 200]
    answer = put("three@example.com")
    assert status_and_code(answer) == (429, "account.too_many_mails")
    assert 0 < int(answer["Retry-After"]) <= 3601
    assert User.objects.get(pk=put.person.pk).pending_email == taken
    assert client_for().write(f"{AUTH}/register", SIGN_UP).status_code == 202


@pytest.mark.parametrize("path", PUBLIC)
def test_a_network_is_limited_in_requested_mails(client_for, put, limits, path):
    limits.MAIL_PER_NETWORK = {HOUR: 2}
    assert put("one@example.com").status_code == 200
    for email, status in (("two@example.com", 202), ("three@example.com", 429)):
        answer = client_for().write(f"{AUTH}/{path}", PUBLIC[path](email))
        assert answer.status_code == status
    assert status_and_code(answer) == (429, "account.too_many_mails")
    assert status_and_code(put("four@example.com")) == (429, "account.too_many_mails")
    assert not User.objects.filter(email="three@example.com").exists()
    elsewhere = common.Origin("api", network="203.0.113.7")
    passwords.request_password_reset(actor=SYSTEM, email="three@example.com", origin=elsewhere)
    assert OneTimeToken.objects.count() == 3


@pytest.mark.parametrize("path", PUBLIC)
def test_all_requests_share_a_daily_limit_of_mails(client_for, limits, path):
    limits.MAIL_PER_DAY = 2
    for number in range(2):
        passwords.request_password_reset(actor=SYSTEM, email=f"{number}@example.com")
    answer = client_for().write(f"{AUTH}/{path}", PUBLIC[path]("asha@example.com"))
    assert status_and_code(answer) == (429, "account.too_many_mails")


def test_an_inviter_gets_an_error_at_each_limit(user, limits, organization):
    limits.MAIL_PER_ADDRESS, limits.MAIL_PER_INVITER = {HOUR: 2}, {HOUR: 3}
    boss = user("INTERNAL_COMPLIANCE")
    person = joining.invite(actor=boss, **invitation(organization))
    joining.invite_again(person, actor=boss)
    with pytest.raises(common.TooManyMails):
        joining.invite_again(User.objects.get(pk=person.pk), actor=boss)
    joining.invite(actor=boss, **invitation(organization, "two@example.com"))
    with pytest.raises(common.TooManyMails):
        joining.invite(actor=boss, **invitation(organization, "three@example.com"))
    other = joining.invite(actor=user("INTERNAL_COMPLIANCE"), **invitation(organization, "three@example.com"))
    assert other.status == "invited"


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_do_not_exceed_a_limit(limits):
    limits.MAIL_PER_NETWORK = {HOUR: 3}
    origin = common.Origin("api", network="203.0.113.7")
    results = in_threads(
        lambda n: passwords.request_password_reset(actor=SYSTEM, email=f"{n}@example.com", origin=origin), 12
    )
    assert results.count(common.TooManyMails) == 9
    assert OneTimeToken.objects.count() == 3


def test_rows_hold_no_address_and_no_network(client_for, limits):
    client_for().write(f"{AUTH}/register", SIGN_UP)
    row = OneTimeToken.objects.get()
    assert row.network_hash
    assert "127.0.0.1" not in row.network_hash
    assert row.created_at <= timezone.now()


SPAM = [
    "Win at http://evil.example",
    "evil.com",
    "Visit WWW.evil.example",
    "evil.example/prize",
    "evil。com",
    "https:/evil",
    "Win at http evil",
    "evil.\u200bcom",
    "જીતો.ભારત",
    "जीतो.भारत जाओ",
    "evil.xn--p1ai",
    "Prize at 203.0.113.7",
    "write to win@evil.example",
    "mailto:win",
]


@pytest.mark.parametrize("name", SPAM)
def test_a_web_address_in_a_name_is_refused(client_for, user, staff_client_for, name):
    invalid = {
        "pointer": "/full_name",
        "code": "web_address",
        "detail": "A name can't contain a web address.",
    }
    person = user("SELLER")
    accept = {"token": "x", "password": PASSWORD, "terms_version": "1", "is_adult": True}
    profile = {
        "email": person.email, "locale": "en-IN", "notify_email": True, "notify_sms": True, "digest": "daily",
    }  # fmt: skip
    for answer in (
        client_for().write(f"{AUTH}/register", SIGN_UP | {"full_name": name}),
        client_for().write(f"{AUTH}/invitations/accept", accept | {"full_name": name}),
        client_for(person).write(
            f"{AUTH}/me", profile | {"full_name": name}, method="PUT", if_match=person.version
        ),
    ):
        assert (answer.status_code, answer.json()["errors"]) == (400, [invalid])
    page = staff_client_for(user()).fill(
        "/admin/account/user/add/", email="x@example.com", full_name=name, user_type="SUPER_ADMIN"
    )
    assert page.status_code == 400
    assert not OneTimeToken.objects.exists()


@pytest.mark.parametrize(
    "name",
    ["J.P. Rao", "A.K.Sharma", "Shah & Co. Pvt.Ltd.", "M/s. Kapas", "St.John", "Ravi s/o Mohan", "સુરેશ પટેલ", "Unit 3/4"],
)  # fmt: skip
def test_names_with_dots_and_slashes_are_accepted(client_for, name):
    assert client_for().write(f"{AUTH}/register", SIGN_UP | {"full_name": name}).status_code == 202
