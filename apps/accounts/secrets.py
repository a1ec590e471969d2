"""One-time secrets: derived when a message is rendered or a response is checked, never stored or queued.

A token is ``base64url(id).base64url(HMAC-SHA-256(key, purpose, id))``, a code six digits of such a digest by
RFC 4226. The row names its key, so that a new key can be added while older messages are still valid. A message
that is sent again carries the same secret.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from uuid import UUID

from django.conf import settings

from apps.accounts.models import OneTimeToken, OtpChallenge, User
from erp.encryption import keyed_hash

RECOVERY_BYTES = 10  # 80 random bits


def current_key_id() -> str:
    """The ID of the key for new rows."""
    return next(iter(settings.ONE_TIME_KEYS))


def token_of(row: OneTimeToken) -> str:
    """The token of the row, which the link in the e-mail carries behind its ``#``."""
    return f"{_text(row.pk.bytes)}.{_text(_digest(row.key_id, f'token:{row.purpose}', row.pk))}"


def id_of(token: str) -> UUID | None:
    """The row ID in a token; None for anything else. It is not verified: see ``is_token_of``."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(token.partition(".")[0].encode() + b"=="))
    except (ValueError, binascii.Error):
        return None


def is_token_of(row: OneTimeToken, token: str) -> bool:
    """Whether the token belongs to the row, compared in constant time."""
    return row.key_id in settings.ONE_TIME_KEYS and hmac.compare_digest(
        token_of(row).encode(), token.encode()
    )


def invitation_of(user: User) -> str | None:
    """The token of the user's live invitation; None without one."""
    row = OneTimeToken.objects.live().filter(user=user, purpose=OneTimeToken.Purpose.INVITATION).first()
    return token_of(row) if row is not None else None


def code_of(challenge: OtpChallenge) -> str:
    """The six digits of the challenge."""
    digest = _digest(challenge.key_id, f"otp:{challenge.purpose}", challenge.pk)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 1_000_000:06d}"


def is_code_of(challenge: OtpChallenge, code: str) -> bool:
    """Whether the code belongs to the challenge, compared in constant time."""
    return challenge.key_id in settings.ONE_TIME_KEYS and hmac.compare_digest(
        code_of(challenge).encode(), code.encode()
    )


def new_recovery_code() -> str:
    """A new code of 80 random bits, in four groups."""
    text = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def is_recovery_code(text: str) -> bool:
    """Whether the text has the format of a recovery code."""
    return re.fullmatch(r"[A-Z2-7]{16}", _bare(text)) is not None


def recovery_digest(user: User, code: str) -> str:
    """The stored digest of a recovery code, typed with or without dashes, in any case."""
    return keyed_hash(_bare(code), context=f"account.recovery_code:{user.pk}")


def _bare(code: str) -> str:
    return code.replace("-", "").replace(" ", "").upper()


def address_hash(address: str) -> str:
    """The hash of an address or number in its canonical form, for rows that must not store it."""
    return keyed_hash(address, context="account.address")


def network_hash(network: str) -> str:
    """The hash of the network of a request, for rows that only count by it."""
    return keyed_hash(network, context="account.network")


def _digest(key_id: str, purpose: str, row_id: UUID) -> bytes:
    key = settings.ONE_TIME_KEYS[key_id].encode()
    return hmac.new(key, purpose.encode() + b"\0" + row_id.bytes, hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
