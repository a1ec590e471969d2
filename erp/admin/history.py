"""The history of a row, read from its events."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth import get_user_model

from erp import events
from erp.outbox.models import EventOutbox

MOST = 100


class HistoryLine(NamedTuple):
    """One event of a row: time, type, actor and publication."""

    at: datetime
    event: str
    sequence: int
    actor: str
    status: str
    message: str
    request: str
    cause: str
    id: UUID


def of(pk: Any) -> list[HistoryLine]:
    """The newest ``MOST`` events of the row, oldest first, within the outbox's retention time."""
    if not isinstance(pk, UUID):
        return []
    return lines(about(pk))


def about(pk: UUID) -> Any:
    """Events of the row with that id; the types are named too, since the index begins with them."""
    kinds = {model.__event__.aggregate_type for model in events.registry}
    return EventOutbox.objects.filter(aggregate_type__in=sorted(kinds), aggregate_id=pk)


def caused_by(record: Any) -> list[HistoryLine]:
    """The events that the request behind an idempotency record caused."""
    return lines(EventOutbox.objects.filter(causation_id=str(record)))


def person(name: str) -> str:
    """Return the name for a column with a person's id; an operator's account is returned unchanged."""
    try:
        found = get_user_model()._default_manager.filter(pk=UUID(name)).first()
    except ValueError:
        found = None
    return str(found or name or "–")


def lines(rows: Any) -> list[HistoryLine]:
    """Events as lines, with the actors' names read in one query."""
    found = list(rows.order_by("-position")[:MOST])[::-1]
    people = get_user_model()._default_manager.in_bulk({row.actor_id for row in found if row.actor_id})
    return [
        HistoryLine(
            row.created_at,
            f"{row.event_type} v{row.event_version}",
            row.sequence,
            str(people.get(row.actor_id, "SYSTEM" if row.actor_id is None else row.actor_id)),
            row.status,
            row.published_message_id,
            row.correlation_id,
            row.causation_id,
            row.pk,
        )
        for row in found
    ]
