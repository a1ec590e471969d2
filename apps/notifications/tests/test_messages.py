"""Messages are sent once, by the right channel and in time, also after an outage of a provider."""

import threading
import time
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from celery.signals import before_task_publish
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.utils import timezone

from apps.accounts.models import User
from apps.notifications import clients, events, notices, services, tasks
from apps.notifications import models as m
from apps.notifications.models import Category, Channel, Digest, Message, Notice, Template
from apps.notifications.tests.examples import notify
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.tests.smtp_server import black_hole, shut_port

pytestmark = pytest.mark.django_db
SECRET = "S3cret-derived-when-sent"

LINK = Notice(
    code="test_link",
    title="A link",
    category=Category.SECURITY,
    variables=frozenset({"link"}),
    values=lambda message: None if message.context.get("over") else {"link": f"https://x.example/#{SECRET}"},
)
REPORT = Notice(
    code="test_report",
    title="Daily report",
    category=Category.DIGEST,
    variables=frozenset({"number"}),
    values=lambda message: {"number": message.context["number"]},
)
CODE = Notice(
    code="test_code",
    title="A code",
    category=Category.SECURITY,
    variables=frozenset({"code"}),
    values=lambda message: {"code": "123456"},
    address=lambda message: "+919812345678",
    waits=m.QUICK,
)


@pytest.fixture
def words(texts):
    """Templates of the notices of this module."""
    for code, channel, subject, body in (
        ("test_link", "mail", "A link for {name}", "Dear {name}, go to {link}"),
        ("test_report", "mail", "Report {number}", "Number {number}"),
        ("test_report", "sms", "", "Number {number}"),
        ("test_code", "sms", "", "{code} is your code"),
    ):
        services.add_template(
            actor=SYSTEM,
            code=code,
            channel=channel,
            locale="en-IN",
            subject=subject,
            body=body,
            dlt_template_id="1107" if channel == "sms" else "",
        )


@pytest.fixture
def reader(user):
    """An internal user with the given fields."""

    def make(**fields):
        person = user("INTERNAL")
        with unguarded_writes():
            for name, value in fields.items():
                setattr(person, name, value)
            person.save()
        return User.objects.get(pk=person.pk)

    return make


def now_due(message):
    with unguarded_writes():
        Message.objects.filter(pk=message.pk).update(next_attempt_at=timezone.now())


def heal():
    """Reset the circuit breakers after an outage."""
    cache.clear()
    clients.Client._breakers.clear()


def send(message):
    """Make one attempt to send the message."""
    tasks.deliver(str(message.pk))
    return Message.objects.get(pk=message.pk)


def test_one_event_handled_twice_makes_one_message(reader, assert_emitted):
    person, event = reader(), uuid4()
    for _ in range(2):
        services.notify(actor=SYSTEM, notice=LINK, event_id=event, user=person)
    assert Message.objects.count() == 1
    assert_emitted(events.MessageQueued, code="test_link", channel="mail", user_id=str(person.pk))


def test_a_sign_in_from_a_new_device_is_reported_by_mail(user, client_for, deliver, texts, post):
    from config.testing import PASSWORD

    person = user("SELLER")
    for device in ("Firefox", "Chrome on another machine"):
        client_for().write(
            "/api/v1/auth/login", {"email": person.email, "password": PASSWORD}, **{"User-Agent": device}
        )
    deliver()
    assert tasks.sweep() == 1
    [message] = Message.objects.all()
    assert send(message).status == "sent"
    [mail] = post.mails
    assert mail["To"] == person.email
    assert mail["Message-ID"] == f"<{message.pk}@cotton-erp.example>"
    assert person.full_name in mail.get_content()


def test_a_user_with_only_a_number_is_notified_by_sms(reader, words, gateway):
    person = reader(
        email=None, email_verified_at=None, mobile="+919812345678", mobile_verified_at=timezone.now()
    )
    with unguarded_writes():
        Template.objects.filter(channel="sms").update(dlt_template_id="1107")
    message = notify(person)
    assert message.channel == "sms"
    sent = send(message)
    assert (sent.status, sent.provider, sent.provider_message_id) == ("sent", "sms", "gw-1")
    [(headers, body)] = gateway.calls
    assert headers["Authorization"] == "Bearer gate-token"
    assert headers["Idempotency-Key"] == str(message.pk)
    assert (body["to"], body["sender"], body["entity_id"], body["template_id"]) == (
        "+919812345678",
        "CTNERP",
        "1101",
        "1107",
    )


