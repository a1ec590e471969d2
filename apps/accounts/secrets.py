"""One-time secrets: derived when a message is rendered or an answer is checked, never stored or queued.

A token is ``base64url(id).base64url(HMAC-SHA-256(key, purpose, id))``, a code six digits of such a digest by
RFC 4226. The row says which key it was made with, so a new key can come in front while older messages are
under way; whoever sends a message again sends the same secret.
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
    """Id of the key that new rows are made with."""
    return next(iter(settings.ONE_TIME_KEYS))


def token_of(row: OneTimeToken) -> str:
    """The token that the row stands for: what a link in a mail carries behind its ``#``."""
    return f"{_text(row.pk.bytes)}.{_text(_digest(row.key_id, f'token:{row.purpose}', row.pk))}"


def id_of(token: str) -> UUID | None:
    """Id of the row that a token names; None where it is none. It proves nothing: see ``fits``."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(token.partition(".")[0].encode() + b"=="))
    except (ValueError, binascii.Error):
        return None


def fits(row: OneTimeToken, token: str) -> bool:
    """Whether the token is the row's, in constant time."""
    return row.key_id in settings.ONE_TIME_KEYS and hmac.compare_digest(
        token_of(row).encode(), token.encode()
    )


def invitation_of(user: User) -> str | None:
    """Token of the user's live invitation; None without one."""
    row = OneTimeToken.objects.live().filter(user=user, purpose=OneTimeToken.Purpose.INVITATION).first()
    return token_of(row) if row is not None else None


def code_of(challenge: OtpChallenge) -> str:
    """The six digits that the challenge's message carries."""
    digest = _digest(challenge.key_id, f"otp:{challenge.purpose}", challenge.pk)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 1_000_000:06d}"


def code_fits(challenge: OtpChallenge, code: str) -> bool:
    """Whether the code is the challenge's, in constant time."""
    return challenge.key_id in settings.ONE_TIME_KEYS and hmac.compare_digest(
        code_of(challenge).encode(), code.encode()
    )


def new_recovery_code() -> str:
    """A fresh code of 80 random bits, in four groups that can be read out."""
    text = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def is_recovery_code(text: str) -> bool:
    """Whether it has a recovery code's shape; of which person's it is, only their digests tell."""
    return re.fullmatch(r"[A-Z2-7]{16}", _bare(text)) is not None


def recovery_digest(user: User, code: str) -> str:
    """What is stored of a recovery code, as people may type it: with or without dashes, in whatever case."""
    return keyed_hash(_bare(code), context=f"account.recovery_code:{user.pk}")


def _bare(code: str) -> str:
    return code.replace("-", "").replace(" ", "").upper()


def address_hash(address: str) -> str:
    """An address or number, in its canonical form, as rows store it that must not hold it."""
    return keyed_hash(address, context="account.address")


def network_hash(network: str) -> str:
    """The network that a request came from as rows keep it that only count by it."""
    return keyed_hash(network, context="account.network")


def _digest(key_id: str, purpose: str, row_id: UUID) -> bytes:
    key = settings.ONE_TIME_KEYS[key_id].encode()
    return hmac.new(key, purpose.encode() + b"\0" + row_id.bytes, hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
