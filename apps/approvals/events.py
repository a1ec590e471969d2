"""What others may learn of a request: which kind, about what, at which version, and how it stands.

``by`` is whoever did it; nobody for what SYSTEM did. Whoever needs more reads the request.
"""

from uuid import UUID

from apps.approvals import capabilities
from erp.events import Event, event, rows_of

rows_of("approval", model="approval.ApprovalRequest", reads=capabilities.VIEW)


class Head(Event):
    """What each event says of its request."""

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
class ApprovalRequested(Head):
    """Somebody asks for a decision."""


@event("approval.endorsed", version=1, aggregate=APPROVAL, readers={})
class ApprovalEndorsed(Head):
    """A voice for it that isn't the last one needed."""


@event("approval.granted", version=1, aggregate=APPROVAL, readers={})
class ApprovalGranted(Head):
    """The last approval; the change was made in the same transaction."""


@event("approval.refused", version=1, aggregate=APPROVAL, readers={})
class ApprovalRefused(Head):
    """One voice against it."""


@event("approval.withdrawn", version=1, aggregate=APPROVAL, readers={})
class ApprovalWithdrawn(Head):
    """Its maker takes it back."""


@event("approval.expired", version=1, aggregate=APPROVAL, readers={})
class ApprovalExpired(Head):
    """Nobody decided in time."""


@event("approval.staled", version=1, aggregate=APPROVAL, readers={})
class ApprovalStaled(Head):
    """Subject or base changed before the decision."""


@event("approval.escalated", version=1, aggregate=APPROVAL, readers={})
class ApprovalEscalated(Head):
    """It now needs a decider of another role."""
