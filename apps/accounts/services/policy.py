"""The matrix as a whole: one row, which everything that must not happen side by side locks."""

from apps.accounts.models import AccessPolicy


def locked_policy() -> AccessPolicy:
    """The policy's row, locked."""
    AccessPolicy.objects.bulk_create([AccessPolicy(pk=AccessPolicy.ONLY)], ignore_conflicts=True)
    row: AccessPolicy = AccessPolicy.objects.locked().get(pk=AccessPolicy.ONLY)
    return row


def policy_version() -> int:
    """The version that a change of the matrix is proposed on."""
    row = AccessPolicy.objects.filter(pk=AccessPolicy.ONLY).first()
    return row.version if row is not None else 1
