"""People are told once, by the way that fits, in time or not at all; a provider that is away loses nothing."""

import threading
import time
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.utils import timezone

from apps.accounts.models import User
from apps.notifications import clients, events, notices, services, tasks
from apps.notifications import models as m
from apps.notifications.models import Category, Channel, Digest, Message, Notice, Template
from apps.notifications.tests.examples import told
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
NEWS = Notice(
    code="test_news",
    title="News of the day",
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
    """Texts of the notices that exist only here."""
    for code, channel, subject, body in (
        ("test_link", "mail", "A link for {name}", "Dear {name}, go to {link}"),
        ("test_news", "mail", "News {number}", "Number {number}"),
        ("test_news", "sms", "", "Number {number}"),
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
    """Somebody with an address of each kind, and what they chose."""

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
    """The provider is back, and the breakers know it."""
    cache.clear()
    clients.Client._breakers.clear()


def send(message):
    """One try, as the mail queue makes it."""
    tasks.deliver(str(message.pk))
    return Message.objects.get(pk=message.pk)


def test_one_event_handled_twice_makes_one_message(reader, assert_emitted):
    person, event = reader(), uuid4()
    for _ in range(2):
        services.notify(actor=SYSTEM, notice=LINK, event_id=event, user=person)
    assert Message.objects.count() == 1
    assert_emitted(events.MessageQueued, code="test_link", channel="mail", user_id=str(person.pk))


def test_a_sign_in_from_a_new_device_is_told_by_mail(user, client_for, deliver, texts, post):
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


def test_who_has_only_a_number_is_told_by_sms(reader, words, gateway):
    person = reader(
        email=None, email_verified_at=None, mobile="+919812345678", mobile_verified_at=timezone.now()
    )
    with unguarded_writes():
        Template.objects.filter(channel="sms").update(dlt_template_id="1107")
    message = told(person)
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
    after = send(told(person))
    assert (after.status, after.error_code, gateway.calls) == ("queued", "dlt_template_missing", [])


def test_an_address_that_was_never_proven_gets_nothing(reader, words, post, assert_emitted):
    after = send(told(reader(email_verified_at=None), LINK))
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
def test_a_person_chooses_how_news_come(reader, choice, channels):
    person = reader(mobile="+919812345678", **choice)
    made = services.notify(actor=SYSTEM, notice=NEWS, event_id=person.pk, user=person)
    assert {message.channel: message.status for message in made} == channels


def test_what_is_about_safety_comes_whatever_a_person_chose(reader):
    person = reader(notify_email=False, digest="daily")
    message = told(person, LINK)
    assert message.status == "queued"
    assert message.next_attempt_at <= timezone.now()


def test_who_was_erased_or_left_gets_nothing_more(reader, words, post):
    erased, left = reader(), reader()
    messages = told(erased, LINK), told(left, NEWS, context={"number": "7"})
    with unguarded_writes():
        User.objects.filter(pk=erased.pk).update(erased_at=timezone.now())
        User.objects.filter(pk=left.pk).update(status="deactivated")
    assert [send(message).status for message in messages] == ["suppressed", "suppressed"]
    assert post.mails == []


def test_each_reads_their_own_language_and_english_where_it_lacks(reader, words, post):
    services.add_template(
        actor=SYSTEM, code="test_link", channel="mail", locale="hi-IN", subject="कड़ी", body="{link}"
    )
    for locale in ("hi-IN", "gu-IN"):
        send(told(reader(locale=locale), LINK))
    assert [mail["Subject"] for mail in post.mails] == ["कड़ी", "A link for Test Person"]


def test_a_provider_that_is_away_for_an_hour_loses_nothing(reader, words, post, settings, emitted):
    settings.SMTP_PORT = shut_port()
    message = told(reader(), LINK)
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


def test_six_tries_are_all_and_staff_can_begin_anew(reader, words, post, settings, user, assert_emitted):
    settings.SMTP_PORT = shut_port()
    message = told(reader(), LINK)
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


def test_codes_are_tried_quickly(words, gateway, assert_emitted):
    gateway.status = 503
    message = services.notify(actor=SYSTEM, notice=CODE, event_id=uuid4(), challenge_id=uuid4())[0]
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
def test_a_final_no_ends_it_and_a_not_now_does_not(reader, words, post, answer, status, code):
    post.answers["RCPT"] = answer
    after = send(told(reader(), LINK))
    assert (after.status, after.error_code) == (status, code)


def test_a_bad_address_fails_its_message_and_no_other(reader, words, post):
    for number in range(clients.Smtp.fail_max + 1):
        bad = send(told(reader(email=f"पटेल{number}@example.com"), LINK))
        assert (bad.status, bad.error_code) == ("failed", "refused_553")
    assert post.connections == 0
    assert send(told(reader(), LINK)).status == "sent"


@pytest.mark.parametrize("answer", [400, 404, 422])
def test_a_number_that_the_gateway_refuses_stops_no_other(words, gateway, answer):
    def one():
        return services.notify(actor=SYSTEM, notice=CODE, event_id=uuid4(), challenge_id=uuid4())[0]

    gateway.status = answer
    for _ in range(clients.HttpSms.fail_max + 1):
        assert send(one()).error_code == f"refused_{answer}"
    gateway.status = 200
    assert send(one()).status == "sent"


@pytest.mark.parametrize("answer", ["530 authentication required", "535 credentials invalid"])
def test_a_server_that_doubts_our_sign_in_fails_no_message_for_good(reader, words, post, answer):
    post.answers["MAIL"] = answer
    assert send(told(reader(), LINK)).status == "queued"


@pytest.mark.parametrize(("answer", "status"), [(400, "failed"), (401, "queued"), (503, "queued")])
def test_a_gateway_that_doubts_us_is_asked_again_one_that_doubts_the_message_is_not(
    words, gateway, answer, status
):
    gateway.status = answer
    message = services.notify(actor=SYSTEM, notice=CODE, event_id=uuid4(), challenge_id=uuid4())[0]
    assert send(message).status == status


def test_what_is_over_is_never_sent(reader, words, post, assert_emitted):
    late = told(reader(), LINK, not_after=timezone.now() + timedelta(hours=1))
    with unguarded_writes():
        Message.objects.filter(pk=late.pk).update(
            not_after=timezone.now(), next_attempt_at=timezone.now() + timedelta(hours=6)
        )
    used = told(reader(), LINK, context={"over": True})
    assert tasks.sweep() == 2
    assert [send(message).status for message in (late, used)] == ["expired", "expired"]
    assert post.mails == []
    assert_emitted(events.MessageExpired, code="test_link")
    with unguarded_writes():
        Message.objects.filter(pk=late.pk).update(status="failed")
    with pytest.raises(services.TimeOver):
        services.requeue(late, actor=SYSTEM)


def test_a_sender_that_died_is_followed_by_another(reader, words, post):
    message = told(reader(), LINK)
    assert services.begin(message, actor=SYSTEM)  # and then the process is gone
    assert send(message).status == "queued"
    assert tasks.sweep() == 0
    now_due(message)
    assert tasks.sweep() == 1
    assert send(message).status == "sent"
    assert (Message.objects.count(), len(post.mails)) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_many_senders_of_one_message_send_it_once(reader, words, post):
    message = told(reader(), LINK)
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
def test_providers_and_broker_away_neither_fail_nor_slow_a_request(
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
        deliver()  # what the consumer does; the message is kept though nobody hears of it
        assert time.monotonic() - began < 5
        [message] = Message.objects.all()
        assert send(message).status == "queued"
    heal()
    settings.SMTP_PORT = post.port
    now_due(message)
    assert send(message).status == "sent"
    assert len(post.mails) == 1


def test_a_repeated_sms_wakes_nobody_either(reader, words, gateway, monkeypatch):
    message = told(reader(notify_email=False, notify_sms=True, mobile="+919812345678"), notice=NEWS)
    night = datetime(2026, 1, 12, 17, 30, tzinfo=UTC)  # 23:00 in India
    with unguarded_writes():
        Message.objects.filter(pk=message.pk).update(attempts=1, next_attempt_at=night)
    monkeypatch.setattr(services.timezone, "now", lambda: night)
    message.refresh_from_db()
    assert services.begin(message, actor=SYSTEM) is False
    message.refresh_from_db()
    assert (message.status, message.attempts) == ("queued", 1)
    assert message.next_attempt_at == datetime(2026, 1, 13, 3, 30, tzinfo=UTC)
    assert gateway.calls == []


def test_who_turned_news_off_meanwhile_gets_none(reader, words, post, assert_emitted):
    person = reader()
    message = told(person, notice=NEWS)
    with unguarded_writes():
        type(person).objects.filter(pk=person.pk).update(notify_email=False)
    assert send(message).status == "suppressed"
    assert post.mails == []


def test_news_of_a_day_come_as_one_and_none_when_there_are_none(reader, words, post, assert_emitted):
    person = reader(digest="daily")
    news = [told(person, NEWS, context={"number": str(n)}) for n in range(3)]
    assert tasks.sweep() == 0
    assert (tasks.send_digests(), tasks.send_digests()) == (1, 0)
    assert {Message.objects.get(pk=each.pk).status for each in news} == {"digested"}
    digest = Message.objects.get(code="digest")
    assert send(digest).status == "sent"
    assert Digest.objects.get().status == "sent"
    [mail] = post.mails
    assert "News of the day: 3" in mail.get_content()
    assert_emitted(events.DigestSent, user_id=str(person.pk), count=3)
    later = told(person, NEWS, context={"number": "9"})
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
def test_an_sms_that_can_wait_wakes_nobody(reader, at, first):
    person = reader()
    moment, expected = (datetime.fromisoformat(text).astimezone(UTC) for text in (at, first))
    assert services._first_try(NEWS, person, Channel.SMS, moment) == expected
    assert services._first_try(LINK, person, Channel.SMS, moment) == moment
    assert services._first_try(NEWS, person, Channel.MAIL, moment) == moment


def test_shipped_texts_are_whole_and_loading_them_again_changes_nothing(texts):
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
        ({"code": "unheard_of"}, "/code"),
    ],
)
def test_a_text_that_does_not_fit_its_notice_is_not_kept(db, fields, pointer):
    values = {"code": "test_link", "channel": "mail", "locale": "gu-IN", "subject": "A", "body": "{link}"}
    with pytest.raises(services.TextInvalid) as caught:
        services.add_template(actor=SYSTEM, **{**values, **fields})
    assert pointer in [fault.pointer for fault in caught.value.errors]


def test_an_sms_text_beyond_the_console_is_a_registered_one(db, settings):
    settings.SMS_PROVIDER = "http_sms"
    values = {"actor": SYSTEM, "code": "test_code", "channel": "sms", "locale": "en-IN", "body": "{code}"}
    with pytest.raises(services.TextInvalid):
        services.add_template(**values)
    assert services.add_template(**values, dlt_template_id="1107").status == "active"


def test_a_text_is_worded_anew_and_retired(words, user, reader, post, assert_emitted):
    keeper = user("INTERNAL_MASTERDATA")
    template = Template.objects.get(code="test_link")
    with pytest.raises(services.TextExists):
        services.add_template(
            actor=keeper, code="test_link", channel="mail", locale="en-IN", subject="A", body="B"
        )
    services.change_template(template, actor=keeper, subject="Anew", body="{link}")
    assert_emitted(events.TemplateChanged, code="test_link", by=str(keeper.pk))
    send(told(reader(), LINK))
    assert post.mails[0]["Subject"] == "Anew"
    services.retire_template(template, actor=keeper)
    with pytest.raises(services.NotActive):
        services.change_template(template, actor=keeper, subject="Again", body="{link}")
    after = send(told(reader(), LINK))
    assert (after.status, after.error_code) == ("queued", "template_missing")


def test_a_value_is_put_in_as_it_is_and_a_subject_stays_one_line():
    assert m.filled("{a} {b}", {"a": "{b}", "b": "2"}) == "{b} 2"


def test_a_name_can_not_break_out_of_the_subject(words, reader, post):
    send(told(reader(full_name="Asha\nBcc: all@example.com"), LINK))
    [mail] = post.mails
    assert mail["Subject"] == "A link for Asha Bcc: all@example.com"
    assert mail["Bcc"] is None


@pytest.mark.django_db(transaction=True)
def test_a_secret_is_in_the_mail_and_nowhere_else(reader, words, post, caplog, settings):
    from redis import Redis

    person = reader()
    message = told(person, LINK)
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
    broker = Redis.from_url(settings.CELERY_BROKER_URL)
    waiting = broker.lrange("mail", 0, -1)
    assert any(str(message.pk).encode() in each or b"deliver" in each for each in waiting)
    assert not any(SECRET.encode() in each for each in waiting)
    broker.delete("mail")
    assert SECRET not in caplog.text
    assert person.email not in caplog.text
    assert "link" not in repr(message.letter())


def test_the_console_shows_messages_on_standard_output_and_in_no_log(reader, words, capsys, caplog):
    person = reader()
    assert send(told(person, LINK)).status == "sent"
    assert SECRET in capsys.readouterr().out
    assert SECRET not in caplog.text


def test_the_console_is_refused_where_it_counts(settings):
    settings.MAIL_PROVIDER, settings.SMS_PROVIDER = "console", "http_sms"
    with pytest.raises(SystemCheckError, match="MAIL_PROVIDER is the console"):
        call_command("check", "--deploy", "--fail-level=ERROR", stdout=StringIO(), stderr=StringIO())
    assert [error.id for error in clients.check_providers()] == ["notification.E001"]


def test_the_database_keeps_no_text_of_a_security_message(reader):
    from django.db import IntegrityError, transaction

    message = told(reader(), LINK)
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        Message.objects.filter(pk=message.pk).update(body=SECRET)


def test_a_person_reads_their_own_messages_and_no_security_text(reader, words, post, client_for):
    person, other = reader(), reader()
    link, news = told(person, LINK), told(person, NEWS, context={"number": "7"})
    told(other, LINK)
    for message in (link, news):
        send(message)
    client = client_for(person)
    rows = {row["code"]: row for row in client.read("/api/v1/notifications").json()["results"]}
    assert set(rows) == {"test_link", "test_news"}
    assert (rows["test_link"]["subject"], rows["test_link"]["body"]) == (None, None)
    assert (rows["test_news"]["subject"], rows["test_news"]["body"]) == ("News 7", "Number 7")
    assert client.read(f"/api/v1/notifications/{link.pk}").json()["status"] == "sent"
    assert client_for(other).read(f"/api/v1/notifications/{link.pk}").status_code == 404
    found = client.read("/api/v1/notifications", {"code": "test_news", "channel": "mail"}).json()["results"]
    assert [row["id"] for row in found] == [str(news.pk)]
    assert client.write("/api/v1/notifications", {}).status_code == 405


def test_every_notice_of_the_product_is_declared_with_what_its_values_give(reader):
    assert {"new_sign_in", "account_locked", "session_reuse", "digest"} <= set(m.notices)
    assert notices.NEW_SIGN_IN.category == "security"
