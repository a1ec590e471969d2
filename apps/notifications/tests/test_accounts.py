"""Notifications of accounts: links and codes reach their recipients, work once, and are stored nowhere."""

import re
import time
from contextlib import ExitStack
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from celery import current_app
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from apps.accounts.events import EmailVerificationRequested
from apps.accounts.models import OtpChallenge, User
from apps.notifications import clients, tasks
from apps.notifications.models import NAMELESS, Message, Template
from config.testing import PASSWORD
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox
from erp.services import unit_of_work
from erp.tests.outbox_support import pubsub, relaying, until
from erp.tests.smtp_server import black_hole, shut_port

__all__ = ["pubsub"]  # the fixture
pytestmark = pytest.mark.django_db
NEW = "quite another passphrase"
MOBILE = "+919812345678"


@pytest.fixture
def registered(texts):
    """SMS templates with DLT template IDs."""
    with unguarded_writes():
        Template.objects.filter(channel="sms").update(dlt_template_id="1107")


@pytest.fixture
def ask(client_for):
    """Send a write request, without signing in unless ``who`` is given."""

    def send(path, body, who=None, **more):
        return client_for(who).write(f"/api/v1/auth/{path}", body, **more)

    return send


def send_all():
    """Deliver all queued messages."""
    for message in Message.objects.filter(status="queued").order_by("pk"):
        tasks.deliver(str(message.pk))


def token_in(mail):
    return re.search(r"#(\S+)", mail.get_content())[1]


def sign_up(email):
    return {
        "full_name": "Asha Patel",
        "email": email,
        "password": NEW,
        "terms_version": "2026-01",
        "is_adult": True,
    }


def test_the_link_of_a_sign_up_completes_it_once(ask, deliver, texts, post):
    assert ask("register", sign_up("asha@example.com")).status_code == 202
    deliver()
    send_all()
    [mail] = post.mails
    assert (mail["To"], mail["Subject"]) == ("asha@example.com", "Complete your sign-up")
    assert "http://localhost:8000/verify-email#" in mail.get_content()
    token = token_in(mail)
    assert ask("verify-email", {"token": token}).status_code == 200
    assert ask("verify-email", {"token": token}).status_code == 409
    assert ask("login", {"email": "asha@example.com", "password": NEW}, key=None).status_code == 200


CANARY = "Wonderful Prize Inside"


@pytest.mark.parametrize("locale", User.Locale.values)
def test_user_input_is_not_sent_to_an_unverified_address(
    ask, deliver, texts, post, user, organization, locale
):
    from apps.accounts.services import joining

    person = user("SELLER", full_name=CANARY, locale=locale)
    ask("register", sign_up("one@example.com") | {"full_name": CANARY, "locale": locale})
    ask("verify-email/resend", {"email": "one@example.com"})
    change = {
        "full_name": CANARY, "email": "two@example.com", "mobile": None, "locale": locale, "digest": "daily",
        "notify_email": True, "notify_sms": False, "current_password": PASSWORD,
    }  # fmt: skip
    ask("me", change, person, method="PUT", if_match=person.version)
    joining.invite(
        actor=user("INTERNAL_COMPLIANCE"),
        email="three@example.com",
        full_name=CANARY,
        user_type="INTERNAL",
        organization_id=organization().pk,
        locale=locale,
    )
    deliver()
    send_all()
    by_address = {str(mail["To"]): mail for mail in post.mails}
    assert set(by_address) == {
        "one@example.com", "two@example.com", "three@example.com", person.email,
    }  # fmt: skip
    for address, mail in by_address.items():
        text = f"{mail['Subject']} {mail.get_content()}"
        assert (CANARY in text) == (address == person.email), address
        assert (NAMELESS[locale] in text) != (address == person.email), address


