"""Services of messages and templates.

How a module notifies users: it declares a ``Notice`` in its ``notices.py``, ships texts under
``texts/<locale>/<channel>/<code>.txt`` (the first line of an e-mail is its subject), and a handler in its
``tasks.py`` calls ``notify`` as SYSTEM. This module does the rest: it selects the channel, sends outside any
transaction, retries, and makes digests. A text holds a link and a number, never bank, tax or identity data.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from celery import current_app
from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from apps.accounts.models import User
from apps.notifications import capabilities, events
from apps.notifications.models import (
    COMMON,
    Category,
    Channel,
    Digest,
    Message,
    Notice,
    Template,
    notices,
    placeholders,
)
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, RuleBroken
from erp.services import emit, service

log = structlog.get_logger(__name__)

MORNING, EVENING = time(9), time(21)  # hours of SMS that are not urgent
LEASE: Final = timedelta(seconds=60)  # longer than any call to a provider; then another worker may send
DELIVER: Final = "apps.notifications.tasks.deliver"
Status = Message.Status


class NotFailed(Conflict):
    """Only a failed message can be sent again."""


class TimeOver(Conflict):
    """The message is no longer relevant."""


class NotActive(Conflict):
    """The template is retired."""


class TextExists(Conflict):
    """There is already an active template for this notice, channel and language."""


class TextInvalid(RuleBroken):
    """The text is not valid for its notice or channel."""


@service(requires=capabilities.MANAGE, emits=[events.MessageQueued, events.MessageSuppressed])
def notify(
    *,
    actor: Actor,
    notice: Notice,
    event_id: UUID,
    user: User | None = None,
    recipient_id: UUID | None = None,
    context: dict[str, Any] | None = None,
    not_after: datetime | None = None,
    key: str = "",
    channel: str = "",
) -> list[Message]:
    """Notify one user of an event, once, even if the event is delivered repeatedly.

    ``event_id`` is the event; ``key`` replaces it where several events cause one message (once a day). The recipient
    is ``user``, or whom the notice finds by ``recipient_id``: an OTP challenge, a partner. ``context`` holds IDs and
    business data for the notice's values. After ``not_after`` nothing is sent. ``channel`` is the only possible one;
    otherwise e-mail, SMS where only a number is verified, and for digest messages the user's choice.
    """
    now = clock.now()
    made = []
    for each, status in _channels(notice, user, channel):
        recipient = user.pk if user is not None else recipient_id
        dedupe = f"{key or event_id}:{notice.code}:{each}:{recipient}"
        if Message.objects.filter(dedupe_key=dedupe).exists():
            continue
        message = Message(
            code=notice.code,
            channel=each,
            category=notice.category,
            event_id=event_id,
            dedupe_key=dedupe,
            user=user,
            recipient_id=recipient_id,
            context=context or {},
            status=status,
            next_attempt_at=_first_attempt(notice, user, each, now) if status == Status.QUEUED else None,
            not_after=not_after,
            error_code="not_wanted" if status == Status.SUPPRESSED else "",
        )
        message.save()
        event = events.MessageQueued if status == Status.QUEUED else events.MessageSuppressed
        emit(event(**_head(message)))
        if message.next_attempt_at is not None and message.next_attempt_at <= now:
            enqueue_on_commit(message)
        made.append(message)
    return made


def _channels(notice: Notice, user: User | None, channel: str) -> Iterator[tuple[str, str]]:
    """Channels of the message, with its status: queued, or suppressed by the user's choice."""
    if channel or user is None:
        yield channel or Channel.SMS, Status.QUEUED
    elif notice.category != Category.DIGEST:
        by_sms = user.email_verified_at is None and user.mobile_verified_at is not None
        yield (Channel.SMS if by_sms else Channel.MAIL), Status.QUEUED
    else:
        chosen = [
            each
            for each, is_on in (
                (Channel.MAIL, user.notify_email and user.email),
                (Channel.SMS, user.notify_sms and user.mobile),
            )
            if is_on
        ]
        yield from [(each, Status.QUEUED) for each in chosen] or [(Channel.MAIL, Status.SUPPRESSED)]


