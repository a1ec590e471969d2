"""Mail by SMTP: a real server plays the remote."""

import time
from email.message import EmailMessage

import pytest
from django.db import transaction

from erp.clients import Client, InsideTransaction, RemoteRefused, RemoteUnavailable
from erp.clients.smtp import SmtpClient
from erp.tests.smtp_server import black_hole, running, shut_port


class Post(SmtpClient):
    name, timeout = "test_post", 2.0
    connect_timeout, read_timeout = 0.5, 1.0
    fail_max = 3


@pytest.fixture(autouse=True)
def _fresh_breakers():
    Client._breakers.clear()
    yield
    Client._breakers.clear()


def mail(to="asha@example.com"):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "erp@example.com", to, "A word"
    message.set_content("Good morning.\n.\nA dot alone was there.\n")
    return message


def post(port):
    return Post("127.0.0.1", port, security="none")


def test_a_mail_arrives_as_it_was_written():
    with running() as server:
        post(server.port).send(mail())
    [taken] = server.mails
    assert (taken["To"], taken["Subject"]) == ("asha@example.com", "A word")
    assert taken.get_content().splitlines() == ["Good morning.", ".", "A dot alone was there."]


@pytest.mark.parametrize("verb", ["RCPT", "MAIL", "END"])
def test_a_final_no_is_a_refusal_and_a_not_now_is_none(verb):
    with running() as server:
        server.answers[verb] = "550 never"
        with pytest.raises(RemoteRefused) as caught:
            post(server.port).send(mail())
        assert caught.value.answer.status == 550
        server.answers[verb] = "451 later"
        with pytest.raises(RemoteUnavailable):
            post(server.port).send(mail())
        server.answers.clear()
        for _ in range(Post.fail_max + 1):  # a no isn't an outage: the breaker stays closed
            server.answers[verb] = "550 never"
            with pytest.raises(RemoteRefused):
                post(server.port).send(mail())
    assert Post.breaker("send").state == "closed"


def send_often(server, message):
    """More tries than open a breaker; returns the statuses of the refusals."""
    statuses = []
    for _ in range(Post.fail_max + 1):
        try:
            post(server.port).send(message)
        except RemoteRefused as error:
            statuses.append(error.answer.status)
        except RemoteUnavailable:
            statuses.append(0)
    return set(statuses)


@pytest.mark.parametrize(
    ("to", "answers", "status"),
    [
        ("पटेल@example.com", {}, 553),  # SMTPUTF8 isn't offered
        ("asha@example.com", {"RCPT": "501 syntax"}, 501),
        ("asha@example.com", {"RCPT": "550 unknown"}, 550),
        ("asha@example.com", {"MAIL": "552 too large"}, 552),
        ("asha@example.com", {"DATA": "554 no valid recipients"}, 554),
        ("asha@example.com", {"END": "554 spam"}, 554),
        ("asha@example.com", {"RCPT": "450 greylisted"}, 0),
        ("asha@example.com", {"RCPT": "452 mailbox full"}, 0),
    ],
)
def test_one_bad_recipient_or_message_stops_no_other(to, answers, status):
    with running() as server:
        server.answers.update(answers)
        assert send_often(server, mail(to)) == {status}
        server.answers.clear()
        post(server.port).send(mail())
        assert [str(taken["To"]) for taken in server.mails] == ["asha@example.com"]
    assert Post.breaker("send").state == "closed"


@pytest.mark.parametrize(
    "answers",
    [
        {"CONNECT": "421 too busy"},
        {"CONNECT": "554 no service here"},
        {"EHLO": "421 closing", "HELO": "421 closing"},
        {"MAIL": "451 local error"},
        {"MAIL": "421 closing"},
        {"RCPT": "421 closing"},
        {"END": "452 out of disk space"},
    ],
)
def test_a_server_that_takes_no_mail_at_all_opens_the_breaker(answers):
    with running() as server:
        server.answers.update(answers)
        assert send_often(server, mail()) == {0}
        assert server.connections == Post.fail_max
    assert Post.breaker("send").state == "open"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "asha@",
        "@example.com",
        "asha patel@example.com",
        "asha@example",
        "asha@exa mple.com",
        "asha@-example.com",
        f"asha@{'x' * 64}.com",
        "asha@example..com",
        "पटेल@example.com",
        "asha@example.com\r\nRCPT TO:<victim@example.com>",
        "Asha <asha@example.com>",
        "a@example.com,b@example.com",
    ],
)
def test_an_address_that_no_server_takes_is_refused_before_anything_is_sent(address):
    with running() as server:
        with pytest.raises(RemoteRefused) as caught:
            post(server.port).recipient(address)
        assert server.connections == 0
    assert caught.value.answer.status == 553


@pytest.mark.parametrize(
    ("address", "header"),
    [
        ("asha@example.com", "asha@example.com"),
        ("asha.patel+erp@example.co.in", "asha.patel+erp@example.co.in"),
        ("asha@bücher.example", "asha@xn--bcher-kva.example"),
    ],
)
def test_a_domain_is_written_in_ascii(address, header):
    with running() as server:
        post(server.port).send(mail(post(server.port).recipient(address)))
        assert server.mails[0]["To"] == header


def test_a_server_that_is_away_opens_the_breaker():
    port = shut_port()
    for _ in range(Post.fail_max):
        with pytest.raises(RemoteUnavailable):
            post(port).send(mail())
    assert Post.breaker("send").state == "open"
    with running() as server, pytest.raises(RemoteUnavailable) as caught:
        post(server.port).send(mail())
    assert server.connections == 0
    assert int(caught.value.headers["Retry-After"]) >= 1


def test_a_silent_server_is_abandoned_in_time():
    with black_hole() as port:
        began = time.monotonic()
        with pytest.raises(RemoteUnavailable):
            post(port).send(mail())
        assert time.monotonic() - began < Post.read_timeout + 1


def test_a_server_that_drips_is_cut_off_at_the_deadline():
    with running() as server:
        server.drip = True
        began = time.monotonic()
        with pytest.raises(RemoteUnavailable):
            post(server.port).send(mail())
        assert time.monotonic() - began < Post.timeout + 1
    assert server.mails == []


@pytest.mark.django_db
def test_no_mail_is_sent_inside_a_transaction():
    with running() as server, transaction.atomic(), pytest.raises(InsideTransaction):
        post(server.port).send(mail())
    assert server.connections == 0
