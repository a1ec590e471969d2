"""Single grants: added and revoked by changes of rights, ended by expiry or erasure of the user."""

from typing import Any

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from guardian.models import UserObjectPermission

from apps.accounts import capabilities, events
from apps.accounts.models import CapabilityChange, CapabilityGrant, Operation, User
from erp import clock
from erp.access import Actor
from erp.ids import uuid7
from erp.services import emit, service


def active_grant(change: CapabilityChange) -> CapabilityGrant | None:
    """The active grant that the change concerns, locked; None without one."""
    row: CapabilityGrant | None = (
        CapabilityGrant.objects.locked()
        .filter(
            user_id=change.user_id,
            capability=change.capability,
            object_type=change.object_type,
            object_id=change.object_id,
            status=CapabilityGrant.Status.ACTIVE,
        )
        .first()
    )
    return row


def apply_grant(change: CapabilityChange, user: User) -> None:
    """Add or revoke the grant of an approved change, inside its service. The caller saves the user."""
    user.rights_version += 1
    if change.operation == Operation.REMOVE:
        grant = active_grant(change)
        assert grant is not None
        _end_grant(grant, CapabilityGrant.Status.REVOKED)
        emit(events.CapabilityRevoked(**_values(grant)))
        return
    grant = CapabilityGrant(
        id=uuid7(),
        user=user,
        capability=change.capability or "",
        object_type=change.object_type,
        object_id=change.object_id,
        expires_at=change.grant_expires_at,
        reason=change.reason,
        change=change,
    )
    grant.save()
    mirror = _mirror(grant)
    if mirror is not None:
        # guardian's save() accepts only rows of the permission's own model, not those of related models
        UserObjectPermission.objects.bulk_create([UserObjectPermission(**mirror)], ignore_conflicts=True)
    emit(events.CapabilityGranted(**_values(grant)))


@service(requires=capabilities.MANAGE_CAPABILITIES, emits=[events.CapabilityExpired])
def expire_grants(*, actor: Actor) -> int:
    """Mark expired grants as expired; return how many. They have no effect from their expiry on anyway."""
    due = CapabilityGrant.objects.locked().filter(
        status=CapabilityGrant.Status.ACTIVE, expires_at__lte=clock.now()
    )
    ended = list(due.order_by("pk")[:200])
    for grant in ended:
        _end_grant(grant, CapabilityGrant.Status.EXPIRED)
        emit(events.CapabilityExpired(**_values(grant)))
    return len(ended)


def end_grants(user: User) -> None:
    """Revoke every grant of a user who is erased, inside the service that does so."""
    held = CapabilityGrant.objects.locked().filter(user=user, status=CapabilityGrant.Status.ACTIVE)
    for grant in held.order_by("pk"):
        _end_grant(grant, CapabilityGrant.Status.REVOKED)
        emit(events.CapabilityRevoked(**_values(grant)))


def _end_grant(grant: CapabilityGrant, status: str) -> None:
    grant.status, grant.updated_at = status, clock.now()
    grant.save()
    mirror = _mirror(grant)
    if mirror is not None:
        UserObjectPermission.objects.filter(**mirror).delete()


def _mirror(grant: CapabilityGrant) -> dict[str, Any] | None:
    """The guardian row of a grant on one row; None for a general grant, which guardian has no row for."""
    if grant.object_type is None:
        return None
    label, _, codename = grant.capability.partition(".")
    permission = Permission.objects.filter(content_type__app_label=label, codename=codename).first()
    model = apps.get_model(grant.object_type)
    return {
        "user_id": grant.user_id,
        "permission": permission,
        "content_type": ContentType.objects.get_for_model(model),
        "object_pk": str(grant.object_id),
    }


def _values(grant: CapabilityGrant) -> dict[str, Any]:
    return {
        "grant_id": grant.pk,
        "user_id": grant.user_id,
        "capability": grant.capability,
        "object_type": grant.object_type,
        "object_id": grant.object_id,
        "expires_at": grant.expires_at,
    }
