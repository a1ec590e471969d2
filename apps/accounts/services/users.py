"""Administration of users: activation, roles, erasure, and the purge of old data."""

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
    """Another person must do this for your account."""


class LastAdministrator(Conflict):
    """The last active super administrator cannot be deactivated or erased."""


def _check_may_administer(actor: Actor, user: User) -> None:
    """Raise OwnAccount for the actor's own account, RoleNotAllowed where a super administrator is required."""
    if actor.pk == user.pk:
        raise OwnAccount
    check_rank(actor, user)


def _check_not_last(user: User) -> None:
    """Raise LastAdministrator. The lock on the policy's row serializes concurrent checks."""
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
    """Deactivate a user. All sessions end at once.

    Raises InvalidState, LastAdministrator, OwnAccount, RoleNotAllowed.
    """
    _check_may_administer(actor, user)
    if user.status not in (User.Status.ACTIVE, User.Status.INVITED):
        raise InvalidState
    _check_not_last(user)
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
    """Reactivate a user who has a verified e-mail address or mobile number.

    Raises InvalidState, OwnAccount, RoleNotAllowed.
    """
    _check_may_administer(actor, user)
    is_verified = user.email_verified_at is not None or user.mobile_verified_at is not None
    if user.status != User.Status.DEACTIVATED or not is_verified:
        raise InvalidState
    user.status = User.Status.ACTIVE
    user.save()
    emit(events.UserReactivated(user_id=user.pk, reason_code=ReactivationReason(reason_code), by=actor.pk))
    return user


@service(
    label="Reset two-factor authentication",
    requires=capabilities.MANAGE_USERS,
    emits=[events.MfaDisabled],
    raises=[OwnAccount, RoleNotAllowed, MfaNotEnabled],
)
def reset_second_factor(user: User, *, actor: Actor, reason_code: str = FactorReason.DEVICE_LOST) -> User:
    """Reset the two-factor authentication of a user who lost the device. All sessions end.

    Raises MfaNotEnabled, OwnAccount, RoleNotAllowed.
    """
    _check_may_administer(actor, user)
    if not second_factor.remove(user):
        raise MfaNotEnabled
    end_all(user, Session.EndReason.SECOND_FACTOR, by=actor)
    emit(events.MfaDisabled(user_id=user.pk, by=actor.pk, reason_code=FactorReason(reason_code)))
    return user


@service(
    requires=capabilities.MANAGE_USERS, emits=[events.SessionRevoked], raises=[OwnAccount, RoleNotAllowed]
)
def end_sessions(user: User, *, actor: Actor) -> Revoked:
    """End all sessions of a user."""
    _check_may_administer(actor, user)
    return Revoked(end_all(user, Session.EndReason.ADMINISTRATOR, by=actor, emit_each=True))


@service(requires=capabilities.MANAGE_USERS, emits=[events.UserUnlocked], raises=[OwnAccount, RoleNotAllowed])
def unlock(user: User, *, actor: Actor, reason_code: str = UnlockReason.ASKED) -> User:
    """Unlock a user: reset the failed sign-ins."""
    _check_may_administer(actor, user)
    counted = (user.mobile, of_passwords(user), of_codes(user))
    keys = [counter_key(identifier) for identifier in counted if identifier]
    counters = SignInCounter.objects.locked().filter(key__in=keys).order_by("pk")
    changed = False
    for counter in counters:
        changed |= bool(counter.failures or counter.locked_until)
        counter.failures, counter.locked_until = 0, None
        counter.save()
    if changed:
        emit(events.UserUnlocked(user_id=user.pk, reason_code=UnlockReason(reason_code), by=actor.pk))
    return user


