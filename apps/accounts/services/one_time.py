"""One-time tokens of links in e-mails: created for known and unknown addresses alike, used once."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, User
from apps.accounts.services import addresses
from apps.accounts.services.common import Origin, TokenInvalid, TooManyMails
from apps.accounts.services.counting import seconds_to_wait
from erp import clock, locks

ACCEPTED = {"status": "accepted"}


def create(
    purpose: str,
    *,
    address: str,
    user: User | None,
    asked_by: UUID | None = None,
    origin: Origin | None = None,
    new_password: str = "",
    voids: bool = False,
) -> OneTimeToken | None:
    """Create a token, whose text is computed when the e-mail is rendered; ``voids`` voids the address's earlier ones.

    Each row stands for an e-mail, so the limits are checked here: those of the user ``asked_by`` or of the network
    of ``origin``. Returns None where the limit of the address is reached: the response must not show it, since it
    would reveal requests of others. Raises TooManyMails at the limit of the caller, or of all callers together.
    """
    now = clock.now()
    address_hash = secrets.address_hash(address)
    network_hash = secrets.network_hash(origin.network) if origin is not None and origin.network else ""
    addresses.hold(address)
    _check_caller(purpose, asked_by, network_hash, now)
    if seconds_to_wait(
        OneTimeToken.objects.filter(address_hash=address_hash), _limits(settings.MAIL_PER_ADDRESS), now
    ):
        return None
    if voids:
        OneTimeToken.objects.live().filter(address_hash=address_hash, purpose=purpose).update(
            voided_at=now, updated_at=now
        )
    row = OneTimeToken(
        purpose=purpose,
        user=user,
        address_hash=address_hash,
        asked_by=asked_by,
        network_hash=network_hash,
        new_password=new_password,
        key_id=secrets.current_key_id(),
        expires_at=now + settings.ONE_TIME_TOKEN_AGE[purpose],
        created_at=now,
    )
    row.save()
    return row


def _check_caller(purpose: str, asked_by: UUID | None, network_hash: str, now: datetime) -> None:
    rows = OneTimeToken.objects
    day = {timedelta(days=1): settings.MAIL_PER_DAY}
    counted = [(rows.all(), day)]
    if asked_by is not None:
        invites = purpose == OneTimeToken.Purpose.INVITATION
        locks.hold(f"account.mail:{asked_by}")
        limits = settings.MAIL_PER_INVITER if invites else settings.MAIL_PER_USER
        counted.append((rows.filter(asked_by=asked_by), limits))
    if network_hash:
        locks.hold(f"account.mail:{network_hash}")
        counted.append((rows.filter(network_hash=network_hash), settings.MAIL_PER_NETWORK))
    for mails, limits in counted:
        if wait := seconds_to_wait(mails, _limits(limits), now):
            raise TooManyMails(f"Try again in {wait} s.", headers={"Retry-After": str(wait)})


def _limits(limits: dict[timedelta, int]) -> dict[timedelta, int]:
    return {window: most * settings.THROTTLE_PUBLIC_FACTOR for window, most in limits.items()}


def get_live(token: str, *purposes: str) -> tuple[OneTimeToken, User | None]:
    """The live row of a token and its user, both locked, the user first. Raises TokenInvalid."""
    row_id = secrets.id_of(token)
    unlocked = OneTimeToken.objects.filter(pk=row_id, purpose__in=purposes).first() if row_id else None
    if unlocked is None:
        raise TokenInvalid
    user = User.objects.locked().filter(pk=unlocked.user_id).first() if unlocked.user_id else None
    row: OneTimeToken = OneTimeToken.objects.locked().get(pk=unlocked.pk)
    if not secrets.is_token_of(row, token) or not row.is_live:
        raise TokenInvalid
    return row, user


def mark_used(row: OneTimeToken, *rest: str) -> None:
    """Mark the row as used and void the user's other tokens of the purposes ``rest``."""
    now = clock.now()
    row.used_at = row.updated_at = now
    row.new_password = ""
    row.save()
    if row.user_id is not None:
        void(row.user_id, *rest)


def void(user_id: UUID, *purposes: str) -> None:
    """Void the user's live tokens of these purposes."""
    now = clock.now()
    rows = OneTimeToken.objects.live().filter(user_id=user_id, purpose__in=purposes)
    rows.update(voided_at=now, updated_at=now, new_password="")


def is_for(row: OneTimeToken, address: str) -> bool:
    """Whether the token was created for the address."""
    return row.address_hash == secrets.address_hash(address)
