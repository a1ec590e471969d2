"""JSON Web Tokens: always HS256, without roles or capabilities; each type has one use."""

import hashlib
import hmac
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import jwt
from django.conf import settings

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "cotton-erp"
KEY_ID = "1"


class Claims(NamedTuple):
    """The claims of a token: user, session and its own ID."""

    user_id: UUID
    session_id: UUID
    jti: UUID


def encode(kind: Literal["access", "refresh"], claims: Claims, *, issued: datetime, expires: datetime) -> str:
    """Sign a token of the type."""
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


class FirstFactor(NamedTuple):
    """The claims of a challenge token: who passed the first factor, how, and the mark of the current password."""

    user_id: UUID
    method: str
    device_label: str
    password_mark: str
    otp_challenge_id: UUID | None = None


def encode_challenge(passed: FirstFactor, *, issued: datetime, expires: datetime) -> str:
    """Sign a challenge token after the first factor. Nothing is stored."""
    return jwt.encode(
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(passed.user_id),
            "typ": "challenge",
            "iat": issued,
            "exp": expires,
            "method": passed.method,
            "label": passed.device_label,
            "mark": passed.password_mark,
            "otp": str(passed.otp_challenge_id or ""),
        },
        settings.JWT_SIGNING_KEY,
        algorithm=ALGORITHM,
        headers={"kid": KEY_ID},
    )


def decode_challenge(token: str) -> FirstFactor | None:
    """The claims of a valid challenge token; None for anything else."""
    payload = _payload(token, ["iss", "aud", "sub", "typ", "iat", "exp", "method", "label", "mark", "otp"])
    if payload is None or payload["typ"] != "challenge":
        return None
    otp = UUID(payload["otp"]) if payload["otp"] else None
    return FirstFactor(UUID(payload["sub"]), payload["method"], payload["label"], payload["mark"], otp)


def password_mark(encoded: str) -> str:
    """A keyed hash of a password's hash: it changes with the password and does not reveal it."""
    key = settings.JWT_SIGNING_KEY.encode()
    return hmac.new(key, b"password" + encoded.encode(), hashlib.sha256).hexdigest()[:32]


def _payload(token: str, required: list[str]) -> dict[str, Any] | None:
    try:
        payload: dict[str, Any] = jwt.decode(
            token,
            settings.JWT_SIGNING_KEY,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=settings.JWT_LEEWAY_SECONDS,
            options={"require": required},
        )
    except jwt.InvalidTokenError:
        return None
    return payload


def decode(kind: Literal["access", "refresh"], token: str) -> Claims | None:
    """The claims of a valid token of the type; None for anything else."""
    payload = _payload(token, ["iss", "aud", "sub", "sid", "jti", "typ", "iat", "exp"])
    if payload is None or payload["typ"] != kind:
        return None
    try:
        return Claims(UUID(payload["sub"]), UUID(payload["sid"]), UUID(payload["jti"]))
    except (ValueError, TypeError, AttributeError):
        return None
