"""What others do with a user: take on, shut out, let in again, help, erase; and what time takes away."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from apps.accounts import capabilities, events
from apps.accounts.models import (
    DeactivationReason,
    FactorReason,
    OneTimeToken,
    OtpChallenge,
    ReactivationReason,
    Session,
    SignInCounter,
    UnlockReason,
    User,
    UserQuerySet,
)
from apps.accounts.services import second_factor
from apps.accounts.services.common import MfaNotEnabled
from apps.accounts.services.counting import counter_key, of_codes, of_passwords
from apps.accounts.services.erasing import erase_data
from apps.accounts.services.grants import end_grants
from apps.accounts.services.joining import InvalidState
from apps.accounts.services.policy import locked_policy
from apps.accounts.services.references import PARTNER, check_exists
from apps.accounts.services.roles import ROLE_ERRORS, RoleNotAllowed, check_rank, set_roles
from apps.accounts.services.sessions import Revoked, end_all
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, Forbidden
from erp.ids import uuid7
from erp.services import emit, service

PURGED_AT_ONCE = 1000


class OwnAccount(Forbidden):
    """Nobody does this to their own account."""


class LastAdministrator(Conflict):
    """The last active super administrator stays."""


def _outranks(actor: Actor, user: User) -> None:
    """Raises OwnAccount for oneself, RoleNotAllowed where only a super administrator may."""
    if actor.pk == user.pk:
        raise OwnAccount
    check_rank(actor, user)


def _keep_one(user: User) -> None:
    """Raises LastAdministrator. The policy's row is the one place where such decisions queue up."""
    if not user.is_superuser or not user.is_active:
        return
    locked_policy()
    others = User.objects.filter(is_superuser=True, status=User.Status.ACTIVE).exclude(pk=user.pk)
    if not others.exists():
        raise LastAdministrator


@service(
    requires=capabilities.MANAGE_USERS,
    emits=[events.UserDeactivated],
    raises=[OwnAccount, RoleNotAllowed, InvalidState, LastAdministrator],
)
def deactivate(user: User, *, actor: Actor, reason_code: str = DeactivationReason.LEFT) -> User:
    """Shut a person out: all sessions end at once. Raises InvalidState, LastAdministrator, OwnAccount."""
    _outranks(actor, user)
    if user.status not in (User.Status.ACTIVE, User.Status.INVITED):
        raise InvalidState
    _keep_one(user)
    user.status = User.Status.DEACTIVATED
    user.save()
    end_all(user, Session.EndReason.DEACTIVATED, by=actor)
    emit(events.UserDeactivated(user_id=user.pk, reason_code=DeactivationReason(reason_code), by=actor.pk))
    return user


@service(
    requires=capabilities.MANAGE_USERS,
    emits=[events.UserReactivated],
    raises=[OwnAccount, RoleNotAllowed, InvalidState],
)
def reactivate(user: User, *, actor: Actor, reason_code: str = ReactivationReason.RETURNED) -> User:
    """Let a person in again who once proved an address or number. Raises InvalidState."""
    _outranks(actor, user)
    proved = user.email_verified_at is not None or user.mobile_verified_at is not None
    if user.status != User.Status.DEACTIVATED or not proved:
        raise InvalidState
    user.status = User.Status.ACTIVE
    user.save()
    emit(events.UserReactivated(user_id=user.pk, reason_code=ReactivationReason(reason_code), by=actor.pk))
    return user


@service(
    requires=capabilities.MANAGE_USERS,
    emits=[events.MfaDisabled],
    raises=[OwnAccount, RoleNotAllowed, MfaNotEnabled],
)
def reset_second_factor(user: User, *, actor: Actor, reason_code: str = FactorReason.DEVICE_LOST) -> User:
    """Take a lost second factor away, for another person; all sessions end. Raises MfaNotEnabled."""
    _outranks(actor, user)
    if not second_factor.forget(user):
        raise MfaNotEnabled
    end_all(user, Session.EndReason.SECOND_FACTOR, by=actor)
    emit(events.MfaDisabled(user_id=user.pk, by=actor.pk, reason_code=FactorReason(reason_code)))
    return user


@service(
    requires=capabilities.MANAGE_USERS, emits=[events.SessionRevoked], raises=[OwnAccount, RoleNotAllowed]
)
def end_sessions(user: User, *, actor: Actor) -> Revoked:
    """End all sessions of a person; returns how many."""
    _outranks(actor, user)
    return Revoked(end_all(user, Session.EndReason.ADMINISTRATOR, by=actor, tell=True))