def test_an_sms_without_a_registered_text_waits_and_is_never_sent(reader, words, gateway):
    person = reader(
        email=None, email_verified_at=None, mobile="+919812345678", mobile_verified_at=timezone.now()
    )
    after = send(notify(person))
    assert (after.status, after.error_code, gateway.calls) == ("queued", "dlt_template_missing", [])


def test_nothing_is_sent_to_an_unverified_address(reader, words, post, assert_emitted):
    after = send(notify(reader(email_verified_at=None), LINK))
    assert (after.status, after.error_code, post.mails) == ("suppressed", "no_address", [])
    assert_emitted(events.MessageSuppressed, code="test_link")


@pytest.mark.parametrize(
    ("choice", "channels"),
    [
        ({"notify_email": True, "notify_sms": False}, {"mail": "queued"}),
        ({"notify_email": True, "notify_sms": True}, {"mail": "queued", "sms": "queued"}),
        ({"notify_email": False, "notify_sms": False}, {"mail": "suppressed"}),
    ],
)
def test_users_choose_the_channels_of_digest_messages(reader, choice, channels):
    person = reader(mobile="+919812345678", **choice)
    made = services.notify(actor=SYSTEM, notice=REPORT, event_id=person.pk, user=person)
    assert {message.channel: message.status for message in made} == channels


def test_security_messages_are_sent_whatever_the_user_chose(reader):
    person = reader(notify_email=False, digest="daily")
    message = notify(person, LINK)
    assert message.status == "queued"
    assert message.next_attempt_at <= timezone.now()


def test_erased_and_deactivated_users_get_no_messages(reader, words, post):
    erased, left = reader(), reader()
    messages = notify(erased, LINK), notify(left, REPORT, context={"number": "7"})
    with unguarded_writes():
        User.objects.filter(pk=erased.pk).update(erased_at=timezone.now())
        User.objects.filter(pk=left.pk).update(status="deactivated")
    assert [send(message).status for message in messages] == ["suppressed", "suppressed"]
    assert post.mails == []


def test_messages_are_in_the_users_language_or_else_in_english(reader, words, post):
    services.add_template(
        actor=SYSTEM, code="test_link", channel="mail", locale="hi-IN", subject="कड़ी", body="{link}"
    )
    for locale in ("hi-IN", "gu-IN"):
        send(notify(reader(locale=locale), LINK))
    assert [mail["Subject"] for mail in post.mails] == ["कड़ी", "A link for Test Person"]


def test_no_message_is_lost_in_an_outage_of_an_hour(reader, words, post, settings, emitted):
    settings.SMTP_PORT = shut_port()
    message = notify(reader(), LINK)
    waits = []
    for _ in range(4):
        after = send(message)
        assert (after.status, after.error_code) == ("queued", "unavailable")
        waits.append(round((after.next_attempt_at - after.updated_at).total_seconds()))
        now_due(message)
    assert waits == [30, 120, 600, 3600]
    heal()
    settings.SMTP_PORT = post.port
    assert send(message).status == "sent"
    assert len(post.mails) == 1
    assert not emitted("notification.failed")


def test_staff_send_a_message_again_that_failed_after_six_attempts(
    reader, words, post, settings, user, assert_emitted
):
    settings.SMTP_PORT = shut_port()
    message = notify(reader(), LINK)
    for _ in range(6):
        now_due(message)
        after = send(message)
    assert (after.status, after.attempts) == ("failed", 6)
    assert_emitted(events.MessageFailed, attempts=6)
    heal()
    settings.SMTP_PORT = post.port
    services.requeue(message, actor=user("INTERNAL_MASTERDATA"))
    assert_emitted(events.MessageRequeued, attempts=0)
    assert send(message).status == "sent"
    with pytest.raises(services.NotFailed):
        services.requeue(message, actor=SYSTEM)


def test_codes_are_retried_quickly(words, gateway, assert_emitted):
    gateway.status = 503
    message = services.notify(actor=SYSTEM, notice=CODE, event_id=uuid4(), recipient_id=uuid4())[0]
    waits = []
    for _ in range(4):
        after = send(message)
        if after.status == "queued":
            waits.append(round((after.next_attempt_at - after.updated_at).total_seconds()))
        now_due(message)
    assert (waits, after.status) == ([5, 15, 45], "failed")


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [("550 unknown", "failed", "refused_550"), ("451 later", "queued", "unavailable")],
)
def test_a_permanent_refusal_ends_a_message_and_a_temporary_one_does_not(
    reader, words, post, answer, status, code
):
    post.answers["RCPT"] = answer
    after = send(notify(reader(), LINK))
    assert (after.status, after.error_code) == (status, code)


