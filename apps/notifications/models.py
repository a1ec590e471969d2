"""Mail and SMS to people: what is told, in which words, and what became of each message."""

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
from erp.models import Model, QuerySet

DEFAULT_LOCALE: Final = "en-IN"
PLACEHOLDER: Final = re.compile(r"\{([a-z_]*)\}|[{}]")
# Known of every message, beside what its notice declares.
COMMON: Final = frozenset({"name"})
# How a mail to an address that nobody has proved addresses its reader.
NAMELESS: Final = {"en-IN": "Sir or Madam", "hi-IN": "महोदय/महोदया", "gu-IN": "મહોદય/મહોદયા"}
Values = Mapping[str, str]


class Channel(models.TextChoices):
    """How a message travels."""

    MAIL = "mail"
    SMS = "sms"


class Category(models.TextChoices):
    """Whose choice counts: security and transactional messages go whatever the person chose."""

    SECURITY = "security"
    TRANSACTIONAL = "transactional"
    DIGEST = "digest"


SLOW: Final = tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600, 6 * 3600))
QUICK: Final = tuple(timedelta(seconds=s) for s in (5, 15, 45))


def proven_address(message: "Message") -> str | None:
    """Where the person has shown to be: the verified address, or for SMS the verified number."""
    user: Any = message.user
    if message.channel == Channel.MAIL:
        found: str | None = user.email if user.email_verified_at is not None else None
    else:
        found = user.mobile if user.mobile_verified_at is not None else None
    return found


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One thing that people are told, declared once by the module that tells it.

    ``title`` is its line in a digest. ``variables`` are what its texts may use, beside ``name``. ``values`` computes
    them when the message is sent, secrets included, which therefore are in no row, event or queue; None: what it tells
    is over, and nothing is sent. ``address`` finds where it goes at that moment. ``waits`` are the pauses between
    tries.
    """

    code: str
    title: str
    category: Category
    values: "Callable[[Message], Values | None]"
    variables: frozenset[str] = frozenset()
    address: "Callable[[Message], str | None]" = proven_address
    waits: tuple[timedelta, ...] = SLOW

    def __post_init__(self) -> None:
        """Register the notice. Raises ImproperlyConfigured for a second one of the same code."""
        if self.code in notices:
            raise ImproperlyConfigured(f"{self.code} is declared twice")
        notices[self.code] = self


notices: dict[str, Notice] = {}


def placeholders(text: str) -> set[str]:
    """Names in braces; the empty name stands for a brace that belongs to no name."""
    return {found[1] or "" for found in PLACEHOLDER.finditer(text)}


def filled(text: str, values: Values) -> str:
    """The text with ``{name}`` replaced; nothing in a value is read again. KeyError for a name without a value."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


class TemplateQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Staff read every text."""
        return self if user.is_staff or user.is_system else self.none()

    def for_locale(self, code: str, channel: str, locale: str) -> "Template | None":
        """The active text in this language, else in English."""
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
    """The words of a notice, per channel and language; names in braces are filled in."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        RETIRED = "retired"

    code = models.CharField(max_length=60)
    channel = models.CharField(max_length=4, choices=Channel)
    locale = models.CharField(max_length=5, choices=User.Locale)
    subject = models.CharField(max_length=150, default="", blank=True)
    body = models.TextField(max_length=10_000)
    dlt_template_id = models.CharField(max_length=40, default="", blank=True)
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
        """The user's own; for staff also those on which they hold a capability."""
        if holds_everywhere(user, "trail.view"):
            return self
        return self.filter(user_id=user.pk) | self.permitted(user, "notification.manage")


class Digest(Model):
    """One person's messages of one day and channel, sent as one."""

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
        """One's own."""
        return self.filter(user_id=user.pk) if user.pk is not None else self

    def seen_by_staff(self, user: Actor) -> Self:
        """In the admin, also messages on which the person holds a capability; all for readers of the trail."""
        if holds_everywhere(user, "trail.view"):
            return self
        return self.visible_to(user) | self.permitted(user, "notification.manage")

    def due(self, now: datetime) -> Self:
        """Messages whose next try has come, or whose time is over."""
        return self.filter(status=Message.Status.QUEUED).filter(
            Q(next_attempt_at__lte=now) | Q(not_after__lte=now)
        )

    def for_digests(self) -> Self:
        """Messages that wait for the day's digest of their person."""
        return self.filter(status=Message.Status.QUEUED, next_attempt_at=None, category=Category.DIGEST)


class Message(Model):
    """One message to one person by one channel. Its address is looked up, and its text made, when it is sent."""

    trail_personal = ("context", "subject", "body")
    trail_ignored = ("attempts", "next_attempt_at", "version")

    owner_user = "user_id"

    # Counting tries is bookkeeping; what becomes of a message is told by events all the same.
    machinery = True

    class Status(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        FAILED = "failed"
        EXPIRED = "expired"
        SUPPRESSED = "suppressed"
        DIGESTED = "digested"

    code = models.CharField(max_length=60)
    channel = models.CharField(max_length=4, choices=Channel)
    category = models.CharField(max_length=13, choices=Category)
    event_id = models.UUIDField()
    dedupe_key = models.CharField(max_length=200, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    challenge_id = models.UUIDField(null=True)
    context = models.JSONField(default=dict)  # ids and business facts
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    not_after = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=60, default="", blank=True)
    provider = models.CharField(max_length=20, default="", blank=True)
    provider_message_id = models.CharField(max_length=200, default="", blank=True)
    sent_at = models.DateTimeField(null=True)
    template = models.ForeignKey(Template, models.PROTECT, null=True, related_name="+")
    # What was sent, to be read again by its person; empty for security messages.
    subject = models.CharField(max_length=300, default="", blank=True)
    body = models.TextField(default="", blank=True)
    digest = models.ForeignKey(Digest, models.PROTECT, null=True, related_name="messages")

    objects: ClassVar[Any] = MessageQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="message_has_a_recipient",
                condition=Q(user__isnull=False) | Q(challenge_id__isnull=False),
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
        return f"{self.code} by {self.channel}"

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"requeue"}) if self.status == self.Status.FAILED else frozenset()

    @property
    def notice(self) -> Notice | None:
        """What it tells; None where the code no longer knows it."""
        return notices.get(self.code)

    def fact(self, name: str) -> UUID:
        """An id of the context. KeyError without one."""
        return UUID(self.context[name])

    def letter(self) -> "Letter":
        """What is to be sent now, secrets included: made for sending, never kept.

        Raises Unsendable, whose code says why nothing can be.
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
        # A name is its owner's free text: it goes nowhere but to an address that they have proved to be theirs.
        user = self.user if self.user is not None and address == proven_address(self) else None
        values = {**values, "name": user.full_name if user is not None else NAMELESS[template.locale]}
        subject = " ".join(filled(template.subject, values).split())  # a header is one line
        return Letter(address, subject, filled(template.body, values), template)


class Unsendable(Exception):
    """A message can't be made into a letter; ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it goes to a provider."""

    address: str
    subject: str
    body: str
    template: Template

    def __repr__(self) -> str:
        """Nothing of it: addresses and secrets don't belong in an error's text."""
        return "<letter>"
