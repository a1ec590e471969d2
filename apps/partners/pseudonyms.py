"""The name under which one partner sees another before a trade."""

import base64
import hashlib
import hmac
from uuid import UUID

from django.conf import settings

FIRST_KEY = 1  # of the names by listing, which stay


def veil(viewer: UUID, subject: UUID, context: UUID) -> UUID:
    """The pseudonym in the shape of an id, as events carry it."""
    return UUID(hex=pseudonym(viewer, subject, context))


def pseudonym(viewer: UUID | None, subject: UUID, context: UUID) -> str:
    """128 bits of HMAC, another one in each context (a listing, a match) and for each viewer."""
    return _digest(viewer, subject, context, FIRST_KEY).hex()


def pseudonym_of_side(
    side: str, viewer: UUID | None, subject: UUID, match_id: UUID, key: int = FIRST_KEY
) -> str:
    """Name of a side inside a match and its negotiation: ``B-`` or ``S-`` and 128 bits in base32.

    ``key`` is the version of the key, which whoever stores the context keeps with it: a newer one renames nobody.
    """
    code = base64.b32encode(_digest(viewer, subject, match_id, key)).decode().rstrip("=")
    return f"{side[0]}-{code}"


def _digest(viewer: UUID | None, subject: UUID, context: UUID, version: int) -> bytes:
    label = "seller-ref" if version == FIRST_KEY else f"pseudonym-{version}"
    key = hashlib.sha256(f"{label}{settings.SECRET_KEY}".encode()).digest()
    return hmac.new(key, f"{viewer}:{subject}:{context}".encode(), hashlib.sha256).digest()[:16]