def test_an_invalid_address_fails_its_message_and_no_other(reader, words, post):
    for number in range(clients.Smtp.fail_max + 1):
        bad = send(notify(reader(email=f"पटेल{number}@example.com"), LINK))
        assert (bad.status, bad.error_code) == ("failed", "refused_553")
    assert post.connections == 0
    assert send(notify(reader(), LINK)).status == "sent"


@pytest.mark.parametrize("answer", [400, 404, 422])
def test_a_number_that_the_gateway_refuses_fails_no_other_message(words, gateway, answer):
    def one():
        return services.notify(actor=SYSTEM, notice=CODE, event_id=uuid4(), recipient_id=uuid4())[0]

    gateway.status = answer
    for _ in range(clients.HttpSms.fail_max + 1):
        assert send(one()).error_code == f"refused_{answer}"
    gateway.status = 200
    assert send(one()).status == "sent"


@pytest.mark.parametrize("answer", ["530 authentication required", "535 credentials invalid"])
def test_an_authentication_failure_at_the_server_fails_no_message_permanently(reader, words, post, answer):
    post.answers["MAIL"] = answer
    assert send(notify(reader(), LINK)).status == "queued"


@pytest.mark.parametrize(("answer", "status"), [(400, "failed"), (401, "queued"), (503, "queued")])
def test_a_message_is_retried_unless_the_gateway_refuses_the_message_itself(words, gateway, answer, status):
    gateway.status = answer
    message = services.notify(actor=SYSTEM, notice=CODE, event_id=uuid4(), recipient_id=uuid4())[0]
    assert send(message).status == status


def test_an_expired_message_is_never_sent(reader, words, post, assert_emitted):
    late = notify(reader(), LINK, not_after=timezone.now() + timedelta(hours=1))
    with unguarded_writes():
        Message.objects.filter(pk=late.pk).update(
            not_after=timezone.now(), next_attempt_at=timezone.now() + timedelta(hours=6)
        )
    used = notify(reader(), LINK, context={"over": True})
    assert tasks.sweep() == 2
    assert [send(message).status for message in (late, used)] == ["expired", "expired"]
    assert post.mails == []
    assert_emitted(events.MessageExpired, code="test_link")
    with unguarded_writes():
        Message.objects.filter(pk=late.pk).update(status="failed")
    with pytest.raises(services.TimeOver):
        services.requeue(late, actor=SYSTEM)


def test_another_worker_sends_a_message_whose_worker_died(reader, words, post):
    message = notify(reader(), LINK)
    assert services.begin(message, actor=SYSTEM)  # and then the process is gone
    assert send(message).status == "queued"
    assert tasks.sweep() == 0
    now_due(message)
    assert tasks.sweep() == 1
    assert send(message).status == "sent"
    assert (Message.objects.count(), len(post.mails)) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_concurrent_workers_send_a_message_once(reader, words, post):
    message = notify(reader(), LINK)
    start = threading.Barrier(8)

    def run():
        try:
            start.wait(20)
            tasks.deliver(str(message.pk))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Message.objects.get().status == "sent"
    assert len(post.mails) == 1


@pytest.mark.parametrize("away", ["refused", "hanging"])
@pytest.mark.django_db(transaction=True)
def test_an_outage_of_providers_and_broker_neither_fails_nor_slows_a_request(
    away, user, client_for, deliver, texts, post, settings, monkeypatch
):
    from celery import current_app

    from config.testing import PASSWORD

    person = user("SELLER")
    with ExitStack() as stack:
        port = shut_port() if away == "refused" else stack.enter_context(black_hole())
        settings.SMTP_PORT = port
        monkeypatch.setattr(current_app.conf, "broker_url", f"redis://127.0.0.1:{port}/0")
        monkeypatch.setattr(clients.Smtp, "read_timeout", 0.5)
        for device in ("Firefox", "Chrome on another machine"):
            began = time.monotonic()
            answer = client_for().write(
                "/api/v1/auth/login", {"email": person.email, "password": PASSWORD}, **{"User-Agent": device}
            )
            assert answer.status_code == 200
            assert time.monotonic() - began < 2
        began = time.monotonic()
        deliver()  # what the consumer does: the message is stored
        assert time.monotonic() - began < 5
        [message] = Message.objects.all()
        assert send(message).status == "queued"
    heal()
    settings.SMTP_PORT = post.port
    now_due(message)
    assert send(message).status == "sent"
    assert len(post.mails) == 1


