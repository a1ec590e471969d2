"""Dead letters: what the consumer refused five times, and copies of what Pub/Sub refused to take (core §3).

They are read under lease: whoever looks holds them until it is done, and what isn't settled goes back.
Parked events whose attempts are used up wait in the database instead; they count as dead letters too.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog
from django.conf import settings
from django.db import connection

from erp import access
from erp.outbox import endpoint, wire
from erp.outbox.flush import bucket_of
from erp.outbox.operations import Selection
from erp.outbox.publisher import BlockingPublisher
from erp.outbox.pull import Delivery, Puller
from erp.outbox.subscriber import Subscription, max_attempts

log = structlog.get_logger(__name__)

MANAGE: Final = "outbox.manage_dead_letters"
FIRST_SECONDS: Final = 3.0  # to wait for the first message, and for each further one
NEXT_SECONDS: Final = 1.0

_PARKED: Final = """
SELECT attributes::text, data::text, attempts, last_error FROM event_parked
WHERE subscription = %s AND attempts >= %s ORDER BY parked_at LIMIT %s
"""
_REVIVE: Final = """
UPDATE event_parked SET attempts = 0, next_attempt_at = clock_timestamp()
WHERE subscription = %s AND aggregate_type = %s AND aggregate_id = %s AND sequence = %s
"""


class PoisonCopy(Exception):
    """The relay's own copy: its event is still in the outbox and blocks its stream there."""


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter: the event (None when the message isn't one of ours), why and where it died."""

    event: wire.Envelope | None
    source: str  # subscription that gave up; "" for the relay's copies
    reason: str
    attempts: int
    delivery: Delivery | None  # None for a parked event

    @property
    def kind(self) -> Literal["refused", "poison", "parked", "malformed"]:
        """Refused by a consumer, by Pub/Sub itself, parked and refused, or not an event at all."""
        if self.event is None:
            return "malformed"
        if self.delivery is None:
            return "parked"
        return "poison" if wire.REASON in self.delivery.attributes else "refused"

    @property
    def key(self) -> str:
        """What names it in commands: the event's id, or else the message's."""
        if self.event is not None:
            return str(self.event.event_id)
        assert self.delivery is not None
        return self.delivery.message_id

    def check_redrivable(self) -> wire.Envelope:
        """The event, if it can be sent again. Raises PoisonCopy or wire.Malformed."""
        if self.event is None:
            raise wire.Malformed(f"{self.key} is not an event: it can only be discarded")
        if self.kind == "poison":
            raise PoisonCopy(
                f"Pub/Sub refused event {self.key}, which still blocks its stream in the outbox: "
                f"use `outbox retry {self.key}`"
            )
        return self.event

    def as_dict(self, *, payload: bool = False) -> dict[str, Any]:
        """For people and ``--json``; the payload only when asked for."""
        told: dict[str, Any] = {
            "id": self.key,
            "kind": self.kind,
            "source": self.source,
            "attempts": self.attempts,
            "reason": self.reason,
        }
        if self.event is not None:
            told |= {
                "type": self.event.event_type,
                "version": self.event.event_version,
                "aggregate": {
                    "type": self.event.stream.aggregate_type,
                    "id": str(self.event.stream.aggregate_id),
                },
                "sequence": self.event.sequence,
                "occurred_at": self.event.occurred_at.isoformat(),
            }
        if payload:
            told["data"] = self.event.data if self.event else self.delivery.data.decode(errors="replace")  # type: ignore[union-attr]
            told["attributes"] = self.delivery.attributes if self.delivery else {}
        return told


class Letters:
    """The dead letters held right now, and what can be done about each."""

    def __init__(self, puller: Puller, letters: list[DeadLetter]) -> None:
        self._puller = puller
        self.letters = letters

    def select(self, selection: Selection, keys: tuple[str, ...] = ()) -> list[DeadLetter]:
        """Those that are meant: by key, else by the selection; malformed ones only by key."""
        if keys:
            return [letter for letter in self.letters if letter.key in keys]
        return [
            letter for letter in self.letters if letter.event is not None and selection.takes(letter.event)
        ]

    def redrive(self, letter: DeadLetter, *, actor: Any, by: str, reason: str) -> None:
        """Send it again to where it died, same event id; the consumer applies it once, later ones after it.

        Raises PoisonCopy for the relay's copies, wire.Malformed for what isn't an event, and the publisher's
        exceptions; then it stays a dead letter.
        """
        access.authorize(actor, MANAGE)
        event = letter.check_redrivable()
        if letter.delivery is None:
            with connection.cursor() as cursor:
                cursor.execute(_REVIVE, [letter.source, *event.stream, event.sequence])
        else:
            self._publish(event.stream, letter.delivery)
            self._puller.acknowledge([letter.delivery.ack_id])
        _note("redriven", letter, by, reason)

    def discard(self, letter: DeadLetter, *, actor: Any, by: str, reason: str) -> None:
        """Give it up: its place in the stream counts as empty, and what was parked behind it is applied."""
        access.authorize(actor, MANAGE)
        if letter.event is not None and letter.source:
            Subscription(letter.source).receive(letter.event.gap())
        if letter.delivery is not None:
            self._puller.acknowledge([letter.delivery.ack_id])
        _note("discarded", letter, by, reason)

    @staticmethod
    def _publish(stream: wire.Stream, delivery: Delivery) -> None:
        attributes = {
            name: value
            for name, value in delivery.attributes.items()
            if not name.startswith(wire.DEAD_LETTER_PREFIX)
        }
        message = wire.Message(
            data=delivery.data,
            attributes=attributes,
            ordering_key=delivery.ordering_key or wire.ordering_key(stream, bucket_of(*stream)),
        )
        with BlockingPublisher() as publisher:
            publisher.publish(endpoint.topic_path(settings.PUBSUB_TOPIC), [message])


@contextlib.contextmanager
def held(limit: int = 1000) -> Iterator[Letters]:
    """Hold up to ``limit`` dead letters while the block runs; what it doesn't settle goes back at its end.

    Another one who looks at the same time sees the rest. Raises topology.Unreachable when Pub/Sub doesn't
    answer.
    """
    from erp.outbox.topology import Unreachable

    with Puller(endpoint.subscription_path(settings.PUBSUB_DLQ_SUBSCRIPTION), outstanding=limit) as puller:
        deliveries: dict[str, Delivery] = {}
        give_up = time.monotonic() + FIRST_SECONDS
        while len(deliveries) < limit:
            delivery = puller.next(max(0.0, give_up - time.monotonic()))
            if delivery is None:
                break
            deliveries[delivery.ack_id] = delivery
            give_up = time.monotonic() + NEXT_SECONDS
        if not deliveries and puller.failure:
            raise Unreachable(puller.failure)
        puller.stop()  # now, so that what goes back at the end doesn't come to this stream once more
        try:
            yield Letters(puller, [*map(_letter, deliveries.values()), *_parked(limit)])
        finally:
            puller.give_back_all()


def _letter(delivery: Delivery) -> DeadLetter:
    attributes = delivery.attributes
    event: wire.Envelope | None
    try:
        event, fault = wire.decode(attributes, delivery.data), ""
    except wire.Malformed as error:
        event, fault = None, str(error)
    attempts = attributes.get(wire.DELIVERIES, "")
    return DeadLetter(
        event=event,
        source=attributes.get(wire.SOURCE_SUBSCRIPTION, "").rpartition("/")[2],
        reason=attributes.get(wire.REASON) or fault or "refused by the consumer: see its log",
        attempts=int(attempts) if attempts.isdecimal() else 0,
        delivery=delivery,
    )


def _parked(limit: int) -> Iterator[DeadLetter]:
    with connection.cursor() as cursor:
        cursor.execute(_PARKED, [settings.PUBSUB_SUBSCRIPTION, max_attempts(), limit])
        for attributes, data, attempts, last_error in cursor.fetchall():
            event = wire.decode(json.loads(attributes), data)
            yield DeadLetter(event, settings.PUBSUB_SUBSCRIPTION, last_error, attempts, None)


def _note(what: str, letter: DeadLetter, by: str, reason: str) -> None:
    log.warning(
        f"dead_letter.{what}",
        event_id=letter.key,
        kind=letter.kind,
        source=letter.source,
        by=by,
        reason=reason,
    )
