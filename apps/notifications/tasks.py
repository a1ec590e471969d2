"""Sending what waits, sweeping for what was left behind, the day's digests, and what accounts tell."""

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.accounts.events import RefreshReuseDetected, UserLocked, UserLoggedIn
from apps.accounts.models import User
from apps.notifications import notices, services
from apps.notifications.clients import provider_for
from apps.notifications.models import Channel, Message, Notice, Unsendable
from erp.access import SYSTEM
from erp.clients import RemoteRefused, RemoteUnavailable
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK = 200  # messages of one sweep
SOON = (
    60  # seconds: a call for later than that would only lie in the broker, where the sweeper comes by anyway
)


@shared_task
def deliver(message_id: str) -> None:
    """Send one message, once: whoever comes second finds it taken. The provider is called outside transactions."""
    message = Message.objects.filter(pk=message_id).first()
    if message is None or not services.begin(message, actor=SYSTEM):
        return
    message.refresh_from_db()
    provider = provider_for(message.channel)
    try:
        letter = message.letter()
        if (
            message.channel == Channel.SMS
            and provider.name != "console"
            and not letter.template.dlt_template_id
        ):
            raise Unsendable("dlt_template_missing")
        given = provider.deliver(letter, str(message.pk))
    except Unsendable as error:
        _unsent(message, provider.name, error.code, final=error.code == "notice_unknown")
    except RemoteUnavailable:
        _unsent(message, provider.name, "unavailable", final=False)
    except RemoteRefused as error:
        # 401 to 404 say that we are set up wrongly, not that this message is.
        status = error.answer.status
        _unsent(message, provider.name, f"refused_{status}", final=status not in (401, 402, 403, 404))
    else:
        services.record_sent(
            message,
            actor=SYSTEM,
            provider=provider.name,
            provider_message_id=given,
            template=letter.template,
            subject=letter.subject,
            body=letter.body,
        )


def _unsent(message: Message, provider: str, code: str, *, final: bool) -> None:
    after = services.record_unsent(message, actor=SYSTEM, error_code=code, provider=provider, final=final)
    if after.status == Message.Status.QUEUED and after.next_attempt_at is not None:
        wait = (after.next_attempt_at - timezone.now()).total_seconds()
        if wait <= SOON:
            services.enqueue(str(after.pk), wait)


@shared_task
def sweep() -> int:
    """Hand over what is due and wasn't taken: a lost call, a sender that died, a broker that was away."""
    due = Message.objects.due(timezone.now()).order_by("next_attempt_at", "pk")
    found = list(due.values_list("pk", flat=True)[:CHUNK])
    for pk in found:
        services.enqueue(str(pk))
    return len(found)


@shared_task
def send_digests() -> int:
    """Make the day's digests, one transaction each; returns how many."""
    day = timezone.localdate()
    waiting = Message.objects.for_digests().order_by().values_list("user_id", "channel").distinct()
    made = 0
    for user_id, channel in list(waiting):
        user = User.objects.get(pk=user_id)
        made += services.gather(actor=SYSTEM, user=user, channel=channel, day=day) is not None
    return made


# --- What happened to accounts ----------------------------------------------------------------------


def tell(notice: Notice, user_id: UUID | None, meta: Envelope, **more: Any) -> None:
    """Tell a user, if it is one."""
    user = User.objects.filter(pk=user_id).first() if user_id is not None else None
    if user is not None:
        services.notify(actor=SYSTEM, notice=notice, event_id=meta.event_id, user=user, **more)


@handles(UserLoggedIn)
def signed_in(event: UserLoggedIn, *, meta: Envelope) -> None:
    """A sign-in from a device that wasn't seen before."""
    if event.new_device:
        tell(notices.NEW_SIGN_IN, event.user_id, meta)


@handles(UserLocked)
def locked(event: UserLocked, *, meta: Envelope) -> None:
    """Too many wrong tries."""
    tell(notices.ACCOUNT_LOCKED, event.user_id, meta)


@handles(RefreshReuseDetected)
def reused(event: RefreshReuseDetected, *, meta: Envelope) -> None:
    """A token came twice."""
    tell(notices.SESSION_REUSE, event.user_id, meta)
