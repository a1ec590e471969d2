"""Sending of messages, digests, and notifications of events of accounts."""

from typing import Any
from uuid import UUID

from celery import shared_task

from apps.accounts import secrets
from apps.accounts.events import (
    EmailVerificationRequested,
    MfaDisabled,
    MfaEnabled,
    OtpRequested,
    PasswordChanged,
    PasswordReset,
    PasswordResetRequested,
    RecoveryCodeUsed,
    RefreshReuseDetected,
    SignUpRepeated,
    UserInvited,
    UserLocked,
    UserLoggedIn,
)
from apps.accounts.models import OneTimeToken, OtpChallenge, User
from apps.notifications import notices, services
from apps.notifications.clients import provider_for
from apps.notifications.models import Channel, Message, Notice, Unsendable
from erp import clock
from erp.access import SYSTEM
from erp.clients import RemoteRefused, RemoteUnavailable
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

# HTTP statuses and SMTP replies that report wrong settings on our side, not a wrong message.
OUR_SETTINGS = frozenset({401, 402, 403, 404, 530, 534, 535, 538})
CHUNK = 200  # messages of one sweep
SOON = 60  # seconds: later attempts are left to ``sweep``


@shared_task
def deliver(message_id: str) -> None:
    """Send one message; a second worker does not send it again. The provider is called outside transactions."""
    message = Message.objects.filter(pk=message_id).first()
    if message is None or not services.begin(message, actor=SYSTEM):
        return
    message.refresh_from_db()
    provider = provider_for(message.channel)
    try:
        rendered = message.render()
        if (
            message.channel == Channel.SMS
            and provider.name != "console"
            and not rendered.template.dlt_template_id
        ):
            raise Unsendable("dlt_template_missing")
        provider_message_id = provider.deliver(rendered, str(message.pk))
    except Unsendable as error:
        _record_unsent(message, provider.name, error.code, final=error.code == "notice_unknown")
    except RemoteUnavailable:
        _record_unsent(message, provider.name, "unavailable", final=False)
    except RemoteRefused as error:
        status = error.answer.status
        _record_unsent(message, provider.name, f"refused_{status}", final=status not in OUR_SETTINGS)
    else:
        services.record_sent(
            message,
            actor=SYSTEM,
            provider=provider.name,
            provider_message_id=provider_message_id,
            template=rendered.template,
            subject=rendered.subject,
            body=rendered.body,
        )


def _record_unsent(message: Message, provider: str, code: str, *, final: bool) -> None:
    after = services.record_unsent(message, actor=SYSTEM, error_code=code, provider=provider, final=final)
    if after.status == Message.Status.QUEUED and after.next_attempt_at is not None:
        wait = (after.next_attempt_at - clock.now()).total_seconds()
        if wait <= SOON:
            services.enqueue(str(after.pk), wait)


@shared_task
def sweep() -> int:
    """Enqueue due messages whose call was lost, whose worker died or whose broker was down; return how many."""
    due = Message.objects.due(clock.now()).order_by("next_attempt_at", "pk")
    keys = list(due.values_list("pk", flat=True)[:CHUNK])
    for pk in keys:
        services.enqueue(str(pk))
    return len(keys)


@shared_task
def send_digests() -> int:
    """Create the day's digests, one transaction each; return how many."""
    day = clock.today()
    waiting = Message.objects.for_digests().order_by().values_list("user_id", "channel").distinct()
    made = 0
    for user_id, channel in list(waiting):
        user = User.objects.get(pk=user_id)
        made += services.gather(actor=SYSTEM, user=user, channel=channel, day=day) is not None
    return made


FEW_CODES = 3  # recovery codes; with fewer the user is notified
_BY_PURPOSE = {
    "sign_up": notices.SIGN_UP,
    "verify_email": notices.VERIFY_EMAIL,
    "change_email": notices.VERIFY_EMAIL,
}


def _notify(notice: Notice, user_id: UUID | None, meta: Envelope, **more: Any) -> None:
    """Notify the user, if there is one."""
    user = User.objects.filter(pk=user_id).first() if user_id is not None else None
    if user is not None:
        services.notify(actor=SYSTEM, notice=notice, event_id=meta.event_id, user=user, **more)