def _first_attempt(notice: Notice, user: User | None, channel: str, now: datetime) -> datetime | None:
    """When to send the message; None for the day's digest."""
    if notice.category != Category.DIGEST:
        return now
    if user is not None and user.digest == User.Digest.DAILY:
        return None
    return _in_daytime(notice.category, channel, now)


def _in_daytime(category: str, channel: str, moment: datetime) -> datetime:
    """The moment, or the next morning for an SMS in the evening or at night that is not urgent."""
    local = timezone.localtime(moment, clock.KOLKATA)
    if category != Category.DIGEST or channel != Channel.SMS or MORNING <= local.time() < EVENING:
        return moment
    day = local.date() + timedelta(days=local.time() >= EVENING)
    return datetime.combine(day, MORNING, clock.KOLKATA)


def enqueue_on_commit(message: Message) -> None:
    """Enqueue the message when this transaction commits. If the call is lost, ``sweep`` enqueues the message."""
    transaction.on_commit(partial(enqueue, str(message.pk)))


def enqueue(message_id: str, countdown: float = 0) -> None:
    """Enqueue a message for sending. Never raises and never waits long: ``sweep`` repeats a failed call."""
    quick = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5, "max_retries": 0}
    try:
        with current_app.connection_for_write(transport_options=quick, connect_timeout=1) as broker:
            current_app.send_task(DELIVER, [message_id], connection=broker, retry=False, countdown=countdown)
    except (KombuError, RedisError, OSError) as error:
        log.warning("message_not_enqueued", error=type(error).__name__)


@service(
    requires=capabilities.MANAGE,
    emits=[events.MessageExpired, events.MessageSuppressed, events.MessageFailed],
)
def begin(message: Message, *, actor: Actor) -> bool:
    """Start an attempt to send a due message; False if there is nothing to send now.

    The next attempt is scheduled before this one, so that another worker takes over if this one dies. An e-mail may
    then be sent twice.
    """
    now = clock.now()
    if message.status != Status.QUEUED:
        return False
    if message.not_after is not None and message.not_after <= now:
        _end(message, Status.EXPIRED, "over", events.MessageExpired)
        return False
    if message.next_attempt_at is None or message.next_attempt_at > now:
        return False
    if message.user is not None and message.user.erased_at is not None:
        _end(message, Status.SUPPRESSED, "erased", events.MessageSuppressed)
        return False
    if message.user is not None and message.category != Category.SECURITY and not message.user.is_active:
        _end(message, Status.SUPPRESSED, "not_active", events.MessageSuppressed)
        return False
    if _is_turned_off(message):
        _end(message, Status.SUPPRESSED, "declined", events.MessageSuppressed)
        return False
    if (morning := _in_daytime(message.category, message.channel, now)) > now:
        message.next_attempt_at = morning
        message.save()
        return False
    if message.attempts > len(_waits(message)):
        _end(message, Status.FAILED, message.error_code or "gave_up", events.MessageFailed)
        return False
    message.attempts += 1
    message.next_attempt_at = now + LEASE
    message.save()
    return True


@service(requires=capabilities.MANAGE, emits=[events.MessageSent, events.DigestSent])
def record_sent(
    message: Message,
    *,
    actor: Actor,
    provider: str,
    provider_message_id: str,
    template: Template,
    subject: str,
    body: str,
) -> Message:
    """Record that a provider accepted the message. The text is stored, except that of a security message."""
    if message.status != Status.QUEUED:
        return message
    message.status, message.sent_at, message.next_attempt_at = Status.SENT, clock.now(), None
    message.provider, message.provider_message_id = provider, provider_message_id[:200]
    message.template, message.error_code = template, ""
    if message.category != Category.SECURITY:
        message.subject, message.body = subject[:300], body
    message.save()
    emit(events.MessageSent(**_head(message)))
    if message.code == DIGEST_CODE:
        digest = Digest.objects.locked().get(pk=message.fact("digest_id"))
        digest.status = Digest.Status.SENT
        digest.save()
        count = digest.messages.count()
        emit(events.DigestSent(digest_id=digest.pk, user_id=digest.user_id, count=count))
    return message


