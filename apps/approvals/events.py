"""Events of approval requests, and of rows that are published by approval.

Events of a request carry kind, subject, version and approvals so far; ``by`` is the user who acted, null for the
system. Everything else is read from the request itself.
"""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from django.apps import apps
from pydantic import create_model

from apps.approvals import capabilities
from erp.access import Capability
from erp.errors import snake
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


@event("approval.questioned", version=1, aggregate=APPROVAL, readers={})
class ApprovalQuestioned(ApprovalEvent):
    """An approver asked the requester a question."""


@event("approval.answered", version=1, aggregate=APPROVAL, readers={})
class ApprovalAnswered(ApprovalEvent):
    """The requester answered the open question."""


@event("approval.erased", version=1, aggregate=APPROVAL, readers={})
class ApprovalErased(ApprovalEvent):
    """Names and reasons of a request were erased with its subject."""


class DraftEvents(NamedTuple):
    """The events of one model that is published by approval."""

    drafted: type[Event]
    edited: type[Event]
    submitted: type[Event]
    returned: type[Event]
    published: type[Event]
    withdrawn: type[Event]


def draft_events(
    model: str,
    *,
    reads: Capability,
    readers: Mapping[str, Collection[str]],
    published: Mapping[str, Any] | None = None,
    pinned: str = "agreed",
    **members: Any,
) -> DraftEvents:
    """Declare the events of a model that is published by approval, ``label.TaxRate``: ``tax_rate.drafted`` and so on.

    Each carries the row's id, ``members`` (name and type, read from the row), its version and dates; ``published``
    names what that event carries beside. ``reads`` is the capability of reading the rows. ``readers`` are those of
    publication and withdrawal (see ``erp.events``): until then a row is the staff's alone. ``pinned`` says what
    others did by a row before it was withdrawn.
    """
    label, name = model.split(".")
    noun, module = snake(name), f"{apps.get_app_config(label).name}.events"
    word = noun.rsplit("_")[-1]
    docs = {
        "drafted": f"Somebody wrote a {word}.",
        "edited": "Somebody changed a draft.",
        "submitted": "A second person is asked.",
        "returned": "It is a draft again: refused, taken back, not decided in time, or changed meanwhile.",
        "published": "It holds from its first day on; the open one before it ends the day before.",
        "withdrawn": f"It isn't chosen any more; what was {pinned} by it stays.",
    }
    rows_of(noun, model=model, reads=reads)

    def declare(verb: str) -> type[Event]:
        types: dict[str, Any] = {f"{noun}_id": UUID, **members, "version": int}
        types |= {"valid_from": date, "valid_to": date | None}
        if verb == "published":
            types |= published or {}
        fields: Any = {field: (annotation, ...) for field, annotation in types.items()}
        made = create_model(
            f"{name}{verb.title()}", __base__=Event, __module__=module, __doc__=docs[verb], **fields
        )
        is_public = verb in ("published", "withdrawn")
        return event(
            f"{noun}.{verb}",
            version=1,
            aggregate=(noun, f"{noun}_id"),
            readers=readers if is_public else {},
        )(made)

    return DraftEvents(**{verb: declare(verb) for verb in docs})
