"""The history of a row: its changes from the audit trail, and its events."""

from collections.abc import Callable, Container, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.http import HttpRequest
from django.utils.text import capfirst

from erp import events, services
from erp.admin.display import Table, shown
from erp.outbox.models import EventOutbox
from erp.trail.models import Entry

MOST = 100
_UNSHOWN: Final = ("version", "updated_at", "created_at")  # they say nothing that the line doesn't
_CHANNELS: Final = {
    "api": "API",
    "admin": "Staff portal",
    "command": "Command",
    "task": "Task",
    "sql": "Database",
}
_OPERATIONS: Final = {"INSERT": "Added", "UPDATE": "Changed", "DELETE": "Deleted"}


class Change(NamedTuple):
    """A change of a row: when, by whom and how, and the fields with their values before and after."""

    at: datetime
    operation: str
    actor: str
    on_behalf_of: str
    channel: str
    action: str
    capability: str
    reason: str
    request: str
    fields: list[tuple[str, str, str]]


def changes(row: models.Model, names: Container[str], *, by: str = "", field: str = "") -> list[Change]:
    """The newest ``MOST`` changes of a row, newest first; of one person, or of one field.

    ``names`` are the fields that the row's page shows: others stay out of its history, too.
    """
    entries = Entry.objects.of(row).order_by("-position")
    if by:
        entries = entries.filter(actor_id=_uuid(by))
    if field:
        entries = entries.filter(Q(before__has_key=field) | Q(after__has_key=field))
    found = list(entries[:MOST])
    ids: set[UUID] = {entry.actor_id for entry in found if entry.actor_id is not None}
    ids |= {entry.on_behalf_of for entry in found if entry.on_behalf_of is not None}
    people = get_user_model()._default_manager.in_bulk(ids)
    columns = shown_columns(row, names)
    related = _related(columns, found)
    return [
        Change(
            entry.recorded_at,
            _OPERATIONS.get(entry.operation, entry.operation),
            _name(people, entry.actor_id),
            _name(people, entry.on_behalf_of) if entry.on_behalf_of else "",
            _CHANNELS.get(entry.channel, entry.channel),
            service.label if (service := services.registry.get(entry.service)) else entry.service,
            entry.capability,
            entry.reason,
            entry.request_id,
            _fields(columns, entry, related),
        )
        for entry in found
    ]


# Filled by the modules: each function finds a table of what else belongs to the history of a row, as far as the person
# may see it.
further: list[Callable[[HttpRequest, models.Model], Table | None]] = []


def causes(row: models.Model) -> set[UUID]:
    """Ids of the jobs, events and idempotency records behind the newest changes of a row."""
    found = Entry.objects.of(row).order_by("-position").values_list("record_id", flat=True)[:MOST]
    return {_uuid(each) for each in found if each}


def as_of(row: models.Model, names: Container[str], at: datetime) -> list[tuple[str, str, str]] | None:
    """The fields of a row as they were at a time: label, value then, value now; None before the row existed.

    A time without seconds stands for the end of its minute.
    """
    until = at if at.second or at.microsecond else at + timedelta(minutes=1)
    then: dict[str, Any] = {}
    now: dict[str, Any] = {}
    entries = list(Entry.objects.of(row).order_by("position"))
    for entry in entries:
        now |= entry.after or {}
        if entry.recorded_at <= until:
            then |= entry.after or {}
    if not then:
        return None
    columns = shown_columns(row, names)
    related = _related(columns, entries)
    return [
        (
            capfirst(str(field.verbose_name)),
            _value(field, then.get(field.attname), related),
            _value(field, now.get(field.attname), related),
        )
        for field in columns
    ]


def shown_columns(row: models.Model, names: Container[str]) -> list[Any]:
    """Columns of the row that its page shows, without those that a history says anyway."""
    return [
        field
        for field in row._meta.concrete_fields
        if (field.name in names or field.attname in names)
        and field.attname not in _UNSHOWN
        and not field.primary_key
    ]


def filters_of(
    row: models.Model, names: Container[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The people and the fields by which the row's history can be filtered: value and words."""
    entries = Entry.objects.of(row)
    actors = entries.exclude(actor_id=None).order_by().values("actor_id").distinct()[:MOST]
    people = get_user_model()._default_manager.filter(pk__in=actors)
    columns = shown_columns(row, names)
    return (
        [(str(person.pk), str(person)) for person in people],
        [(field.attname, capfirst(str(field.verbose_name))) for field in columns],
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def _name(people: Mapping[Any, Any], pk: UUID | None) -> str:
    return str(people.get(pk, "System" if pk is None else pk))


def _fields(
    columns: list[Any], entry: Entry, related: Mapping[tuple[Any, str], str]
) -> list[tuple[str, str, str]]:
    before, after = entry.before or {}, entry.after or {}
    lines = []
    for field in columns:
        name = field.attname
        if name not in before and name not in after:
            continue
        old, new = (_value(field, side.get(name), related) for side in (before, after))
        lines.append((capfirst(str(field.verbose_name)), old, new))
    return lines


def _value(field: Any, value: Any, related: Mapping[tuple[Any, str], str]) -> str:
    if isinstance(value, dict) and value.get("masked") is True:
        return "•••"
    if field.is_relation and value is not None:
        return related.get((field.related_model, str(value)), str(value))
    try:
        return shown(field, field.to_python(value))
    except (ValidationError, ValueError, TypeError):  # an older value that the column no longer takes
        return str(value)


def _related(columns: list[Any], entries: Iterable[Entry]) -> dict[tuple[Any, str], str]:
    """Names of the rows that relations pointed to: one query per model."""
    wanted: dict[Any, set[str]] = {}
    for field in columns:
        if field.is_relation:
            values = {
                (side or {}).get(field.attname) for each in entries for side in (each.before, each.after)
            }
            wanted.setdefault(field.related_model, set()).update(
                str(v) for v in values if isinstance(v, str | int)
            )
    return {
        (target, str(row.pk)): str(row)
        for target, keys in wanted.items()
        if keys
        for row in target._default_manager.filter(pk__in=keys)
    }


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
            str(people.get(row.actor_id, "System" if row.actor_id is None else row.actor_id)),
            row.status,
            row.published_message_id,
            row.correlation_id,
            row.causation_id,
            row.pk,
        )
        for row in found
    ]