def test_no_mail_is_sent_beyond_the_limit_of_an_address(ask, deliver, texts, post, settings):
    settings.THROTTLE_PUBLIC_FACTOR = 1
    settings.MAIL_PER_ADDRESS = {timedelta(hours=1): 2}
    for path in ("register", "verify-email/resend", "register", "verify-email/resend", "forgot-password"):
        body = sign_up("asha@example.com") if path == "register" else {"email": "asha@example.com"}
        assert ask(path, body).status_code == 202
    deliver()
    send_all()
    assert [mail["Subject"] for mail in post.mails] == [
        "Complete your sign-up",
        "Confirm your e-mail address",
    ]


def test_only_the_newest_link_resets_a_forgotten_password(ask, deliver, texts, post, user):
    person = user("SELLER")
    for _ in range(2):
        ask("forgot-password", {"email": person.email})
    ask("forgot-password", {"email": "nobody@example.com"})
    deliver()
    send_all()
    assert [m.status for m in Message.objects.order_by("pk")] == ["expired", "sent"]
    [mail] = post.mails
    body = {"token": token_in(mail), "new_password": NEW}
    assert ask("reset-password", body).status_code == 204
    deliver()
    send_all()
    assert [m["Subject"] for m in post.mails[1:]] == ["Your password was changed"]


def test_a_code_is_sent_by_sms_and_signs_in(ask, deliver, registered, gateway, user):
    person = user("SELLER", mobile=MOBILE, mobile_verified_at=timezone.now())
    asked = ask("otp/request", {"mobile": MOBILE, "purpose": "sign_in"}, key=None).json()
    ask("otp/request", {"mobile": "+919800000001", "purpose": "sign_in"}, key=None)
    deliver()
    send_all()
    [(_, sms)] = gateway.calls
    assert sms["to"] == MOBILE
    code = re.match(r"\d{6}", sms["text"])[0]
    answer = ask("otp/verify", {"challenge_id": asked["challenge_id"], "code": code}, key=None)
    assert answer.status_code == 200, answer.content
    [message] = Message.objects.filter(code="otp")
    assert (message.user_id, message.not_after) == (
        person.pk,
        OtpChallenge.objects.get(pk=asked["challenge_id"]).expires_at,
    )


def test_no_code_is_sent_after_its_expiry_or_use(ask, deliver, registered, gateway):
    for used in (False, True):
        ask("otp/request", {"mobile": MOBILE, "purpose": "prove_number"}, key=None)
        with unguarded_writes():
            past = timezone.now() - timedelta(seconds=1)
            change = (
                {"used_at": past} if used else {"expires_at": past, "created_at": past - timedelta(hours=2)}
            )
            OtpChallenge.objects.filter(used_at=None).update(**change)
        deliver()
    send_all()
    assert {m.status for m in Message.objects.all()} == {"expired"}
    assert gateway.calls == []


def test_a_new_address_gets_a_link_and_the_old_one_a_notice(ask, deliver, texts, post, user):
    person = user("SELLER")
    body = {
        "full_name": person.full_name,
        "email": "new@example.com",
        "locale": "en-IN",
        "notify_email": True,
        "notify_sms": False,
        "digest": "immediate",
        "current_password": PASSWORD,
    }
    answer = ask("me", body, person, method="PUT", if_match=person.version)
    assert answer.status_code == 200, answer.content
    deliver()
    send_all()
    sent = {mail["To"]: mail["Subject"] for mail in post.mails}
    assert sent == {
        "new@example.com": "Confirm your e-mail address",
        person.email: "Your e-mail address is being changed",
    }
    assert "new@example.com" not in next(m for m in post.mails if m["To"] == person.email).get_content()
    token = token_in(next(m for m in post.mails if m["To"] == "new@example.com"))
    assert ask("verify-email", {"token": token}).status_code == 200
    assert User.objects.get(pk=person.pk).email == "new@example.com"


