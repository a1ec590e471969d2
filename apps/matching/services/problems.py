"""What services of matching refuse."""

from erp.errors import Conflict, RuleBroken


class SubjectNotLive(Conflict):
    """This listing isn't live, so it isn't matched."""


class BatchRunning(Conflict):
    """This commodity is being matched already."""


class NotOpen(Conflict):
    """The match has ended or was decided."""


class Expired(Conflict):
    """The match has expired."""


class AlreadyDecided(Conflict):
    """This side has decided already."""


class Stale(Conflict):
    """The facts behind the match have changed. It is being computed again."""


class Bound(Conflict):
    """Both sides approved the match, so the seller can no longer reject it."""


class NegotiationOpen(Conflict):
    """The match is being negotiated. End the negotiation first."""


class ReservationMismatch(Conflict):
    """The reservation isn't that of the match."""


class CounterpartNotReady(Conflict):
    """The other side can't make this deal at present."""


class RulesPending(Conflict):
    """A proposal for these rules waits for approval."""

    constraints = ("rule_set_one_proposed",)


class ThresholdTooLow(RuleBroken):
    """The least score can only be raised above that of the rules."""


class QuantityOutOfRange(RuleBroken):
    """The quantity is outside what the match offers."""


class SideRequired(RuleBroken):
    """Choose for which side you decide, and note why."""


class SideNotAllowed(RuleBroken):
    """Partners decide for their own side only."""


class NoteRequired(RuleBroken):
    """Explain the reason in a note."""


class WeightsNotWhole(RuleBroken):
    """The weights must add up to 10,000 basis points."""


class ScheduleMismatch(RuleBroken):
    """The schedule isn't published for this commodity in that version."""
