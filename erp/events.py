"""Versioned events: records of changes that other modules and partners receive (core §1).

An event is a frozen Pydantic model that carries ids and business facts, never personal data. It is registered
with a type, a version and its aggregate. Upcasters convert older versions when they are read.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar, Final, Literal, get_args, get_origin
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from erp.access import Capability
from erp.identifiers import Personal

MAX_BYTES = 1_000_000
# Names that are personal data whatever their type is.
PERSONAL_NAMES = re.compile(
    r"(^|_)(email|e_mail|phone|mobile|pan|gstin|aadhaar|full_name|account_number|ip|ip_address|password|secret)($|_)"
)

DecimalText = Annotated[
    Decimal,
    PlainSerializer(lambda value: format(value, "f"), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}),
]


class Quantity(BaseModel):
    """A quantity: decimal string with its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: DecimalText
    unit: str


class Money(BaseModel):
    """An amount or rate: decimal string with its currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    amount: DecimalText
    currency: str


class FieldChange(BaseModel):
    """A field's value before and after, in plain text as the API shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    old: Any
    new: Any


@dataclass(frozen=True)
class EventMeta:
    """The registered properties of an event type."""

    name: str
    version: int
    aggregate_type: str
    aggregate_field: str
    readers: "Mapping[str, frozenset[str]] | None" = None

    @property
    def key(self) -> str:
        """``availability.reserved.v1``: the name of its files and schema."""
        return f"{self.name}.v{self.version}"

    @property
    def schema_url(self) -> str:
        """``ce-dataschema``."""
        from django.conf import settings

        return f"{settings.EVENT_SCHEMA_BASE}/{self.key}.schema.json"