def test_a_retried_sms_waits_for_the_morning_too(reader, words, gateway, set_clock):
    message = notify(reader(notify_email=False, notify_sms=True, mobile="+919812345678"), notice=REPORT)
    night = datetime(2026, 1, 12, 17, 30, tzinfo=UTC)  # 23:00 in India
    with unguarded_writes():
        Message.objects.filter(pk=message.pk).update(attempts=1, next_attempt_at=night)
    set_clock(night)
    message.refresh_from_db()
    assert services.begin(message, actor=SYSTEM) is False
    message.refresh_from_db()
    assert (message.status, message.attempts) == ("queued", 1)
    assert message.next_attempt_at == datetime(2026, 1, 13, 3, 30, tzinfo=UTC)
    assert gateway.calls == []


def test_a_digest_message_turned_off_meanwhile_is_not_sent(reader, words, post, assert_emitted):
    person = reader()
    message = notify(person, notice=REPORT)
    with unguarded_writes():
        type(person).objects.filter(pk=person.pk).update(notify_email=False)
    assert send(message).status == "suppressed"
    assert post.mails == []


def test_the_digest_messages_of_a_day_are_sent_as_one(reader, words, post, assert_emitted):
    person = reader(digest="daily")
    messages = [notify(person, REPORT, context={"number": str(n)}) for n in range(3)]
    assert tasks.sweep() == 0
    assert (tasks.send_digests(), tasks.send_digests()) == (1, 0)
    assert {Message.objects.get(pk=each.pk).status for each in messages} == {"digested"}
    digest = Message.objects.get(code="digest")
    assert send(digest).status == "sent"
    assert Digest.objects.get().status == "sent"
    [mail] = post.mails
    assert "Daily report: 3" in mail.get_content()
    assert_emitted(events.DigestSent, user_id=str(person.pk), count=3)
    later = notify(person, REPORT, context={"number": "9"})
    assert tasks.send_digests() == 0  # the day has its digest; this one waits for tomorrow's
    assert (
        services.gather(actor=SYSTEM, user=person, channel="mail", day=date(2099, 1, 1)).messages.get()
        == later
    )


@pytest.mark.parametrize(
    ("at", "first"),
    [
        ("2026-01-12T03:29:59Z", "2026-01-12T03:30:00Z"),
        ("2026-01-12T03:30:00Z", "2026-01-12T03:30:00Z"),
        ("2026-01-12T15:29:59Z", "2026-01-12T15:29:59Z"),
        ("2026-01-12T15:30:00Z", "2026-01-13T03:30:00Z"),
        ("2026-01-12T20:00:00Z", "2026-01-13T03:30:00Z"),
    ],
)
def test_an_sms_that_is_not_urgent_waits_for_the_morning(reader, at, first):
    person = reader()
    moment, expected = (datetime.fromisoformat(text).astimezone(UTC) for text in (at, first))
    assert services._first_attempt(REPORT, person, Channel.SMS, moment) == expected
    assert services._first_attempt(LINK, person, Channel.SMS, moment) == moment
    assert services._first_attempt(REPORT, person, Channel.MAIL, moment) == moment


def test_shipped_texts_are_complete_and_loading_them_again_changes_nothing(texts):
    codes = {code for code in m.notices if not code.startswith("test_")}
    assert {(t.code, t.channel) for t in texts if t.locale == "en-IN"} >= {
        (code, "mail") for code in codes
    } - {("otp", "mail")}
    assert services.load_templates(actor=SYSTEM) == []
    for template in texts:
        values = dict.fromkeys(m.notices[template.code].variables | m.COMMON, "value")
        assert "value" in m.filled(template.body, values) or not m.placeholders(template.body)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"body": "{password}"}, "/body"),
        ({"subject": "{x}"}, "/subject"),
        ({"body": "a lone {"}, "/body"),
        ({"subject": ""}, "/subject"),
        ({"channel": "sms", "subject": "An SMS with one"}, "/subject"),
        ({"code": "unknown"}, "/code"),
    ],
)
def test_an_invalid_template_is_refused(db, fields, pointer):
    values = {"code": "test_link", "channel": "mail", "locale": "gu-IN", "subject": "A", "body": "{link}"}
    with pytest.raises(services.TextInvalid) as caught:
        services.add_template(actor=SYSTEM, **{**values, **fields})
    assert pointer in [fault.pointer for fault in caught.value.errors]


def test_an_sms_template_needs_a_dlt_template_id(db, settings):
    settings.SMS_PROVIDER = "http_sms"
    values = {"actor": SYSTEM, "code": "test_code", "channel": "sms", "locale": "en-IN", "body": "{code}"}
    with pytest.raises(services.TextInvalid):
        services.add_template(**values)
    assert services.add_template(**values, dlt_template_id="1107").status == "active"


