"""Rows behind the links in mails: made for known and unknown addresses alike, taken once."""

from uuid import UUID

from django.conf import settings
from django.utils import timezone

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, User
from apps.accounts.services import addresses
from apps.accounts.services.doors import TokenInvalid

ACCEPTED = {"status": "accepted"}


def make(
    purpose: str, *, address: str, user: User | None, new_password: str = "", voids: bool = False
) -> OneTimeToken:
    """A row whose token the message's renderer computes; ``voids`` ends the address's earlier ones."""
    now = timezone.now()
    address_hash = secrets.address_hash(address)
    if voids:
        addresses.hold(address)
        OneTimeToken.objects.live().filter(address_hash=address_hash, purpose=purpose).update(
            voided_at=now, updated_at=now
        )
    row = OneTimeToken(
        purpose=purpose,
        user=user,
        address_hash=address_hash,
        new_password=new_password,
        key_id=secrets.current_key_id(),
        expires_at=now + settings.ONE_TIME_TOKEN_AGE[purpose],
    )
    row.save()
    return row


def take(token: str, *purposes: str) -> tuple[OneTimeToken, User | None]:
    """The live row of a token and its user, both locked, the user first. Raises TokenInvalid."""
    row_id = secrets.id_of(token)
    found = OneTimeToken.objects.filter(pk=row_id, purpose__in=purposes).first() if row_id else None
    if found is None:
        raise TokenInvalid
    user = User.objects.locked().filter(pk=found.user_id).first() if found.user_id else None
    row: OneTimeToken = OneTimeToken.objects.locked().get(pk=found.pk)
    if not secrets.fits(row, token) or not row.is_live:
        raise TokenInvalid
    return row, user


def use_up(row: OneTimeToken, *rest: str) -> None:
    """Mark the row as used and void the user's other tokens of the purposes ``rest``."""
    now = timezone.now()
    row.used_at = row.updated_at = now
    row.new_password = ""
    row.save()
    if row.user_id is not None:
        void(row.user_id, *rest)


def void(user_id: UUID, *purposes: str) -> None:
    """Void the user's live tokens of these purposes."""
    now = timezone.now()
    rows = OneTimeToken.objects.live().filter(user_id=user_id, purpose__in=purposes)
    rows.update(voided_at=now, updated_at=now, new_password="")


def is_for(row: OneTimeToken, address: str) -> bool:
    """Whether the row was made for the address."""
    return row.address_hash == secrets.address_hash(address)
