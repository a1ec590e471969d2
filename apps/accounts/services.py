"""Signing in and staying signed in."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.accounts import capabilities, events, tokens
from apps.accounts.models import RefreshToken, RoleMembership, Session, SignInCounter, User
from erp.errors import Conflict, DomainError, Fault, Forbidden, NotAuthenticated, RuleBroken
from erp.ids import uuid7
from erp.services import Refusal, emit, refuse, service


class CredentialsInvalid(NotAuthenticated):
    """E-mail and password don't fit."""

    code = "account.credentials_invalid"


class Locked(DomainError):
    """Too many failed tries; wait."""

    status = 429


class RefreshInvalid(NotAuthenticated):
    """The refresh token is not valid."""

    code = "account.refresh_invalid"


class RefreshReused(NotAuthenticated):
    """The refresh token was used before; the session has ended."""

    code = "account.refresh_reused"


class NotStaff(Forbidden):
    """Only staff sign in here."""


class PasswordWeak(RuleBroken):
    """The password is too easy to guess."""


class IdentifierUnavailable(Conflict):
    """The address can't be used."""


class RoleNotAllowed(RuleBroken):
    """The role doesn't fit the kind of user."""


class Door(NamedTuple):
    """Through which door somebody signs in, and from where."""

    kind: str
    ip: str | None = None
    device: str = ""


