"""The ways out: mail by SMTP, SMS by a gateway over HTTP, and a console that stands in for both."""

from email.message import EmailMessage
from email.utils import formatdate
from functools import cache
from typing import Any, ClassVar, Protocol

from django.conf import settings
from django.core import checks

from apps.notifications.models import Channel, Letter
from erp.clients import Client
from erp.clients.smtp import SmtpClient
from erp.logs import console


class MailProvider(Protocol):
    """What sends mail."""

    name: ClassVar[str]

    def deliver(self, letter: Letter, message_id: str) -> str:
        """Hand the letter over; returns the provider's id of it, "" where there is none.

        ``message_id`` is our own, the same on every try. Raises RemoteUnavailable, RemoteRefused.
        """


class SmsProvider(Protocol):
    """What sends SMS."""

    name: ClassVar[str]

    def deliver(self, letter: Letter, message_id: str) -> str:
        """As of mail."""


class Console:
    """Shows each message on standard output, for development: it never comes near a log."""

    name: ClassVar[str] = "console"

    def deliver(self, letter: Letter, message_id: str) -> str:
        """Write it out."""
        head = [
            f"--- message {message_id} to {letter.address}",
            *([letter.subject] if letter.subject else []),
        ]
        console.show("\n".join([*head, letter.body, "---"]))
        return ""


class Smtp(SmtpClient):
    """Mail by the configured SMTP server."""

    name, timeout = "smtp", 10.0
    connect_timeout, read_timeout = 2.0, 8.0

    def deliver(self, letter: Letter, message_id: str) -> str:
        """Hand the letter over; the Message-ID header is our id, so that a repeated one is known as such."""
        domain = settings.MAIL_FROM.rpartition("@")[2].strip("<> ")
        mail = EmailMessage()
        mail["From"] = settings.MAIL_FROM
        mail["To"] = self.recipient(letter.address)
        mail["Subject"] = letter.subject
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message_id}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(letter.body)
        self.send(mail)
        return str(mail["Message-ID"])


class HttpSms(Client):
    """SMS by a gateway that takes JSON: sender, receiver, text and the ids of the DLT registration."""

    name, timeout = "sms", 10.0
    connect_timeout, read_timeout = 2.0, 8.0
    fallback = "queued"

    def deliver(self, letter: Letter, message_id: str) -> str:
        """Hand the text over; our id is the gateway's key, so a repeated call is no second SMS."""
        answer = self.request(
            "POST",
            "",
            idempotent=True,
            headers={"Authorization": f"Bearer {settings.SMS_TOKEN}", "Idempotency-Key": message_id},
            json={
                "reference": message_id,
                "to": letter.address,
                "sender": settings.SMS_SENDER,
                "text": letter.body,
                "entity_id": settings.SMS_ENTITY_ID,
                "template_id": letter.template.dlt_template_id,
            },
        ).json()
        return str(answer.get("id", "")) if isinstance(answer, dict) else ""


def provider_for(channel: str) -> MailProvider | SmsProvider:
    """The provider that settings name for the channel."""
    return _mail() if channel == Channel.MAIL else _sms()


def _mail() -> MailProvider:
    if settings.MAIL_PROVIDER == "console":
        return Console()
    return _smtp(
        settings.SMTP_HOST,
        settings.SMTP_PORT,
        settings.SMTP_SECURITY,
        settings.SMTP_USERNAME,
        settings.SMTP_PASSWORD,
    )


def _sms() -> SmsProvider:
    return Console() if settings.SMS_PROVIDER == "console" else _gateway(settings.SMS_URL)


@cache
def _smtp(host: str, port: int, security: str, username: str, password: str) -> Smtp:
    return Smtp(host, port, security=security, username=username, password=password)  # type: ignore[arg-type]


@cache
def _gateway(url: str) -> HttpSms:
    return HttpSms(url)


@checks.register(deploy=True)
def check_providers(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """``check --deploy`` refuses the console: it shows codes and links to whoever reads the output."""
    return [
        checks.Error(
            f"{name} is the console: messages would be shown on standard output and reach nobody.",
            hint=hint,
            id="notification.E001",
        )
        for name, hint in (
            ("MAIL_PROVIDER", "Set MAIL_PROVIDER=smtp and the SMTP_… settings."),
            ("SMS_PROVIDER", "Set SMS_PROVIDER=http_sms and the SMS_… settings."),
        )
        if getattr(settings, name) == "console"
    ]
