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


def test_a_server_that_says_nothing_is_left_in_time():
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