class Tokens(NamedTuple):
    """What a signed-in client holds."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    session_id: UUID
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name


_INTERNAL = "INTERNAL"
_STAFF_ROLES = frozenset(
    {
        "INTERNAL_MANAGER",
        "INTERNAL_DIRECTOR",
        "INTERNAL_FINANCE",
        "INTERNAL_COMPLIANCE",
        "INTERNAL_MASTERDATA",
    }
)
_PARTNER_ROLES = frozenset({"PARTNER_ADMIN", "SELLER", "BUYER", "TRADER", "BROKER", "SERVICE_PROVIDER"})


@service(
    requires=capabilities.MANAGE_USERS,
    emits=[events.UserAdded],
)
def add_user(
    *,
    actor: Any,
    email: str,
    full_name: str,
    user_type: str,
    roles: Sequence[str] = (),
    password: str | None = None,
    organization_id: UUID | None = None,
    partner_id: UUID | None = None,
) -> User:
    """Add an active user with a verified address and first password, chosen by an administrator."""
    email = email.strip().lower()
    _check_roles(user_type, frozenset(roles))
    now = timezone.now()
    user = User(
        email=email,
        full_name=full_name.strip(),
        user_type=user_type,
        status=User.Status.ACTIVE,
        is_superuser=user_type == User.Type.SUPER_ADMIN,
        organization_id=organization_id,
        partner_id=partner_id,
        email_verified_at=now,
    )
    if user.is_superuser and not (actor.is_superuser or getattr(actor, "is_system", False)):
        raise RoleNotAllowed("Only a super administrator adds another.")
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise PasswordWeak(
                "Choose another password.",
                errors=[
                    Fault("/password", f"password_{item.code}", item.messages[0]) for item in error.error_list
                ],
            ) from None
    user.set_password(password)
    if User.objects.filter(email=email).exists():
        raise IdentifierUnavailable("Another user has this address.")
    user.save()
    groups = {group.name: group for group in Group.objects.filter(name__in=roles)}
    RoleMembership.objects.bulk_create(
        [RoleMembership(user=user, role=groups[role], granted_by_id=actor.pk) for role in roles]
    )
    emit(
        events.UserAdded(
            user_id=user.pk,
            user_type=user_type,
            organization_id=organization_id,
            partner_id=partner_id,
            roles=sorted(roles),
        )
    )
    return user


def _check_roles(user_type: str, roles: frozenset[str]) -> None:
    """Roles by kind of user, as the accounts rules say; no user but a super administrator is without one."""
    fits = {
        User.Type.SUPER_ADMIN: not roles,
        User.Type.INTERNAL: roles == {"AUDITOR"}
        or (_INTERNAL in roles and roles - {_INTERNAL} <= _STAFF_ROLES),
        User.Type.EXTERNAL: bool(roles) and roles <= _PARTNER_ROLES,
        User.Type.APPLICANT: roles == {"APPLICANT"},
    }
    if not fits[User.Type(user_type)]:
        raise RoleNotAllowed(
            f"{', '.join(sorted(roles)) or 'No role'} doesn't fit a user of type {user_type}."
        )


@service(
    public="signing in is how one becomes known; failures are counted and lock the identifier",
    emits=[events.UserLoggedIn, events.UserLoginFailed, events.UserLocked],
    trace=[SignInCounter],
)
def log_in(*, actor: Any, email: str, password: str, door: Door, device_label: str = "") -> Tokens | Refusal:
    """Sign in with e-mail and password. Unknown, inactive and wrong are one answer."""
    now = timezone.now()
    counter = _counter(email)
    if counter is not None:
        _check_lock(counter)
    user = User.objects.filter(email=email.strip().lower()).first()
    # A password is always hashed, so that timing doesn't tell whether an account exists.
    encoded = user.password if user is not None and user.has_usable_password() else _dummy()
    right = check_password(password, encoded)
    admin = door.kind == Session.Door.ADMIN
    if user is None or not right or not user.is_active or (admin and not user.is_staff):
        return _failed(counter, email, user, now)
    if counter is not None and counter.failures:
        counter.failures, counter.locked_until = 0, None
        counter.save()
    return _start_session(user, door, device_label, now)


def _check_lock(counter: SignInCounter) -> None:
    now = timezone.now()
    if counter.locked_until is not None and counter.locked_until > now:
        seconds = int((counter.locked_until - now).total_seconds()) + 1
        raise Locked("Wait before you try again.", headers={"Retry-After": str(seconds)})


@cache
def _dummy() -> str:
    return make_password(uuid7().hex)


def _counter(email: str) -> SignInCounter | None:
    row: SignInCounter | None = SignInCounter.objects.locked().filter(key=_counter_key(email)).first()
    return row


def _counter_key(identifier: str) -> str:
    key = settings.SIGN_IN_COUNTER_KEY.encode()
    return hmac.new(key, identifier.strip().lower().encode(), hashlib.sha256).hexdigest()


def _failed(counter: SignInCounter | None, email: str, user: User | None, now: datetime) -> Refusal:
    if counter is None:
        key = _counter_key(email)
        SignInCounter.objects.bulk_create(
            [SignInCounter(id=uuid7(), key=key, user=user, window_started_at=now)], ignore_conflicts=True
        )
        counter = _counter(email)
        assert counter is not None
        _check_lock(counter)  # others may have failed while the row wasn't there to wait for
    if counter.window_started_at <= now - timedelta(minutes=settings.SIGN_IN_WINDOW_MINUTES):
        counter.failures, counter.window_started_at = 0, now
    counter.failures += 1
    emit(
        events.UserLoginFailed(
            sign_in_id=counter.pk,
            user_id=user.pk if user else None,
            reason="credentials_invalid",
            failures=counter.failures,
        )
    )
    if counter.failures >= settings.SIGN_IN_FAILURES:
        counter.locked_until = now + timedelta(minutes=settings.SIGN_IN_LOCK_MINUTES)
        counter.failures, counter.window_started_at = 0, now
        emit(
            events.UserLocked(
                sign_in_id=counter.pk, user_id=user.pk if user else None, locked_until=counter.locked_until
            )
        )
    counter.save()
    return refuse(CredentialsInvalid())


def _start_session(user: User, door: Door, device_label: str, now: datetime) -> Tokens:
    device_hash = hashlib.sha256(re.sub(r"[\d._]+", "", door.device).encode()).hexdigest()
    earlier = Session.objects.filter(user=user).values_list("device_hash", flat=True)
    known = set(earlier.distinct()[:200])
    family = timedelta(days=settings.JWT_FAMILY_DAYS)
    if door.kind == Session.Door.ADMIN:
        family = timedelta(hours=settings.ADMIN_SESSION_HOURS)
    session = Session(
        id=uuid7(),
        user=user,
        door=door.kind,
        method=Session.Method.PASSWORD,
        device_label=device_label,
        device_hash=device_hash,
        ip=door.ip,
        refreshed_at=now,
        expires_at=now + min(family, timedelta(days=settings.JWT_REFRESH_DAYS)),
        absolute_expires_at=now + family,
    )
    session.save()
    emit(
        events.UserLoggedIn(
            user_id=user.pk,
            session_id=session.pk,
            door=door.kind,
            method=session.method,
            second_factor=session.second_factor,
            new_device=bool(known) and device_hash not in known,
        )
    )
    return _issue(session, now)


def _issue(session: Session, now: datetime) -> Tokens:
    """A fresh pair for the family; its refresh token becomes the one that is usable."""
    access_expires = now + timedelta(minutes=settings.JWT_ACCESS_MINUTES)
    refresh = RefreshToken(jti=uuid7(), session=session, expires_at=session.expires_at)
    refresh.save()
    access = tokens.Claims(session.user_id, session.pk, uuid7())
    return Tokens(
        access_token=tokens.encode("access", access, issued=now, expires=access_expires),
        access_expires_at=access_expires,
        refresh_token=tokens.encode(
            "refresh", access._replace(jti=refresh.jti), issued=now, expires=session.expires_at
        ),
        refresh_expires_at=session.expires_at,
        session_id=session.pk,
    )


@service(
    public="the refresh token is the proof",
    emits=[events.SessionRefreshed, events.RefreshReuseDetected],
    trace=[Session],
)
def refresh(*, actor: Any, refresh_token: str) -> Tokens | Refusal:
    """Rotate the pair. A token used a second time ends its whole family."""
    claims = tokens.decode("refresh", refresh_token)
    if claims is None:
        raise RefreshInvalid
    now = timezone.now()
    session = Session.objects.live().locked().filter(pk=claims.session_id, user_id=claims.user_id).first()
    if session is None or not User.objects.filter(pk=session.user_id, status=User.Status.ACTIVE).exists():
        raise RefreshInvalid
    token = RefreshToken.objects.filter(session=session, jti=claims.jti, expires_at__gt=now).first()
    if token is None:
        raise RefreshInvalid
    if token.rotated_at is not None:
        session.ended_at, session.end_reason = now, Session.EndReason.REUSE
        session.save()
        emit(events.RefreshReuseDetected(session_id=session.pk, user_id=session.user_id))
        return refuse(RefreshReused())
    token.rotated_at = now
    token.save()
    session.refreshed_at = now
    session.expires_at = min(now + timedelta(days=settings.JWT_REFRESH_DAYS), session.absolute_expires_at)
    session.save()
    emit(events.SessionRefreshed(session_id=session.pk, user_id=session.user_id))
    return _issue(session, now)


@service(
    public="whoever holds the session may end it",
    emits=[events.UserLoggedOut],
)
def log_out(session: Session, *, actor: Any) -> Session:
    """End a session: its tokens stop working at once."""
    if session.ended_at is None:
        session.ended_at, session.end_reason = timezone.now(), Session.EndReason.SIGNED_OUT
        session.save()
        emit(events.UserLoggedOut(user_id=session.user_id, session_id=session.pk))
    return session
