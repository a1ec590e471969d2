"""The row of the capability matrix, locked by changes that must not run concurrently."""

from apps.accounts.models import AccessPolicy


def locked_policy() -> AccessPolicy:
    """The row of the matrix, locked."""
    AccessPolicy.objects.bulk_create([AccessPolicy(pk=AccessPolicy.ONLY)], ignore_conflicts=True)
    row: AccessPolicy = AccessPolicy.objects.locked().get(pk=AccessPolicy.ONLY)
    return row


def policy_version() -> int:
    """The current version of the matrix."""
    row = AccessPolicy.objects.filter(pk=AccessPolicy.ONLY).first()
    return row.version if row is not None else 1
