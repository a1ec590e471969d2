"""Sending what waits, sweeping for what was left behind, the day's digests, and what accounts tell."""

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

# Statuses of HTTP and replies of SMTP that say that we are set up wrongly, not that a message is.
OUR_SETTINGS = frozenset({401, 402, 403, 404, 530, 534, 535, 538})
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
        status = error.answer.status
        _unsent(message, provider.name, f"refused_{status}", final=status not in OUR_SETTINGS)
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
        wait = (after.next_attempt_at - clock.now()).total_seconds()
        if wait <= SOON:
            services.enqueue(str(after.pk), wait)


@shared_task
def sweep() -> int:
    """Hand over what is due and wasn't taken: a lost call, a sender that died, a broker that was away."""
    due = Message.objects.due(clock.now()).order_by("next_attempt_at", "pk")
    found = list(due.values_list("pk", flat=True)[:CHUNK])
    for pk in found:
        services.enqueue(str(pk))
    return len(found)


@shared_task
def send_digests() -> int:
    """Make the day's digests, one transaction each; returns how many."""
    day = clock.today()
    waiting = Message.objects.for_digests().order_by().values_list("user_id", "channel").distinct()
    made = 0
    for user_id, channel in list(waiting):
        user = User.objects.get(pk=user_id)
        made += services.gather(actor=SYSTEM, user=user, channel=channel, day=day) is not None
    return made


FEW_CODES = 3  # recovery codes; below it their owner is reminded
_BY_PURPOSE = {
    "sign_up": notices.SIGN_UP,
    "verify_email": notices.VERIFY_EMAIL,
    "change_email": notices.VERIFY_EMAIL,
}


def tell(notice: Notice, user_id: UUID | None, meta: Envelope, **more: Any) -> None:
    """Tell a user, if it is one."""
    user = User.objects.filter(pk=user_id).first() if user_id is not None else None
    if user is not None:
        services.notify(actor=SYSTEM, notice=notice, event_id=meta.event_id, user=user, **more)


def _send_token(notice: Notice, token_id: UUID, meta: Envelope) -> None:
    """Where nobody is to get the link the token has no user, and nothing is sent."""
    row = OneTimeToken.objects.filter(pk=token_id).first()
    if row is not None:
        context = {"token_id": str(token_id)}
        tell(notice, row.user_id, meta, context=context, not_after=row.expires_at, channel=Channel.MAIL)


@handles(EmailVerificationRequested)
def email_verification(event: EmailVerificationRequested, *, meta: Envelope) -> None:
    """The link that proves an address; of a change, the old address hears as well."""
    _send_token(_BY_PURPOSE[event.purpose], event.token_id, meta)
    if event.purpose == OneTimeToken.Purpose.CHANGE_EMAIL and event.user_id is not None:
        user = User.objects.get(pk=event.user_id)
        # Where the link was used already, the address that it replaced.
        used = OneTimeToken.objects.filter(pk=event.token_id, used_at__isnull=False).exists()
        old = user.former_email if used else user.email
        if old:
            context = {"address_hash": secrets.address_hash(old)}
            tell(notices.EMAIL_CHANGED, user.pk, meta, context=context, channel=Channel.MAIL)


@handles(PasswordResetRequested)
def password_reset_requested(event: PasswordResetRequested, *, meta: Envelope) -> None:
    """The link to set a new password."""
    _send_token(notices.RESET_PASSWORD, event.token_id, meta)


@handles(UserInvited)
def invited(event: UserInvited, *, meta: Envelope) -> None:
    """The link of an invitation."""
    _send_token(notices.INVITATION, event.token_id, meta)


@handles(OtpRequested)
def otp_requested(event: OtpRequested, *, meta: Envelope) -> None:
    """The code of a challenge, where one is to be sent."""
    challenge = OtpChallenge.objects.filter(pk=event.challenge_id).first()
    if challenge is not None and challenge.is_sent:
        services.notify(
            actor=SYSTEM,
            notice=notices.OTP,
            event_id=meta.event_id,
            user=challenge.user,
            challenge_id=challenge.pk,
            not_after=challenge.expires_at,
            channel=Channel.SMS,
        )


@handles(SignUpRepeated)
def sign_up_repeated(event: SignUpRepeated, *, meta: Envelope) -> None:
    """Its owner hears once a day that somebody used the address or number."""
    tell(notices.SIGN_UP_REPEATED, event.user_id, meta, key=f"{clock.today():%Y-%m-%d}")


@handles(PasswordReset, PasswordChanged)
def password_changed(event: PasswordReset | PasswordChanged, *, meta: Envelope) -> None:
    """There is a new password."""
    tell(notices.PASSWORD_CHANGED, event.user_id, meta)


@handles(MfaEnabled, MfaDisabled)
def second_factor_changed(event: MfaEnabled | MfaDisabled, *, meta: Envelope) -> None:
    """A second factor is on, another, or off."""
    tell(notices.SECOND_FACTOR_CHANGED, event.user_id, meta)


@handles(RecoveryCodeUsed)
def recovery_code_used(event: RecoveryCodeUsed, *, meta: Envelope) -> None:
    """Few codes are left."""
    if event.left < FEW_CODES:
        tell(notices.RECOVERY_CODES_LOW, event.user_id, meta, context={"left": event.left})


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