@pytest.mark.parametrize("is_queued_first", [True, False])
def test_the_old_address_gets_a_notice_however_soon_the_change_is_confirmed(
    is_queued_first, ask, deliver, texts, post, user
):
    from apps.accounts import secrets
    from apps.accounts.models import OneTimeToken

    person = user("SELLER")
    body = {
        "full_name": person.full_name,
        "email": "new@example.com",
        "current_password": PASSWORD,
        "locale": "en-IN",
        "notify_email": True,
        "notify_sms": False,
        "digest": "immediate",
    }
    assert ask("me", body, who=person, method="PUT", if_match=person.version).status_code == 200
    if is_queued_first:
        deliver()  # the messages are rows now, and not sent yet
    token = secrets.token_of(OneTimeToken.objects.live().get(purpose="change_email"))
    assert ask("verify-email", {"token": token}).status_code == 200
    deliver()
    send_all()
    assert [mail["To"] for mail in post.mails if "being changed" in mail["Subject"]] == [person.email]


def test_a_change_to_a_taken_address_sends_notices_and_no_link(ask, deliver, texts, post, user):
    person, other = user("SELLER"), user("BUYER")
    body = {
        "full_name": person.full_name,
        "email": other.email,
        "current_password": PASSWORD,
        "locale": "en-IN",
        "notify_email": True,
        "notify_sms": False,
        "digest": "immediate",
    }
    assert ask("me", body, who=person, method="PUT", if_match=person.version).status_code == 200
    deliver()
    send_all()
    assert {mail["To"]: mail["Subject"] for mail in post.mails} == {
        person.email: "Your e-mail address is being changed",
        other.email: "Your e-mail address was used to sign up",
    }
    assert not [mail for mail in post.mails if "#" in mail.get_content()]


def test_the_notice_of_an_unused_link_goes_to_the_current_address(ask, deliver, texts, post, user):
    from apps.accounts.models import OneTimeToken

    person = user("SELLER", former_email="earlier@example.com", pending_email="new@example.com")
    with unguarded_writes():
        row = OneTimeToken(purpose="change_email", user=person, key_id="x", expires_at=timezone.now())
        row.save()
    event = EmailVerificationRequested(token_id=row.pk, user_id=person.pk, purpose="change_email")
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(pending_email=None)  # given up meanwhile
    with unit_of_work(SYSTEM):
        tasks.email_verification(event, meta=SimpleNamespace(event_id=uuid4()))
    send_all()
    assert [mail["To"] for mail in post.mails] == [person.email]


def test_the_owner_of_an_address_is_notified_of_sign_ups_once_a_day(ask, deliver, texts, post, user):
    person = user("SELLER")
    for _ in range(3):
        assert ask("register", sign_up(person.email)).status_code == 202
    deliver()
    send_all()
    assert [mail["Subject"] for mail in post.mails] == ["Your e-mail address was used to sign up"]


def test_the_link_of_an_invitation_activates_the_account(deliver, texts, post, user, ask, organization):
    from apps.accounts.services import joining

    joining.invite(
        actor=user("INTERNAL_COMPLIANCE"),
        email="ravi@example.com",
        full_name="Ravi Shah",
        user_type="INTERNAL",
        roles=["INTERNAL"],
        organization_id=organization().pk,
    )
    deliver()
    send_all()
    [mail] = post.mails
    body = {"token": token_in(mail), "password": NEW, "terms_version": "2026-01", "is_adult": True}
    assert ask("invitations/accept", body).status_code == 204


@pytest.mark.parametrize("away", ["refused", "hanging"])
@pytest.mark.django_db(transaction=True)
def test_an_outage_does_not_fail_requests_and_messages_are_sent_later(
    away, ask, deliver, texts, post, settings, user, monkeypatch
):
    person = user("SELLER")
    with ExitStack() as stack:
        port = shut_port() if away == "refused" else stack.enter_context(black_hole())
        settings.SMTP_PORT = port
        monkeypatch.setattr(current_app.conf, "broker_url", f"redis://127.0.0.1:{port}/0")
        monkeypatch.setattr(clients.Smtp, "read_timeout", 0.5)
        for path, body in (
            ("register", sign_up("asha@example.com")),
            ("forgot-password", {"email": person.email}),
        ):
            began = time.monotonic()
            assert ask(path, body).status_code == 202
            assert time.monotonic() - began < 5
        deliver()
        message = Message.objects.get(code="sign_up")
        tasks.deliver(str(message.pk))
    with unguarded_writes():
        Message.objects.filter(code="reset_password").update(not_after=timezone.now())
        Message.objects.update(next_attempt_at=timezone.now())
    cache.clear()
    clients.Client._breakers.clear()
    settings.SMTP_PORT = post.port
    send_all()
    assert [mail["To"] for mail in post.mails] == ["asha@example.com"]
    assert Message.objects.get(code="reset_password").status == "expired"