class Event(BaseModel):
    """Base class of all events. Frozen; unknown members are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    __event__: ClassVar[EventMeta]

    @property
    def aggregate_id(self) -> UUID:
        """Id of the aggregate whose stream the event belongs to."""
        value: UUID = getattr(self, self.__event__.aggregate_field)
        return value


Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
Veil = Callable[[UUID, UUID, UUID], UUID]  # who looks, at whom, in which row → a pseudonym


@dataclass(frozen=True)
class Rows:
    """Where the rows of an aggregate type are (``app_label.Model``), and the capability to read them."""

    models: tuple[str, ...]
    reads: Capability
    veil: Veil | None = None


@dataclass
class EventRegistry:
    """Every event type × version, the steps from one version to the next, and the rows that events are of."""

    types: dict[str, dict[int, type[Event]]] = field(default_factory=dict)
    upcasters: dict[tuple[str, int], Upcaster] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)

    def add(self, model: type[Event]) -> None:
        """Register an event model. Raises an error if the type and version are already registered."""
        meta = model.__event__
        versions = self.types.setdefault(meta.name, {})
        if meta.version in versions:
            raise ImproperlyConfigured(f"{meta.key} is declared twice")
        versions[meta.version] = model

    def __iter__(self) -> Iterator[type[Event]]:
        for name in sorted(self.types):
            for version in sorted(self.types[name]):
                yield self.types[name][version]

    def get(self, name: str, version: int) -> type[Event]:
        """Return the model of a type and version. Raises KeyError if it is unknown."""
        return self.types[name][version]

    def latest(self, name: str) -> type[Event]:
        """Return the newest version of a type. Raises KeyError if it is unknown."""
        return self.types[name][max(self.types[name])]

    def load(self, name: str, version: int, payload: dict[str, Any]) -> Event:
        """Convert a stored payload to the newest version through its upcasters.

        Unknown members are dropped: a newer release may have added them within the version.
        """
        newest = self.latest(name)
        for step in range(version, newest.__event__.version):
            payload = self.upcasters[name, step](dict(payload))
        return newest.model_validate(payload, extra="ignore")

    def seal(self) -> None:
        """Raise an error for a type with a missing upcaster."""
        for name, versions in self.types.items():
            for version in range(1, max(versions)):
                if (name, version) not in self.upcasters:
                    raise ImproperlyConfigured(f"{name}: no upcaster from version {version} to {version + 1}")
            if len({model.__event__.aggregate_type for model in versions.values()}) != 1:
                raise ImproperlyConfigured(f"{name}: all versions belong to one aggregate type")
        for model in self:
            meta = model.__event__
            if meta.readers and meta.aggregate_type not in self.rows:
                raise ImproperlyConfigured(
                    f"{meta.key} has readers, but rows_of does not declare where the rows of {meta.aggregate_type} are"
                )


registry = EventRegistry()


def event(
    name: str,
    *,
    version: int,
    aggregate: tuple[str, str],
    readers: Mapping[str, Collection[str]] | None = None,
) -> Callable[[type[Event]], type[Event]]:
    """Register an event model.

    ``name`` is ``aggregate.past_participle``; ``aggregate`` is its type and the field that holds its id;
    ``readers`` declares what partners may read of it, see below. Raises ImproperlyConfigured at import for personal
    data, a missing aggregate field, an unknown reader or member, or a second declaration.
    """
    if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name) or version < 1:
        raise ImproperlyConfigured(
            f"{name} v{version}: names are aggregate.past_participle, versions start at 1"
        )

    def register(model: type[Event]) -> type[Event]:
        aggregate_field = model.model_fields.get(aggregate[1])
        if aggregate_field is None or aggregate_field.annotation is not UUID:
            raise ImproperlyConfigured(f"{name}: {aggregate[1]} must be a UUID field, the aggregate's id")
        for field_name, info in model.model_fields.items():
            if PERSONAL_NAMES.search(field_name) or any(map(_personal, (info.annotation, *info.metadata))):
                raise ImproperlyConfigured(f"{name}: {field_name} is personal data, which no event carries")
        members_by_reader = None if readers is None else _readers(name, model, aggregate[1], readers)
        model.__event__ = EventMeta(name, version, *aggregate, members_by_reader)
        registry.add(model)
        return model

    return register


def _personal(annotation: Any) -> bool:
    if isinstance(annotation, Personal):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(
            PERSONAL_NAMES.search(name) or any(map(_personal, (info.annotation, *info.metadata)))
            for name, info in annotation.model_fields.items()
        )
    return get_origin(annotation) is not None and any(map(_personal, get_args(annotation)))


def upcaster(name: str, *, from_version: int) -> Callable[[Upcaster], Upcaster]:
    """Register the conversion from one version of a payload to the next: a pure, total function."""

    def register(function: Upcaster) -> Upcaster:
        if (name, from_version) in registry.upcasters:
            raise ImproperlyConfigured(f"{name}: two upcasters from version {from_version}")
        registry.upcasters[name, from_version] = function
        return function

    return register


#
# A partner receives an event (feed, webhooks) only while it sees the event's row, and masked by the event's
# ``readers``: a reader is a member of the payload with the id of a partner or a user, or EVERYONE who sees the
# row; it is listed with the members that it may read, ALL or by name. All other members are null. A caller who
# is not a reader does not receive the event, and an event without readers stays in the company. Staff read
# every event of a row that they see.
#
# A reader may read no more than GET shows it. EVERYONE includes those who could not see the row at the time of
# the event, so its members must have been public at that time: no members of events about drafts.

EVERYONE: Final = "*"
ALL: Final = ("*",)
ANYBODY: Final = UUID(int=0)  # means EVERYONE among the ids of readers


def rows_of(
    aggregate_type: str, *, model: str | tuple[str, ...], reads: Capability, veil: Veil | None = None
) -> None:
    """Declare the models of an aggregate type (``app_label.Model``) and the capability to read their rows.

    Several models if the type covers similar tables, such as lists of one shape. ``veil`` gives the pseudonym under
    which one reader sees another in events of the row; without one that id is null.

    Events of aggregates without readable rows never leave the company.
    """
    if aggregate_type in registry.rows:
        raise ImproperlyConfigured(f"the rows of {aggregate_type} are declared twice")
    registry.rows[aggregate_type] = Rows((model,) if isinstance(model, str) else model, reads, veil)


def readers_of(name: str, version: int, payload: Mapping[str, Any]) -> frozenset[UUID]:
    """Return the ids of the partners and users who may read an event; ANYBODY for all who see its row."""
    declared = _declared(name, version)
    ids = {ANYBODY if reader == EVERYONE else _id(payload.get(reader)) for reader in declared}
    return frozenset(found for found in ids if found is not None)


def seen_by(
    ids: Collection[UUID],
    name: str,
    version: int,
    payload: Mapping[str, Any],
    *,
    viewer: UUID | None = None,
) -> dict[str, Any] | None:
    """Return the payload masked for a reader with one of these ids; None if they may not read the event.

    ``viewer`` is the reader's partner, which sees other readers under pseudonyms.
    """
    members: set[str] = set()
    is_reader = False
    for reader, named in _declared(name, version).items():
        if reader == EVERYONE or _id(payload.get(reader)) in ids:
            is_reader = True
            members |= named
    if not is_reader:
        return None
    seen = {member: value if member in members else None for member, value in payload.items()}
    return seen if viewer is None else seen | _veiled(viewer, name, version, payload, seen)


def _veiled(
    viewer: UUID, name: str, version: int, payload: Mapping[str, Any], seen: Mapping[str, Any]
) -> dict[str, str]:
    """Pseudonyms of the readers whose ids are hidden from the viewer."""
    versions = registry.types[name]
    meta = (versions.get(version) or versions[max(versions)]).__event__
    veil, row = registry.rows[meta.aggregate_type].veil, _id(payload.get(meta.aggregate_field))
    if veil is None or row is None:
        return {}
    hidden = {
        reader: _id(payload.get(reader)) for reader in meta.readers or () if seen.get(reader, "") is None
    }
    return {reader: str(veil(viewer, other, row)) for reader, other in hidden.items() if other is not None}


def _declared(name: str, version: int) -> Mapping[str, frozenset[str]]:
    versions = registry.types.get(name)
    if not versions:
        return {}
    return (versions.get(version) or versions[max(versions)]).__event__.readers or {}


def _id(value: Any) -> UUID | None:
    return None if value is None else UUID(str(value))


def _readers(
    name: str, model: type[Event], aggregate_field: str, readers: Mapping[str, Collection[str]]
) -> dict[str, frozenset[str]]:
    members_by_reader = {}
    for reader, named in readers.items():
        if isinstance(named, str):
            raise ImproperlyConfigured(f"{name}: what {reader} learns is a list of members")
        info = model.model_fields.get(reader)
        if reader != EVERYONE and (info is None or info.annotation not in (UUID, UUID | None)):
            raise ImproperlyConfigured(f"{name}: {reader} is not the id of a partner or user")
        members = frozenset(model.model_fields if tuple(named) == ALL else named)
        if unknown := members - model.model_fields.keys():
            raise ImproperlyConfigured(f"{name} has no {', '.join(sorted(unknown))} to show")
        members_by_reader[reader] = members | {aggregate_field} | ({reader} & model.model_fields.keys())
    return members_by_reader


_SAMPLE_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def schema(model: type[Event]) -> dict[str, Any]:
    """JSON Schema (2020-12) of an event's payload, as it goes out.

    Members with a default are optional. Readers must accept unknown members, because a version may gain one.
    """
    meta = model.__event__
    document = model.model_json_schema(mode="serialization")
    # A writer always sends every member, so optionality is what the reading side asks for.
    asked = model.model_json_schema(mode="validation")
    parts = [
        (document, asked),
        *((part, asked["$defs"][name]) for name, part in document.get("$defs", {}).items()),
    ]
    for sent, read in parts:
        for member in ("required", "additionalProperties"):
            sent.pop(member, None)
        if "required" in read:
            sent["required"] = read["required"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": meta.schema_url,
        "x-event-type": meta.name,
        "x-event-version": meta.version,
        "x-aggregate-type": meta.aggregate_type,
        **document,
    }


def sample(model: type[Event]) -> dict[str, Any]:
    """Return a sample payload, the same on every run: one plausible value per member.

    A member with a constraint (a pattern, a range) declares its own: ``Field(examples=[…])``. Raises
    ValueError if no valid value can be generated.
    """
    return model.model_validate(_example(model)).model_dump(mode="json")


_PLAIN: dict[Any, Any] = {
    UUID: _SAMPLE_ID,
    Decimal: Decimal("100.000"),
    bool: True,
    int: 1,
    datetime: "2026-01-12T10:00:00Z",
    date: "2026-01-12",
    time: "10:00:00",
}
_TEXTS = {"unit": "BALE", "currency": "INR", "code": "COTTON"}


def _example(annotation: Any, name: str = "") -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _example(arguments[0], name)
    if origin is Literal:
        return arguments[0]
    if origin in (list, tuple, set, frozenset):
        return [_example(arguments[0], name)]
    if origin is dict:
        return {"key": _example(arguments[1], name)}
    if arguments:
        return _example(next(part for part in arguments if part is not type(None)), name)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {
            member: info.examples[0] if info.examples else _example(info.annotation, member)
            for member, info in annotation.model_fields.items()
        }
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return next(iter(annotation))
    if annotation in (str, Any):
        return _TEXTS.get(name, name or "text")
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    raise ValueError(f"{name}: no sample can be generated for {annotation}; give the field examples")