@service(
    requires=capabilities.MANAGE,
    emits=[events.MessageFailed, events.MessageExpired, events.MessageSuppressed],
)
def record_unsent(message: Message, *, actor: Actor, error_code: str, provider: str, final: bool) -> Message:
    """Record a failed attempt: schedule the next one, or end the message if it is final or was the last."""
    if message.status != Status.QUEUED:
        return message
    message.provider = provider
    waits = _waits(message)
    if error_code == "over":
        _end(message, Status.EXPIRED, error_code, events.MessageExpired)
    elif error_code == "no_address":
        _end(message, Status.SUPPRESSED, error_code, events.MessageSuppressed)
    elif final or message.attempts > len(waits):
        _end(message, Status.FAILED, error_code, events.MessageFailed)
    else:
        message.error_code = error_code[:60]
        message.next_attempt_at = clock.now() + waits[message.attempts - 1]
        message.save()
    return message


@service(
    label="Send again",
    requires=capabilities.MANAGE,
    emits=[events.MessageRequeued],
    raises=[NotFailed, TimeOver],
)
def requeue(message: Message, *, actor: Actor) -> Message:
    """Send a failed message again, with all attempts.

    Raises NotFailed, TimeOver.
    """
    now = clock.now()
    if message.status != Status.FAILED:
        raise NotFailed(status_now=message.status)
    if message.not_after is not None and message.not_after <= now:
        raise TimeOver
    message.status, message.attempts, message.error_code = Status.QUEUED, 0, ""
    message.next_attempt_at = now
    message.save()
    emit(events.MessageRequeued(**_head(message)))
    enqueue_on_commit(message)
    return message


def _is_turned_off(message: Message) -> bool:
    """Whether the user has turned off such messages since it was created."""
    user = message.user
    if user is None or not (message.category == Category.DIGEST or message.code == DIGEST_CODE):
        return False
    return not (user.notify_email if message.channel == Channel.MAIL else user.notify_sms)


def _waits(message: Message) -> tuple[timedelta, ...]:
    return message.notice.waits if message.notice is not None else ()


def _end(message: Message, status: str, code: str, event: Any) -> None:
    message.status, message.error_code, message.next_attempt_at = status, code[:60], None
    message.save()
    emit(event(**_head(message)))


DIGEST_CODE: Final = "digest"


def _digest_values(message: Message) -> dict[str, str]:
    """The values of a digest: its notices, with the number of messages of each."""
    counts: dict[str, int] = {}
    for code in Message.objects.filter(digest_id=message.fact("digest_id")).values_list("code", flat=True):
        counts[code] = counts.get(code, 0) + 1
    lines = [f"– {notices[code].title}: {n}" for code, n in sorted(counts.items()) if code in notices]
    return {
        "count": str(sum(counts.values())),
        "lines": "\n".join(lines),
        "link": settings.PUBLIC_URL,
    }


DIGEST = Notice(
    code=DIGEST_CODE,
    title="Digest",
    category=Category.TRANSACTIONAL,
    variables=frozenset({"count", "lines", "link"}),
    values=_digest_values,
)


@service(requires=capabilities.MANAGE, emits=[events.MessageQueued, events.MessageSuppressed])
def gather(*, actor: Actor, user: User, channel: str, day: date) -> Digest | None:
    """Create the day's digest of a user and channel; None without waiting messages, or if it exists."""
    waiting = list(Message.objects.for_digests().filter(user=user, channel=channel).order_by("pk").locked())
    if not waiting or Digest.objects.filter(user=user, channel=channel, day=day).exists():
        return None
    digest = Digest(user=user, channel=channel, day=day)
    digest.save()
    for message in waiting:
        message.status, message.digest = Status.DIGESTED, digest
        message.save()
    notify(
        actor=actor,
        notice=DIGEST,
        event_id=digest.pk,
        user=user,
        context={"digest_id": str(digest.pk)},
        channel=channel,
    )
    return digest