@service(requires=capabilities.MANAGE_USERS, emits=[events.UserUnlocked], raises=[OwnAccount, RoleNotAllowed])
def unlock(user: User, *, actor: Actor, reason_code: str = UnlockReason.ASKED) -> User:
    """Forget a person's failed sign-ins, so that the lock ends at once."""
    _outranks(actor, user)
    counted = (user.mobile, of_passwords(user), of_codes(user))
    keys = [counter_key(identifier) for identifier in counted if identifier]
    shut = SignInCounter.objects.locked().filter(key__in=keys).order_by("pk")
    changed = False
    for counter in shut:
        changed |= bool(counter.failures or counter.locked_until)
        counter.failures, counter.locked_until = 0, None
        counter.save()
    if changed:
        emit(events.UserUnlocked(user_id=user.pk, reason_code=UnlockReason(reason_code), by=actor.pk))
    return user


@service(requires=capabilities.MANAGE_USERS, emits=[events.UserAdmitted], raises=[*ROLE_ERRORS, InvalidState])
def admit(user: User, *, actor: Actor, partner_id: UUID, roles: Sequence[str]) -> User:
    """Make an applicant a user of the partner that was taken on, with these roles. Raises Invalid, InvalidState."""
    if user.user_type != User.Type.APPLICANT or user.erased_at is not None:
        raise InvalidState
    check_exists(PARTNER, partner_id, pointer="/partner_id")
    user.user_type, user.partner_id = User.Type.EXTERNAL, partner_id
    set_roles(user, frozenset(roles), by=actor)
    user.save()
    emit(events.UserAdmitted(user_id=user.pk, partner_id=partner_id, roles=sorted(roles)))
    return user


@service(requires=capabilities.MANAGE_USERS, emits=[events.RolesChanged], raises=ROLE_ERRORS)
def set_partner_roles(user: User, *, actor: Actor, roles: Sequence[str], within: Sequence[str]) -> User:
    """Replace the roles of a partner's user; ``within`` is what the partner's own roles allow.

    Raises RoleNotAllowed, RoleRequired.
    """
    if user.user_type != User.Type.EXTERNAL:
        raise RoleNotAllowed("Only a partner's people get their roles from the partner.")
    if beyond := sorted(set(roles) - set(within)):
        raise RoleNotAllowed(f"The partner has no {', '.join(beyond)}.")
    added, removed = set_roles(user, frozenset(roles), by=actor)
    if added or removed:
        user.save()
        emit(
            events.RolesChanged(user_id=user.pk, added=added, removed=removed, by=actor.pk, approval_id=None)
        )
    return user


@service(
    requires=capabilities.MANAGE_USERS,
    emits=[events.UserErased, events.CapabilityRevoked],
    raises=[RoleNotAllowed, InvalidState, LastAdministrator],
)
def erase(user: User, *, actor: Actor, reason_code: str) -> User:
    """Take a person's data away; id and history stay. The caller has looked for legal holds.

    Raises InvalidState, LastAdministrator, RoleNotAllowed.
    """
    check_rank(actor, user)
    if user.erased_at is not None:
        raise InvalidState
    _keep_one(user)
    erase_data(user)
    end_grants(user)
    emit(events.UserErased(user_id=user.pk, reason_code=reason_code, by=actor.pk))
    return user


@service(requires=capabilities.MANAGE_USERS, emits=[events.AccountPurged])
def purge(*, actor: Actor) -> dict[str, int]:
    """Delete a batch of what is kept no longer; returns how many rows of each kind."""
    now = clock.now()
    traces = now - timedelta(days=settings.ACCOUNT_TRACES_DAYS)
    sessions = now - timedelta(days=settings.ACCOUNT_SESSIONS_DAYS)
    over = {
        "sessions": Session.objects.filter(Q(ended_at__lt=sessions) | Q(expires_at__lt=sessions)),
        "tokens": OneTimeToken.objects.filter(expires_at__lt=traces),
        "challenges": OtpChallenge.objects.filter(expires_at__lt=traces),
        "counters": SignInCounter.objects.filter(updated_at__lt=traces).exclude(locked_until__gt=traces),
    }
    # Kept for the notice to the address that was replaced, which went out long ago.
    former = User.objects.filter(former_email__isnull=False).exclude(email_verified_at__gte=traces)
    counts = {"addresses": _forget_former(former)}
    for kind, rows in over.items():
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:PURGED_AT_ONCE])
        rows.model.objects.filter(pk__in=keys).delete()
        counts[kind] = len(keys)
    if any(counts.values()):
        emit(events.AccountPurged(run_id=uuid7(), counts=counts))
    return counts


def _forget_former(users: UserQuerySet) -> int:
    """No change of the person's own: the version stands."""
    keys = list(users.order_by("pk").values_list("pk", flat=True)[:PURGED_AT_ONCE])
    return int(User.objects.filter(pk__in=keys).update(former_email=None))