@service(requires=capabilities.MANAGE_USERS, emits=[events.UserAdmitted], raises=[*ROLE_ERRORS, InvalidState])
def admit(user: User, *, actor: Actor, partner_id: UUID, roles: Sequence[str]) -> User:
    """Make an applicant an external user of a partner, with these roles.

    Raises Invalid, InvalidState.
    """
    if user.user_type != User.Type.APPLICANT or user.erased_at is not None:
        raise InvalidState
    check_exists(PARTNER, partner_id, pointer="/partner_id")
    user.user_type, user.partner_id = User.Type.EXTERNAL, partner_id
    set_roles(user, frozenset(roles), by=actor)
    user.save()
    emit(events.UserAdmitted(user_id=user.pk, partner_id=partner_id, roles=sorted(roles)))
    return user


@service(requires=capabilities.MANAGE_USERS, emits=[events.UserApplied], raises=[RoleNotAllowed])
def link_application(user: User, *, actor: Actor, partner_id: UUID) -> User:
    """Let an applicant see the file of the partner that it applies for.

    Raises RoleNotAllowed for anybody else.
    """
    if user.user_type != User.Type.APPLICANT or user.erased_at is not None:
        raise RoleNotAllowed("Only an applicant can apply for a partner.")
    check_exists(PARTNER, partner_id, pointer="/partner_id")
    if user.partner_id != partner_id:
        user.partner_id = partner_id
        user.save()
        emit(events.UserApplied(user_id=user.pk, partner_id=partner_id))
    return user


@service(requires=capabilities.MANAGE_USERS, emits=[events.RolesChanged], raises=ROLE_ERRORS)
def set_partner_roles(user: User, *, actor: Actor, roles: Sequence[str], within: Sequence[str]) -> User:
    """Replace the roles of an external user; ``within`` are the roles that the partner allows.

    Raises RoleNotAllowed, RoleRequired.
    """
    if user.user_type != User.Type.EXTERNAL:
        raise RoleNotAllowed("Only external users get their roles from a partner.")
    if beyond := sorted(set(roles) - set(within)):
        raise RoleNotAllowed(f"The partner does not have the roles {', '.join(beyond)}.")
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
    """Erase the personal data of a user; ID and history remain. The caller has checked for legal holds.

    Raises InvalidState, LastAdministrator, RoleNotAllowed.
    """
    check_rank(actor, user)
    if user.erased_at is not None:
        raise InvalidState
    _check_not_last(user)
    erase_data(user)
    end_grants(user)
    emit(events.UserErased(user_id=user.pk, reason_code=reason_code, by=actor.pk))
    return user


@service(requires=capabilities.MANAGE_USERS, emits=[events.AccountPurged])
def purge(*, actor: Actor) -> dict[str, int]:
    """Delete a batch of rows whose retention is over; return the number of each kind."""
    now = clock.now()
    traces = now - timedelta(days=settings.ACCOUNT_TRACES_DAYS)
    sessions = now - timedelta(days=settings.ACCOUNT_SESSIONS_DAYS)
    expired = {
        "sessions": Session.objects.filter(Q(ended_at__lt=sessions) | Q(expires_at__lt=sessions)),
        "tokens": OneTimeToken.objects.filter(expires_at__lt=traces),
        "challenges": OtpChallenge.objects.filter(expires_at__lt=traces),
        "counters": SignInCounter.objects.filter(updated_at__lt=traces).exclude(locked_until__gt=traces),
    }
    # Stored only for the notice to the former address, which was sent long ago.
    former = User.objects.filter(former_email__isnull=False).exclude(email_verified_at__gte=traces)
    counts = {"addresses": _forget_former(former)}
    for kind, rows in expired.items():
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:PURGED_AT_ONCE])
        rows.model.objects.filter(pk__in=keys).delete()
        counts[kind] = len(keys)
    if any(counts.values()):
        emit(events.AccountPurged(run_id=uuid7(), counts=counts))
    return counts


def _forget_former(users: UserQuerySet) -> int:
    """Clear the former addresses without raising the users' versions."""
    keys = list(users.order_by("pk").values_list("pk", flat=True)[:PURGED_AT_ONCE])
    return int(User.objects.filter(pk__in=keys).update(former_email=None))
