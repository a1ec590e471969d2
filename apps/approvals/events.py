"""Events of approval requests: kind, subject, version and approvals so far.

``by`` is the user who acted, null for the system. Everything else is read from the request itself.
"""

from uuid import UUID

from apps.approvals import capabilities
from erp.events import Event, event, rows_of

rows_of("approval", model="approval.ApprovalRequest", reads=capabilities.VIEW)


class ApprovalEvent(Event):
    """The fields that all events of a request share."""

    approval_id: UUID
    kind: str
    subject_type: str
    subject_id: UUID
    subject_version: int
    base_version: int | None
    needed: int
    given: int
    by: UUID | None


APPROVAL = ("approval", "approval_id")


@event("approval.requested", version=1, aggregate=APPROVAL, readers={})
class ApprovalRequested(ApprovalEvent):
    """A request was opened."""


@event("approval.endorsed", version=1, aggregate=APPROVAL, readers={})
class ApprovalEndorsed(ApprovalEvent):
    """A request was approved, and further approvals are needed."""


@event("approval.granted", version=1, aggregate=APPROVAL, readers={})
class ApprovalGranted(ApprovalEvent):
    """The last approval was given. The change was made in the same transaction."""


@event("approval.refused", version=1, aggregate=APPROVAL, readers={})
class ApprovalRefused(ApprovalEvent):
    """A request was rejected."""


@event("approval.withdrawn", version=1, aggregate=APPROVAL, readers={})
class ApprovalWithdrawn(ApprovalEvent):
    """A request was withdrawn by the person who made it."""


@event("approval.expired", version=1, aggregate=APPROVAL, readers={})
class ApprovalExpired(ApprovalEvent):
    """A request expired before it was decided."""


@event("approval.staled", version=1, aggregate=APPROVAL, readers={})
class ApprovalStaled(ApprovalEvent):
    """Subject or base changed before the decision."""


@event("approval.escalated", version=1, aggregate=APPROVAL, readers={})
class ApprovalEscalated(ApprovalEvent):
    """A request was escalated to a higher role."""
