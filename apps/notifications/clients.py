"""Providers: e-mail by SMTP, SMS by an HTTP gateway, and the console for development."""

from email.message import EmailMessage
from email.utils import formatdate
from functools import cache
from typing import Any, ClassVar, Protocol

from django.conf import settings
from django.core import checks

from apps.notifications.models import Channel, RenderedMessage
from erp.clients import Client
from erp.clients.smtp import SmtpClient
from erp.logs import console


class MailProvider(Protocol):
    """A provider of e-mail."""

    name: ClassVar[str]

    def deliver(self, rendered: RenderedMessage, message_id: str) -> str:
        """Send the message; return the provider's ID of it, or "" without one.

        ``message_id`` is the ID of our message, the same at every attempt. Raises RemoteUnavailable, RemoteRefused.
        """


class SmsProvider(Protocol):
    """A provider of SMS."""

    name: ClassVar[str]

    def deliver(self, rendered: RenderedMessage, message_id: str) -> str:
        """Send the message, like ``MailProvider.deliver``."""


class Console:
    """Writes each message to standard output, for development. It writes no log."""

    name: ClassVar[str] = "console"

    def deliver(self, rendered: RenderedMessage, message_id: str) -> str:
        """Write the message to standard output."""
        head = [
            f"--- message {message_id} to {rendered.address}",
            *([rendered.subject] if rendered.subject else []),
        ]
        console.show("\n".join([*head, rendered.body, "---"]))
        return ""


class Smtp(SmtpClient):
    """E-mail by the configured SMTP server."""

    name, timeout = "smtp", 10.0
    connect_timeout, read_timeout = 2.0, 8.0

    def deliver(self, rendered: RenderedMessage, message_id: str) -> str:
        """Send the message. The Message-ID header holds our ID, so that a repeated e-mail is recognized."""
        domain = settings.MAIL_FROM.rpartition("@")[2].strip("<> ")
        mail = EmailMessage()
        mail["From"] = settings.MAIL_FROM
        mail["To"] = self.recipient(rendered.address)
        mail["Subject"] = rendered.subject
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{message_id}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(rendered.body)
        self.send(mail)
        return str(mail["Message-ID"])


class HttpSms(Client):
    """SMS by a gateway with a JSON API: sender, recipient, text and the IDs of the DLT registration."""

    name, timeout = "sms", 10.0
    connect_timeout, read_timeout = 2.0, 8.0
    fallback = "queued"

    def deliver(self, rendered: RenderedMessage, message_id: str) -> str:
        """Send the text. Our ID is the idempotency key, so that a repeated call sends no second SMS."""
        answer = self.request(
            "POST",
            "",
            idempotent=True,
            headers={"Authorization": f"Bearer {settings.SMS_TOKEN}", "Idempotency-Key": message_id},
            json={
                "reference": message_id,
                "to": rendered.address,
                "sender": settings.SMS_SENDER,
                "text": rendered.body,
                "entity_id": settings.SMS_ENTITY_ID,
                "template_id": rendered.template.dlt_template_id,
            },
        ).json()
        return str(answer.get("id", "")) if isinstance(answer, dict) else ""


def provider_for(channel: str) -> MailProvider | SmsProvider:
    """The configured provider of the channel."""
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
    """Report the console provider as an error of ``check --deploy``: it writes codes and links to the output."""
    return [
        checks.Error(
            f"{name} is console: messages would be written to standard output and not be sent.",
            hint=hint,
            id="notification.E001",
        )
        for name, hint in (
            ("MAIL_PROVIDER", "Set MAIL_PROVIDER=smtp and the SMTP_… settings."),
            ("SMS_PROVIDER", "Set SMS_PROVIDER=http_sms and the SMS_… settings."),
        )
        if getattr(settings, name) == "console"
    ]