def test_a_template_is_changed_and_retired(words, user, reader, post, assert_emitted):
    staff = user("INTERNAL_MASTERDATA")
    template = Template.objects.get(code="test_link")
    with pytest.raises(services.TextExists):
        services.add_template(
            actor=staff, code="test_link", channel="mail", locale="en-IN", subject="A", body="B"
        )
    services.change_template(template, actor=staff, subject="Anew", body="{link}")
    assert_emitted(events.TemplateChanged, code="test_link", by=str(staff.pk))
    send(notify(reader(), LINK))
    assert post.mails[0]["Subject"] == "Anew"
    services.retire_template(template, actor=staff)
    with pytest.raises(services.NotActive):
        services.change_template(template, actor=staff, subject="Again", body="{link}")
    after = send(notify(reader(), LINK))
    assert (after.status, after.error_code) == ("queued", "template_missing")


def test_placeholders_in_values_are_not_replaced():
    assert m.filled("{a} {b}", {"a": "{b}", "b": "2"}) == "{b} 2"


def test_a_line_feed_in_a_name_adds_no_header(words, reader, post):
    send(notify(reader(full_name="Asha\nBcc: all@example.com"), LINK))
    [mail] = post.mails
    assert mail["Subject"] == "A link for Asha Bcc: all@example.com"
    assert mail["Bcc"] is None


@pytest.mark.django_db(transaction=True)
def test_a_secret_is_in_the_mail_and_not_in_any_table_queue_or_log(reader, words, post, caplog):
    queued = []

    def note(body=None, headers=None, **_):
        queued.append(repr((headers, body)))

    before_task_publish.connect(note)
    person = reader()
    message = notify(person, LINK)
    post.answers["END"] = "451 later"
    send(message)
    post.answers.clear()
    now_due(message)
    heal()
    assert send(message).status == "sent"
    assert SECRET in post.mails[-1].get_content()
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{SECRET}%"])
            assert cursor.fetchone()[0] == 0, table
            if table.startswith(("notification_", "event_")):
                cursor.execute(
                    f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{person.email}%"]
                )
                assert cursor.fetchone()[0] == 0, table
    before_task_publish.disconnect(note)
    assert any(str(message.pk) in each or "deliver" in each for each in queued)
    assert not any(SECRET in each for each in queued)
    assert SECRET not in caplog.text
    assert person.email not in caplog.text
    assert "link" not in repr(message.render())


def test_the_console_writes_messages_to_standard_output_and_to_no_log(reader, words, capsys, caplog):
    person = reader()
    assert send(notify(person, LINK)).status == "sent"
    assert SECRET in capsys.readouterr().out
    assert SECRET not in caplog.text


def test_the_deployment_check_refuses_the_console(settings):
    settings.MAIL_PROVIDER, settings.SMS_PROVIDER = "console", "http_sms"
    with pytest.raises(SystemCheckError, match="MAIL_PROVIDER is console"):
        call_command("check", "--deploy", "--fail-level=ERROR", stdout=StringIO(), stderr=StringIO())
    assert [error.id for error in clients.check_providers()] == ["notification.E001"]


def test_the_database_refuses_the_text_of_a_security_message(reader):
    from django.db import IntegrityError, transaction

    message = notify(reader(), LINK)
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        Message.objects.filter(pk=message.pk).update(body=SECRET)


def test_users_read_their_own_messages_without_security_texts(reader, words, post, client_for):
    person, other = reader(), reader()
    link, report = notify(person, LINK), notify(person, REPORT, context={"number": "7"})
    notify(other, LINK)
    for message in (link, report):
        send(message)
    client = client_for(person)
    rows = {row["code"]: row for row in client.read("/api/v1/notifications").json()["results"]}
    assert set(rows) == {"test_link", "test_report"}
    assert (rows["test_link"]["subject"], rows["test_link"]["body"]) == (None, None)
    assert (rows["test_report"]["subject"], rows["test_report"]["body"]) == ("Report 7", "Number 7")
    assert client.read(f"/api/v1/notifications/{link.pk}").json()["status"] == "sent"
    assert client_for(other).read(f"/api/v1/notifications/{link.pk}").status_code == 404
    found = client.read("/api/v1/notifications", {"code": "test_report", "channel": "mail"}).json()["results"]
    assert [row["id"] for row in found] == [str(report.pk)]
    assert client.write("/api/v1/notifications", {}).status_code == 405


def test_the_notices_of_accounts_are_declared(reader):
    assert {"new_sign_in", "account_locked", "session_reuse", "digest"} <= set(m.notices)
    assert notices.NEW_SIGN_IN.category == "security"
