"""The name under which one partner sees another before a trade."""

import hashlib
import hmac
from uuid import UUID

from django.conf import settings


def veil(viewer: UUID, subject: UUID, context: UUID) -> UUID:
    """The pseudonym in the shape of an id, as events carry it."""
    return UUID(hex=pseudonym(viewer, subject, context))


def pseudonym(viewer: UUID | None, subject: UUID, context: UUID) -> str:
    """128 bits of HMAC, another one in each context (a listing, a match) and for each viewer."""
    key = hashlib.sha256(b"seller-ref" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(key, f"{viewer}:{subject}:{context}".encode(), hashlib.sha256).hexdigest()[:32]
