"""What operators decided about events: the record that a later decision on the same row can't overwrite."""

from uuid import UUID

from erp.events import Event, event


class Resolved(Event):
    """The event that was stuck, and why it was decided so.

    ``by`` names the operator's account where a command acted; a person in the portal is the event's actor.
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
    """A failed event got its attempts anew."""


@event("outbox_event.skipped", version=1, aggregate=OUTBOX_EVENT, readers={})
class OutboxEventSkipped(Resolved):
    """A failed event was given up: a gap marker takes its place."""


class Settled(Event):
    """The dead letter, and why it was decided so. Facts of the event are None where it isn't one of ours."""

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
    """It goes to its consumer once more, under the same event id."""


@event("dead_letter.discarded", version=1, aggregate=DEAD_LETTER, readers={})
class DeadLetterDiscarded(Settled):
    """It was given up: its place in the stream counts as empty."""
