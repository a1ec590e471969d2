"""Events on the wire: CloudEvents 1.0 in Pub/Sub's binary binding (core §1)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID, uuid5

from django.conf import settings
from django.utils.dateparse import parse_datetime
from google.pubsub_v1.types import PubsubMessage

from erp.events import EventMeta

GAP: Final = "erp.gap"
# Set on the relay's own copies in the dead-letter topic: why it gave up.
REASON: Final = "deadletterreason"
REPLAY: Final = "replay"
# What tells a copy's event when nothing else of it can be sent.
ESSENTIAL: Final = frozenset(
    {"ce-id", "ce-type", "ce-time", "eventversion", "aggregatetype", "aggregateid", "sequence", REASON}
)
# Pub/Sub's own attributes on messages that it dead-lettered.
DEAD_LETTER_PREFIX: Final = "CloudPubSubDeadLetter"
SOURCE_SUBSCRIPTION: Final = "CloudPubSubDeadLetterSourceSubscription"
DELIVERIES: Final = "CloudPubSubDeadLetterSourceDeliveryCount"
# What Pub/Sub takes: https://cloud.google.com/pubsub/quotas#resource_limits
MAX_MESSAGE_BYTES: Final = 10_000_000

Message: Final = PubsubMessage.pb()


class MalformedMessage(ValueError):
    """The message is not an event of this product."""


class Stream(NamedTuple):
    """The aggregate that an event belongs to."""

    aggregate_type: str
    aggregate_id: UUID

    @property
    def key(self) -> str:
        """The stream's ordering key."""
        return f"{self.aggregate_type}:{self.aggregate_id}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event in transport: its type, its position in the stream, and its payload as JSON text."""

    event_id: UUID
    event_type: str
    event_version: int
    stream: Stream
    sequence: int
    occurred_at: datetime
    data: str
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""
    replay: bool = False

    @property
    def is_gap(self) -> bool:
        """Return whether it is a gap marker."""
        return self.event_type == GAP

    def payload(self) -> dict[str, Any]:
        """The payload, read. Raises Malformed when it isn't a JSON object."""
        try:
            payload = json.loads(self.data)
        except ValueError:
            raise MalformedMessage("the data is not JSON") from None
        if not isinstance(payload, dict):
            raise MalformedMessage("the data is not a JSON object")
        return payload

    def gap(self) -> "Envelope":
        """Return the gap marker that replaces this event: same sequence, an id derived from its id."""
        return Envelope(
            event_id=uuid5(self.event_id, "gap"),
            event_type=GAP,
            event_version=1,
            stream=self.stream,
            sequence=self.sequence,
            occurred_at=self.occurred_at,
            data="{}",
            correlation_id=self.correlation_id,
            causation_id=str(self.event_id),
            traceparent=self.traceparent,
            replay=self.replay,
        )


class Stored(Protocol):
    """The columns of an outbox row, as read by the relay and by Django."""

    @property
    def event_type(self) -> str: ...
    @property
    def event_version(self) -> int: ...
    @property
    def aggregate_type(self) -> str: ...
    @property
    def aggregate_id(self) -> UUID: ...
    @property
    def sequence(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def causation_id(self) -> str: ...
    @property
    def traceparent(self) -> str: ...
    @property
    def resolution(self) -> str | None: ...


def envelope(row: Stored, event_id: UUID, data: str, *, replay: bool = False) -> Envelope:
    """Return the message for a row with this id and payload: the event, or a gap marker if it was skipped."""
    event = Envelope(
        event_id=event_id,
        event_type=row.event_type,
        event_version=row.event_version,
        stream=Stream(row.aggregate_type, row.aggregate_id),
        sequence=row.sequence,
        occurred_at=row.created_at,
        data=data,
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
        traceparent=row.traceparent,
        replay=replay,
    )
    return event.gap() if row.resolution == "skipped" else event


def ordering_key(stream: Stream, bucket: int) -> str:
    """The key under which events of the stream go out, by the configured mode."""
    return f"bucket:{bucket}" if settings.OUTBOX_ORDERING == "bucket" else stream.key


@cache
def _schema_url(event_type: str, version: int) -> str:
    return EventMeta(event_type, version, "", "").schema_url


def attributes(event: Envelope) -> dict[str, str]:
    """The message attributes of an event; empty values are left out, as CloudEvents has it."""
    aggregate_id = str(event.stream.aggregate_id)
    values = {
        "ce-specversion": "1.0",
        "ce-id": str(event.event_id),
        "ce-type": event.event_type,
        "ce-source": settings.EVENT_SOURCE,
        "ce-subject": f"{event.stream.aggregate_type}/{aggregate_id}",
        "ce-time": event.occurred_at.isoformat(),
        "ce-dataschema": "" if event.is_gap else _schema_url(event.event_type, event.event_version),
        "content-type": "application/json",
        "eventversion": str(event.event_version),
        "aggregatetype": event.stream.aggregate_type,
        "aggregateid": aggregate_id,
        "sequence": str(event.sequence),
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "traceparent": event.traceparent,
        REPLAY: "true" if event.replay else "",
    }
    return {name: value for name, value in values.items() if value}


def encode(event: Envelope, ordering_key: str) -> Any:
    """The Pub/Sub message of an event. Raises ValueError when it can't be one."""
    message = Message(data=event.data.encode(), attributes=attributes(event), ordering_key=ordering_key)
    if message.ByteSize() > MAX_MESSAGE_BYTES:
        raise ValueError(f"the message has {message.ByteSize()} bytes, Pub/Sub takes {MAX_MESSAGE_BYTES}")
    return message


def dead_letters(event: Envelope, reason: str) -> tuple[Any, Any]:
    """A dead-letter copy with the reason, and a bare one for when Pub/Sub refuses the first as well."""
    named = attributes(event) | {REASON: reason.encode()[:1024].decode(errors="ignore")}
    essential = {name: value[:200] for name, value in named.items() if name in ESSENTIAL}
    return Message(data=event.data.encode(), attributes=named), Message(data=b"{}", attributes=essential)


def decode(attributes: Mapping[str, str], data: str | bytes) -> Envelope:
    """Read a message. Raises Malformed if it is not an event of this product."""
    try:
        occurred_at = parse_datetime(attributes["ce-time"])
        if occurred_at is None or occurred_at.tzinfo is None:
            raise ValueError("ce-time")
        sequence, version = int(attributes["sequence"]), int(attributes["eventversion"])
        # What no column takes was never ours.
        if not (1 <= sequence < 2**63 and 1 <= version < 2**31):
            raise ValueError("sequence")
        if any("\x00" in value for value in attributes.values()):
            raise ValueError("NUL")
        return Envelope(
            event_id=UUID(attributes["ce-id"]),
            event_type=attributes["ce-type"],
            event_version=version,
            stream=Stream(attributes["aggregatetype"], UUID(attributes["aggregateid"])),
            sequence=sequence,
            occurred_at=occurred_at,
            data=data.decode() if isinstance(data, bytes) else data,
            correlation_id=attributes.get("correlationid", ""),
            causation_id=attributes.get("causationid", ""),
            traceparent=attributes.get("traceparent", ""),
            replay=attributes.get(REPLAY) == "true",
        )
    except KeyError as missing:
        raise MalformedMessage(f"not an event of this product: without {missing.args[0]}") from None
    except ValueError as error:
        raise MalformedMessage(f"not an event of this product: {error}") from None
