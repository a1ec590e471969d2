"""Sessions and their tokens: start, refresh and end."""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings

from apps.accounts import capabilities, events, tokens
from apps.accounts.models import RefreshToken, Session, User
from apps.accounts.services.common import Origin, RefreshInvalid, RefreshReused, SessionEnded, Tokens
from erp import clock
from erp.access import Actor
from erp.ids import uuid7
from erp.services import Refusal, emit, refuse, service


class Revoked(NamedTuple):
    """The number of ended sessions."""

    revoked: int


def start_session(
    user: User, origin: Origin, now: datetime, *, method: str, second_factor: str, device_label: str
) -> Tokens:
    """Start a session of the user, whose row is locked, and return its first tokens."""
    device_hash = hashlib.sha256(re.sub(r"[\d._]+", "", origin.device).encode()).hexdigest()
    earlier = Session.objects.filter(user=user).values_list("device_hash", flat=True)
    known = set(earlier.distinct()[:200])
    family = timedelta(days=settings.JWT_FAMILY_DAYS)
    if origin.channel == Session.Channel.ADMIN:
        family = timedelta(hours=settings.ADMIN_SESSION_HOURS)
    session = Session(
        user=user,
        door=origin.channel,
        method=method,
        second_factor=second_factor,
        device_label=device_label,
        device_hash=device_hash,
        ip=origin.ip,
        refreshed_at=now,
        expires_at=now + min(family, timedelta(days=settings.JWT_REFRESH_DAYS)),
        absolute_expires_at=now + family,
    )
    session.save()
    emit(
        events.UserLoggedIn(
            user_id=user.pk,
            session_id=session.pk,
            door=origin.channel,
            method=method,
            second_factor=second_factor,
            new_device=bool(known) and device_hash not in known,
        )
    )
    return issue(session, now)


def issue(session: Session, now: datetime) -> Tokens:
    """New tokens of the session; the refresh token replaces the former one."""
    access_expires = now + timedelta(minutes=settings.JWT_ACCESS_MINUTES)
    token = RefreshToken(jti=uuid7(), session=session, expires_at=session.expires_at)
    token.save()
    access = tokens.Claims(session.user_id, session.pk, uuid7())
    return Tokens(
        access_token=tokens.encode("access", access, issued=now, expires=access_expires),
        access_expires_at=access_expires,
        refresh_token=tokens.encode(
            "refresh", access._replace(jti=token.jti), issued=now, expires=session.expires_at
        ),
        refresh_expires_at=session.expires_at,
        session_id=session.pk,
    )


def end_all(
    user: User, reason: str, *, by: Any, except_session: Session | None = None, emit_each: bool = False
) -> int:
    """End the user's live sessions; return how many. ``emit_each`` emits ``session.revoked`` for each."""
    ended = 0
    for session in Session.objects.live().locked().filter(user=user).order_by("pk"):
        if except_session is None or session.pk != except_session.pk:
            _end(session, reason)
            ended += 1
            if emit_each:
                emit(
                    events.SessionRevoked(
                        session_id=session.pk, user_id=session.user_id, reason=reason, by=by.pk
                    )
                )
    return ended


def _end(session: Session, reason: str) -> None:
    session.ended_at, session.end_reason = clock.now(), reason
    session.save()


@service(
    public="the refresh token is the proof",
    emits=[events.SessionRefreshed, events.RefreshReuseDetected],
    raises=[RefreshInvalid, RefreshReused],
    writes_on_refusal=[Session],
)
def refresh(*, actor: Actor, refresh_token: str) -> Tokens | Refusal:
    """Refresh tokens. A refresh token that is used a second time ends its session."""
    claims = tokens.decode("refresh", refresh_token)
    if claims is None:
        raise RefreshInvalid
    now = clock.now()
    session = Session.objects.live().locked().filter(pk=claims.session_id, user_id=claims.user_id).first()
    if session is None or not User.objects.filter(pk=session.user_id, status=User.Status.ACTIVE).exists():
        raise RefreshInvalid
    token = RefreshToken.objects.filter(session=session, jti=claims.jti, expires_at__gt=now).first()
    if token is None:
        raise RefreshInvalid
    if token.rotated_at is not None:
        _end(session, Session.EndReason.REUSE)
        emit(events.RefreshReuseDetected(session_id=session.pk, user_id=session.user_id))
        return refuse(RefreshReused())
    token.rotated_at = now
    token.save()
    session.refreshed_at = now
    session.expires_at = min(now + timedelta(days=settings.JWT_REFRESH_DAYS), session.absolute_expires_at)
    session.save()
    emit(events.SessionRefreshed(session_id=session.pk, user_id=session.user_id))
    return issue(session, now)


@service(requires=capabilities.MANAGE_SESSIONS, emits=[events.UserLoggedOut])
def log_out(session: Session, *, actor: Actor) -> None:
    """Sign out. The tokens of this session stop working at once."""
    if session.ended_at is None:
        _end(session, Session.EndReason.SIGNED_OUT)
        emit(events.UserLoggedOut(user_id=session.user_id, session_id=session.pk))


@service(requires=capabilities.MANAGE_SESSIONS, emits=[events.SessionRevoked])
def log_out_everywhere(session: Session, *, actor: Actor) -> Revoked:
    """Sign out of all other sessions."""
    return Revoked(
        end_all(session.user, Session.EndReason.USER, by=actor, except_session=session, emit_each=True)
    )


@service(requires=capabilities.MANAGE_SESSIONS, emits=[events.SessionRevoked], raises=[SessionEnded])
def revoke_session(session: Session, *, actor: Actor) -> Session:
    """End one of your sessions.

    Raises SessionEnded.
    """
    if not session.is_live:
        raise SessionEnded
    _end(session, Session.EndReason.USER)
    emit(
        events.SessionRevoked(
            session_id=session.pk, user_id=session.user_id, reason=Session.EndReason.USER, by=actor.pk
        )
    )
    return session
