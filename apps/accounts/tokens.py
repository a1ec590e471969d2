"""JSON Web Tokens: HS256 fixed in code, no role or capability inside; each kind is good for its one use."""

from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import jwt
from django.conf import settings

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "cotton-erp"
KEY_ID = "1"


class Claims(NamedTuple):
    """What a token says: whose it is, of which session, and its own id."""

    user_id: UUID
    session_id: UUID
    jti: UUID


def encode(kind: Literal["access", "refresh"], claims: Claims, *, issued: datetime, expires: datetime) -> str:
    """A signed token of the kind."""
    return jwt.encode(
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "jti": str(claims.jti),
            "typ": kind,
            "iat": issued,
            "exp": expires,
        },
        settings.JWT_SIGNING_KEY,
        algorithm=ALGORITHM,
        headers={"kid": KEY_ID},
    )


def decode(kind: Literal["access", "refresh"], token: str) -> Claims | None:
    """The claims of a genuine, live token of the kind; None for anything else."""
    try:
        payload = jwt.decode(
            token,
            settings.JWT_SIGNING_KEY,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["iss", "aud", "sub", "sid", "jti", "typ", "iat", "exp"]},
        )
        if payload["typ"] != kind:
            return None
        return Claims(UUID(payload["sub"]), UUID(payload["sid"]), UUID(payload["jti"]))
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
        return None