@service(requires=capabilities.MANAGE, emits=[events.TemplateChanged], raises=[TextExists, TextInvalid])
def add_template(
    *,
    actor: Actor,
    code: str,
    channel: str,
    locale: str,
    body: str,
    subject: str = "",
    dlt_template_id: str = "",
) -> Template:
    """Add the template of a notice for one channel and language.

    Raises TextExists, TextInvalid.
    """
    same = Template.objects.filter(code=code, channel=channel, locale=locale)
    if same.filter(status=Template.Status.ACTIVE).exists():
        raise TextExists
    template = Template(
        code=code, channel=channel, locale=locale, subject=subject, body=body, dlt_template_id=dlt_template_id
    )
    _check(template)
    template.save()
    _emit_changed(template, actor)
    return template


@service(requires=capabilities.MANAGE, emits=[events.TemplateChanged], raises=[NotActive, TextInvalid])
def change_template(
    template: Template, *, actor: Actor, body: str, subject: str = "", dlt_template_id: str = ""
) -> Template:
    """Change a template. Messages sent from now on use the new text.

    Raises NotActive, TextInvalid.
    """
    if template.status != Template.Status.ACTIVE:
        raise NotActive
    template.subject, template.body, template.dlt_template_id = subject, body, dlt_template_id
    if not template.changed_fields():
        return template
    _check(template)
    template.save()
    _emit_changed(template, actor)
    return template


@service(requires=capabilities.MANAGE, emits=[events.TemplateChanged])
def retire_template(template: Template, *, actor: Actor) -> Template:
    """Retire a template. Messages in its language are then sent in English."""
    if template.status == Template.Status.ACTIVE:
        template.status = Template.Status.RETIRED
        template.save()
        _emit_changed(template, actor)
    return template


@service(requires=capabilities.MANAGE, emits=[events.TemplateChanged])
def load_templates(*, actor: Actor) -> list[Template]:
    """Add the templates that the modules ship and that do not exist yet. A second run changes nothing."""
    known = set(Template.objects.values_list("code", "channel", "locale"))
    made = []
    for code, channel, locale, subject, body in shipped():
        if (code, channel, locale) in known:
            continue
        template = Template(code=code, channel=channel, locale=locale, subject=subject, body=body)
        _check(template, shipped=True)
        template.save()
        _emit_changed(template, actor)
        made.append(template)
    return made


def shipped() -> Iterator[tuple[str, str, str, str, str]]:
    """The texts of all modules: code, channel, locale, subject, body."""
    for config in apps.get_app_configs():
        for file in sorted(Path(config.path).glob("texts/*/*/*.txt")):
            channel, locale = file.parent.name, file.parent.parent.name
            text = file.read_text(encoding="utf-8").strip()
            subject, _, body = text.partition("\n") if channel == Channel.MAIL else ("", "", text)
            yield file.stem, channel, locale, subject.strip(), body.strip()


def _check(template: Template, *, shipped: bool = False) -> None:
    notice = notices.get(template.code)
    faults = []
    if notice is None:
        faults.append(FieldError("/code", "unknown", f"There is no notice with the code {template.code}."))
    else:
        known = notice.variables | COMMON
        for field in ("subject", "body"):
            for name in sorted(placeholders(getattr(template, field)) - known):
                words = (
                    f"{{{name}}} is not one of {', '.join(sorted(known))}."
                    if name
                    else "A brace is unmatched."
                )
                faults.append(FieldError(f"/{field}", "unknown_variable", words))
    if (template.channel == Channel.MAIL) != bool(template.subject):
        words = (
            "Enter a subject." if template.channel == Channel.MAIL else "Leave the subject of an SMS empty."
        )
        faults.append(FieldError("/subject", "invalid", words))
    if (
        template.channel == Channel.SMS
        and not template.dlt_template_id
        and settings.SMS_PROVIDER != "console"
        and not shipped
    ):
        words = "Enter the ID of the DLT registration: operators transmit registered texts only."
        faults.append(FieldError("/dlt_template_id", "required", words))
    if faults:
        raise TextInvalid(errors=faults)


def _emit_changed(template: Template, actor: Actor) -> None:
    emit(
        events.TemplateChanged(
            template_id=template.pk,
            code=template.code,
            channel=template.channel,
            locale=template.locale,
            status=template.status,
            by=actor.pk,
        )
    )


def _head(message: Message) -> dict[str, Any]:
    return {
        "message_id": message.pk,
        "code": message.code,
        "channel": message.channel,
        "user_id": message.user_id,
        "attempts": message.attempts,
    }