def _send_token(notice: Notice, token_id: UUID, meta: Envelope) -> None:
    """Send the link of the token. A token without a user is not sent."""
    row = OneTimeToken.objects.filter(pk=token_id).first()
    if row is not None:
        context = {"token_id": str(token_id)}
        _notify(notice, row.user_id, meta, context=context, not_after=row.expires_at, channel=Channel.MAIL)


@handles(EmailVerificationRequested)
def email_verification(event: EmailVerificationRequested, *, meta: Envelope) -> None:
    """Send the link to verify an address, and at a change a notice to the old address."""
    _send_token(_BY_PURPOSE[event.purpose], event.token_id, meta)
    if event.purpose == OneTimeToken.Purpose.CHANGE_EMAIL and event.user_id is not None:
        user = User.objects.get(pk=event.user_id)
        # If the link was used already, the old address is the former one.
        is_used = OneTimeToken.objects.filter(pk=event.token_id, used_at__isnull=False).exists()
        old = user.former_email if is_used else user.email
        if old:
            context = {"address_hash": secrets.address_hash(old)}
            _notify(notices.EMAIL_CHANGED, user.pk, meta, context=context, channel=Channel.MAIL)


@handles(PasswordResetRequested)
def password_reset_requested(event: PasswordResetRequested, *, meta: Envelope) -> None:
    """Send the link to set a new password."""
    _send_token(notices.RESET_PASSWORD, event.token_id, meta)


@handles(UserInvited)
def invited(event: UserInvited, *, meta: Envelope) -> None:
    """Send the link of an invitation."""
    _send_token(notices.INVITATION, event.token_id, meta)


@handles(OtpRequested)
def otp_requested(event: OtpRequested, *, meta: Envelope) -> None:
    """Send the code of a challenge."""
    challenge = OtpChallenge.objects.filter(pk=event.challenge_id).first()
    if challenge is not None and challenge.is_sent:
        services.notify(
            actor=SYSTEM,
            notice=notices.OTP,
            event_id=meta.event_id,
            user=challenge.user,
            recipient_id=challenge.pk,
            not_after=challenge.expires_at,
            channel=Channel.SMS,
        )


@handles(SignUpRepeated)
def sign_up_repeated(event: SignUpRepeated, *, meta: Envelope) -> None:
    """Notify the owner of an address or number, once a day, that it was used to sign up."""
    _notify(notices.SIGN_UP_REPEATED, event.user_id, meta, key=f"{clock.today():%Y-%m-%d}")


@handles(PasswordReset, PasswordChanged)
def password_changed(event: PasswordReset | PasswordChanged, *, meta: Envelope) -> None:
    """Notify the user of a new password."""
    _notify(notices.PASSWORD_CHANGED, event.user_id, meta)


@handles(MfaEnabled, MfaDisabled)
def second_factor_changed(event: MfaEnabled | MfaDisabled, *, meta: Envelope) -> None:
    """Notify the user of a change of two-factor authentication."""
    _notify(notices.SECOND_FACTOR_CHANGED, event.user_id, meta)


@handles(RecoveryCodeUsed)
def recovery_code_used(event: RecoveryCodeUsed, *, meta: Envelope) -> None:
    """Notify the user that few recovery codes are left."""
    if event.left < FEW_CODES:
        _notify(notices.RECOVERY_CODES_LOW, event.user_id, meta, context={"left": event.left})


@handles(UserLoggedIn)
def signed_in(event: UserLoggedIn, *, meta: Envelope) -> None:
    """Notify the user of a sign-in from a new device."""
    if event.new_device:
        _notify(notices.NEW_SIGN_IN, event.user_id, meta)


@handles(UserLocked)
def locked(event: UserLocked, *, meta: Envelope) -> None:
    """Notify the user that the sign-in is locked."""
    _notify(notices.ACCOUNT_LOCKED, event.user_id, meta)


@handles(RefreshReuseDetected)
def reused(event: RefreshReuseDetected, *, meta: Envelope) -> None:
    """Notify the user that a refresh token was used twice."""
    _notify(notices.SESSION_REUSE, event.user_id, meta)
