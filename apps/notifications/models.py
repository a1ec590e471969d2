"""Notices by e-mail and SMS: their declarations, templates, messages and digests."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import Q

from apps.accounts.models import User
from erp.access import Actor, holds_everywhere
from erp.labels import label_of
from erp.models import Model, QuerySet

DEFAULT_LOCALE: Final = "en-IN"
PLACEHOLDER: Final = re.compile(r"\{([a-z_]*)\}|[{}]")
# Placeholders of every message, in addition to those of its notice.
COMMON: Final = frozenset({"name"})
# Salutation of an e-mail to an address that is not verified.
NAMELESS: Final = {"en-IN": "Sir or Madam", "hi-IN": "महोदय/महोदया", "gu-IN": "મહોદય/મહોદયા"}
Values = Mapping[str, str]


class Channel(models.TextChoices):
    """How a message is sent."""

    MAIL = "mail", "E-mail"
    SMS = "sms", "SMS"


class Category(models.TextChoices):
    """Whether the user can turn a message off: security and transactional messages are always sent."""

    SECURITY = "security"
    TRANSACTIONAL = "transactional"
    DIGEST = "digest"


SLOW: Final = tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600, 6 * 3600))
QUICK: Final = tuple(timedelta(seconds=s) for s in (5, 15, 45))


def verified_address(message: "Message") -> str | None:
    """The user's verified e-mail address, or for SMS the verified mobile number."""
    user: Any = message.user
    if message.channel == Channel.MAIL:
        found: str | None = user.email if user.email_verified_at is not None else None
    else:
        found = user.mobile if user.mobile_verified_at is not None else None
    return found


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A kind of message, declared once by the module that sends it.

    ``title`` is its line in a digest. ``variables`` are the placeholders of its templates, in addition to ``name``.
    ``values`` computes them when the message is sent, so that secrets are in no row, event or queue; it returns None
    when the message is no longer relevant, and nothing is sent. ``address`` finds the recipient's address at that
    moment. ``waits`` are the pauses between attempts.
    """

    code: str
    title: str
    category: Category
    values: "Callable[[Message], Values | None]"
    variables: frozenset[str] = frozenset()
    address: "Callable[[Message], str | None]" = verified_address
    waits: tuple[timedelta, ...] = SLOW

    def __post_init__(self) -> None:
        """Register the notice. Raises ImproperlyConfigured for a second one of the same code."""
        if self.code in notices:
            raise ImproperlyConfigured(f"{self.code} is declared twice")
        notices[self.code] = self


notices: dict[str, Notice] = {}


def placeholders(text: str) -> set[str]:
    """Names in braces; the empty name stands for an unmatched brace."""
    return {found[1] or "" for found in PLACEHOLDER.finditer(text)}


def filled(text: str, values: Values) -> str:
    """The text with ``{name}`` replaced, in one pass. Raises KeyError for a name without a value."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


class TemplateQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Every template for staff, none for others."""
        return self if user.is_staff or user.is_system else self.none()

    def for_locale(self, code: str, channel: str, locale: str) -> "Template | None":
        """The active template in this language, else in English."""
        found = {
            row.locale: row
            for row in self.filter(
                code=code,
                channel=channel,
                locale__in={locale, DEFAULT_LOCALE},
                status=Template.Status.ACTIVE,
            )
        }
        return found.get(locale) or found.get(DEFAULT_LOCALE)


class Template(Model):
    """The text of a notice for one channel and language. Names in braces are placeholders."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        RETIRED = "retired"

    code = models.CharField(
        max_length=60, verbose_name="notice", help_text="Notice that the template is for."
    )
    channel = models.CharField(max_length=4, choices=Channel, help_text="E-mail or SMS.")
    locale = models.CharField(
        max_length=5, choices=User.Locale, verbose_name="language", help_text="Language of the template."
    )
    subject = models.CharField(
        max_length=150,
        default="",
        blank=True,
        help_text="E-mail only, up to 150 characters. Names in braces are placeholders.",
    )
    body = models.TextField(
        max_length=10_000,
        help_text="Up to 10,000 characters. Names in braces are placeholders, such as {name}.",
    )
    dlt_template_id = models.CharField(
        max_length=40,
        default="",
        blank=True,
        verbose_name="DLT template ID",
        help_text="ID of the text as registered on the operators' DLT platform. Required to send SMS.",
    )
    status = models.CharField(max_length=7, choices=Status, default=Status.ACTIVE)

    objects: ClassVar[Any] = TemplateQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="template_one_active",
                fields=["code", "channel", "locale"],
                condition=Q(status="active"),
            ),
            models.CheckConstraint(
                name="template_mail_has_a_subject",
                condition=Q(channel="mail") & ~Q(subject="") | Q(channel="sms", subject=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code}, {self.channel}, {self.locale}"

    def open_verbs(self) -> frozenset[str]:
        active = self.status == self.Status.ACTIVE
        return frozenset({"update", "change_template", "retire_template"} if active else ())


class DigestQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """The user's own digests; for staff also those on which they hold a capability."""
        if holds_everywhere(user, "trail.view"):
            return self
        return self.filter(user_id=user.pk) | self.permitted(user, "notification.manage")


class Digest(Model):
    """One user's messages of one day and channel, sent as one message."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    channel = models.CharField(max_length=4, choices=Channel)
    day = models.DateField()
    status = models.CharField(max_length=6, choices=Status, default=Status.QUEUED)

    objects: ClassVar[Any] = DigestQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(name="digest_one_a_day", fields=["user", "channel", "day"])
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.channel}"


class MessageQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """The user's own messages."""
        return self.filter(user_id=user.pk) if user.pk is not None else self

    def seen_by_staff(self, user: Actor) -> Self:
        """In the staff portal, also messages on which the user holds a capability; all for readers of the trail."""
        if holds_everywhere(user, "trail.view"):
            return self
        return self.visible_to(user) | self.permitted(user, "notification.manage")

    def due(self, now: datetime) -> Self:
        """Messages whose next attempt is due, or that have expired."""
        return self.filter(status=Message.Status.QUEUED).filter(
            Q(next_attempt_at__lte=now) | Q(not_after__lte=now)
        )

    def for_digests(self) -> Self:
        """Messages that wait for the day's digest of their user."""
        return self.filter(status=Message.Status.QUEUED, next_attempt_at=None, category=Category.DIGEST)


class Message(Model):
    """A message to one user by one channel. Address and text are determined when it is sent."""

    trail_personal = ("context", "subject", "body")
    trail_ignored = ("attempts", "next_attempt_at", "version")

    owner_user = "user_id"

    # Counting attempts needs no event; changes of the status emit events all the same.
    machinery = True

    class Status(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        FAILED = "failed"
        EXPIRED = "expired"
        SUPPRESSED = "suppressed"
        DIGESTED = "digested"

    code = models.CharField(
        max_length=60, verbose_name="notice", help_text="Notice from which the message was created."
    )
    channel = models.CharField(max_length=4, choices=Channel, help_text="E-mail or SMS.")
    category = models.CharField(
        max_length=13, choices=Category, help_text="Security and transactional messages cannot be turned off."
    )
    event_id = models.UUIDField()
    dedupe_key = models.CharField(max_length=200, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    # Another row by which the notice finds the address: an OTP challenge, a partner.
    recipient_id = models.UUIDField(null=True)
    context = models.JSONField(default=dict)  # IDs and business data, never secrets
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="Number of attempts to send the message."
    )
    next_attempt_at = models.DateTimeField(null=True)
    not_after = models.DateTimeField(
        null=True, verbose_name="send not after", help_text="The message is not sent after this time."
    )
    error_code = models.CharField(max_length=60, default="", blank=True)
    provider = models.CharField(max_length=20, default="", blank=True)
    provider_message_id = models.CharField(max_length=200, default="", blank=True)
    sent_at = models.DateTimeField(null=True)
    template = models.ForeignKey(Template, models.PROTECT, null=True, related_name="+")
    # The sent text, which its user can read again; empty for security messages.
    subject = models.CharField(max_length=300, default="", blank=True)
    body = models.TextField(default="", blank=True)
    digest = models.ForeignKey(Digest, models.PROTECT, null=True, related_name="messages")

    objects: ClassVar[Any] = MessageQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="message_has_a_recipient",
                condition=Q(user__isnull=False) | Q(recipient_id__isnull=False),
            ),
            models.CheckConstraint(
                name="message_sent_has_a_time",
                condition=Q(status="sent", sent_at__isnull=False) | (~Q(status="sent") & Q(sent_at=None)),
            ),
            models.CheckConstraint(
                name="message_security_keeps_no_text",
                condition=~Q(category="security") | Q(subject="", body=""),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], name="idx_message_due", condition=Q(status="queued")),
            models.Index(fields=["user", "created_at"], name="idx_message_user"),
            models.Index(fields=["status", "created_at"], name="idx_message_status"),
        ]

    def __str__(self) -> str:
        return f"{self.title} by {self.get_channel_display()}"

    @property
    def title(self) -> str:
        """The title of the notice; its code in words if it is no longer declared."""
        return self.notice.title if self.notice is not None else label_of(self.code)

    @property
    def problem(self) -> str:
        """Why the message was not sent, in words."""
        answer = self.error_code.removeprefix("refused_")
        if answer != self.error_code:
            return f"The provider refused it (answer {answer})."
        return _PROBLEMS.get(self.error_code, label_of(self.error_code))

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"requeue"}) if self.status == self.Status.FAILED else frozenset()

    @property
    def notice(self) -> Notice | None:
        """The declared notice; None if it is no longer declared."""
        return notices.get(self.code)

    def fact(self, name: str) -> UUID:
        """An ID of the context. Raises KeyError if it is missing."""
        return UUID(self.context[name])

    def render(self) -> "RenderedMessage":
        """Render address and text, secrets included. The result is sent and never stored.

        Raises Unsendable with the reason as its code.
        """
        notice = self.notice
        if notice is None:
            raise Unsendable("notice_unknown")
        values = notice.values(self)
        if values is None:
            raise Unsendable("over")
        address = notice.address(self)
        if not address:
            raise Unsendable("no_address")
        locale = self.user.locale if self.user is not None else DEFAULT_LOCALE
        template = Template.objects.for_locale(self.code, self.channel, locale)
        if template is None:
            raise Unsendable("template_missing")
        # The name is free text of the user, so it is sent only to their verified address.
        user = self.user if self.user is not None and address == verified_address(self) else None
        values = {**values, "name": user.full_name if user is not None else NAMELESS[template.locale]}
        subject = " ".join(filled(template.subject, values).split())  # a header is one line
        return RenderedMessage(address, subject, filled(template.body, values), template)


# Codes of ``Message.error_code`` in words; an answer of the provider is ``refused_<status>``.
_PROBLEMS: Final = {
    "": "",
    "declined": "The user turned this notice off.",
    "dlt_template_missing": "The template has no DLT ID, which an SMS needs.",
    "erased": "The user's data was erased.",
    "gave_up": "No worker could send it in time.",
    "no_address": "The user has no verified address or number.",
    "not_active": "The user is not active.",
    "not_wanted": "The user turned this notice off.",
    "notice_unknown": "The notice is no longer declared.",
    "over": "It was no longer relevant.",
    "template_missing": "There is no template for this notice and channel.",
    "unavailable": "The provider did not answer.",
}


class Unsendable(Exception):
    """A message cannot be sent; ``code`` is the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A message as it is handed to a provider."""

    address: str
    subject: str
    body: str
    template: Template

    def __repr__(self) -> str:
        """No address and no secret: the text may end up in an error or a log."""
        return "<rendered message>"
