"""Events of operators' decisions: a record that a later decision on the same row cannot overwrite."""

from uuid import UUID

from erp.events import Event, event


class Resolved(Event):
    """The stuck event, and the reason of the decision.

    ``by`` names the operator's account if a command decided; a person in the portal is the event's actor.
    """

    outbox_event_id: UUID
    event_type: str
    event_version: int
    subject_type: str
    subject_id: UUID
    sequence: int
    reason: str
    by: str


OUTBOX_EVENT = ("outbox_event", "outbox_event_id")


@event("outbox_event.retried", version=1, aggregate=OUTBOX_EVENT, readers={})
class OutboxEventRetried(Resolved):
    """The attempts of a failed event were reset."""


@event("outbox_event.skipped", version=1, aggregate=OUTBOX_EVENT, readers={})
class OutboxEventSkipped(Resolved):
    """A failed event was skipped: a gap marker replaces it."""


class Settled(Event):
    """The dead letter, and the reason of the decision. Members of the event are None if the message is not an event."""

    dead_letter_id: UUID
    key: str
    kind: str
    subscription: str
    event_type: str
    subject_type: str
    subject_id: UUID | None
    sequence: int | None
    attempts: int
    reason: str
    by: str


DEAD_LETTER = ("dead_letter", "dead_letter_id")


@event("dead_letter.redriven", version=1, aggregate=DEAD_LETTER, readers={})
class DeadLetterRedriven(Settled):
    """A dead letter was sent to its consumer again, with the same event id."""


@event("dead_letter.discarded", version=1, aggregate=DEAD_LETTER, readers={})
class DeadLetterDiscarded(Settled):
    """A dead letter was discarded: its place in the stream is skipped."""