@pytest.mark.usefixtures("pubsub")
@pytest.mark.django_db(transaction=True)
def test_with_pubsub_broker_and_sms_down_users_sign_in_and_only_valid_codes_are_sent_later(
    ask, deliver, registered, gateway, settings, user, monkeypatch
):
    person = user("SELLER", mobile=MOBILE, mobile_verified_at=timezone.now())
    port, sms_url = shut_port(), settings.SMS_URL
    settings.PUBSUB_EMULATOR_HOST = f"127.0.0.1:{port}"
    settings.SMS_URL = f"http://127.0.0.1:{port}/send"
    monkeypatch.setattr(current_app.conf, "broker_url", f"redis://127.0.0.1:{port}/0")
    code = {"mobile": MOBILE, "purpose": "sign_in"}
    late = {"mobile": "+919800000001", "purpose": "prove_number"}
    with relaying() as running:
        for path, body, status in (
            ("login", {"email": person.email, "password": PASSWORD}, 200),
            ("otp/request", code, 202),
            ("otp/request", late, 202),
            ("login", {"email": person.email, "password": "wrong"}, 401),
        ):
            began = time.monotonic()
            assert ask(path, body, key=None).status_code == status
            assert time.monotonic() - began < 5
        until(lambda: running.last_error)
        assert set(EventOutbox.objects.values_list("status", flat=True)) == {"pending"}
    deliver()
    send_all()
    assert {message.status for message in Message.objects.filter(code="otp")} == {"queued"}
    with unguarded_writes():
        Message.objects.filter(recipient_id__in=OtpChallenge.objects.filter(user=None)).update(
            not_after=timezone.now()
        )
        Message.objects.update(next_attempt_at=timezone.now())
    cache.clear()
    clients.Client._breakers.clear()
    settings.SMS_URL = sms_url
    send_all()
    [(_, sms)] = gateway.calls
    assert sms["to"] == MOBILE
    answer = {
        "challenge_id": str(OtpChallenge.objects.get(user=person).pk),
        "code": re.match(r"\d{6}", sms["text"])[0],
    }
    assert ask("otp/verify", answer, key=None).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_links_and_codes_are_stored_and_logged_nowhere(
    ask, deliver, registered, post, gateway, request_lines, caplog, settings, user
):
    from redis import Redis

    person = user("SELLER")
    ask("register", sign_up("asha@example.com"))
    ask("forgot-password", {"email": person.email})
    ask("otp/request", {"mobile": MOBILE, "purpose": "prove_number"}, key=None)
    deliver()
    send_all()
    found = [token_in(mail) for mail in post.mails] + [gateway.calls[0][1]["text"][:6]]
    assert len(found) == 3
    broker = Redis.from_url(settings.CELERY_BROKER_URL)
    waiting = b"".join(broker.lrange("mail", 0, -1)).decode()
    broker.delete("mail")
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        for secret in found:
            for table in tables:
                # Ids and hashes hold six digits by chance: a code stands by itself.
                pattern = rf"(^|[^0-9a-zA-Z._-]){re.escape(secret)}($|[^0-9a-zA-Z._-])"
                cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text ~ %s', [pattern])
                assert cursor.fetchone()[0] == 0, table
            assert not re.search(rf"\b{re.escape(secret)}\b", waiting + caplog.text)
    for address in ("asha@example.com", person.email, MOBILE):
        assert address not in waiting + caplog.text
