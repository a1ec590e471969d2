"""Dead letters: events that a consumer refused five times, and copies of events that Pub/Sub refused (core §3).

They are read under lease: a reader locks them until it is done, and returns those it does not settle.
Parked events whose attempts are used up stay in the database; they count as dead letters too.

An operator decides through a service on the dead letter's row; the decision is committed before anything is sent.
Then it is executed outside of any transaction: publish, mark as executed, acknowledge. If the process dies in
between, the dead letter stays and the next process continues: it executes a pending decision, only acknowledges
an executed one, and the inbox drops an event that was sent twice.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from google.auth.exceptions import GoogleAuthError

from erp import clock
from erp.access import Actor
from erp.errors import Conflict
from erp.ids import uuid7
from erp.logs import mask_text
from erp.outbox import capabilities, endpoint, events, wire
from erp.outbox.flush import bucket_of
from erp.outbox.models import DeadLetter
from erp.outbox.operations import Selection, operator, reason_given
from erp.outbox.publisher import BlockingPublisher, NotPublished, Poison
from erp.outbox.pull import Delivery, Puller
from erp.outbox.subscriber import Subscription, max_attempts
from erp.outbox.topology import Unreachable
from erp.services import emit, service

log = structlog.get_logger(__name__)

FIRST_SECONDS: Final = 3.0  # to wait for the first message, and for each further one
NEXT_SECONDS: Final = 1.0
MOST: Final = 1000  # held at a time
NO_REASON: Final = "no consumer recorded a reason: see its log"

_PARKED: Final = """
SELECT attributes::text, data::text, attempts, last_error FROM event_parked
WHERE subscription = %s AND attempts >= %s ORDER BY parked_at LIMIT %s
"""
_REVIVE: Final = """
UPDATE event_parked SET attempts = 0, next_attempt_at = clock_timestamp()
WHERE subscription = %s AND aggregate_type = %s AND aggregate_id = %s AND sequence = %s
"""
# A decision applies until it is executed, and only to the dead letter on which it was executed; a later dead letter
# of the same event waits for a new decision. Only the consumer knows why it refused an event.
_SEEN: Final = """
INSERT INTO event_dead_letter AS d (
    id, subscription, key, kind, event_type, aggregate_type, aggregate_id, sequence, attempts, last_error,
    failed_at, seen_at, message_id, status, resolved_by, resolution_reason)
SELECT *, clock_timestamp(), clock_timestamp(), %(message)s, 'waiting', '', ''
FROM (VALUES (%(row)s::uuid, %(subscription)s, %(key)s, %(kind)s, %(event_type)s, %(type)s, %(id)s::uuid,
              %(sequence)s::bigint, %(attempts)s, %(reason)s)) seen
ON CONFLICT (subscription, key) DO UPDATE
SET (status, carried_out_at) = (
        SELECT CASE WHEN stands THEN d.status ELSE 'waiting' END, CASE WHEN stands THEN d.carried_out_at END
        FROM (SELECT d.status IN ('redriven', 'discarded')
                     AND (d.carried_out_at IS NULL
                          OR (d.message_id = EXCLUDED.message_id AND d.message_id <> '')) AS stands) decided),
    kind = EXCLUDED.kind, seen_at = EXCLUDED.seen_at, message_id = EXCLUDED.message_id,
    attempts = greatest(d.attempts, EXCLUDED.attempts),
    last_error = coalesce(nullif(EXCLUDED.last_error, ''), d.last_error)
"""


class NotWaiting(Conflict):
    """This dead letter is not waiting for a decision."""

    code = "outbox.not_waiting"


class NotRedrivable(Conflict):
    """This dead letter cannot be redriven."""

    code = "outbox.not_redrivable"


@service(
    requires=capabilities.MANAGE_DEAD_LETTERS,
    emits=[events.DeadLetterRedriven],
    raises=[NotWaiting, NotRedrivable],
)
def redrive(letter: DeadLetter, *, actor: Actor, reason: str, by: str = "") -> DeadLetter:
    """Redrive a dead letter to its consumer with the same event id; it is applied once, before later events.

    ``by`` names the operator if called by a command. Raises NotWaiting; NotRedrivable for the relay's copies and
    for messages that are not events; Invalid without a reason.
    """
    check_redrivable(letter)
    return _decide(letter, DeadLetter.Status.REDRIVEN, events.DeadLetterRedriven, actor, reason, by)


@service(requires=capabilities.MANAGE_DEAD_LETTERS, emits=[events.DeadLetterDiscarded], raises=[NotWaiting])
def discard(letter: DeadLetter, *, actor: Actor, reason: str, by: str = "") -> DeadLetter:
    """Discard a dead letter: its place in the stream is skipped, and the parked events after it are applied.

    ``by`` names the operator if called by a command. Raises NotWaiting, and Invalid without a reason.
    """
    return _decide(letter, DeadLetter.Status.DISCARDED, events.DeadLetterDiscarded, actor, reason, by)


def check_redrivable(letter: DeadLetter) -> None:
    """Raise NotRedrivable unless it is an event that a consumer refused."""
    if letter.kind == DeadLetter.Kind.MALFORMED:
        raise NotRedrivable(f"{letter.key} is not an event and can only be discarded")
    if letter.kind == DeadLetter.Kind.POISON:
        raise NotRedrivable(
            f"Pub/Sub refused event {letter.key}, which still blocks its stream in the outbox: "
            f"use `outbox retry {letter.key}`"
        )


def _decide(
    letter: DeadLetter,
    status: DeadLetter.Status,
    tells: type[events.Settled],
    actor: Actor,
    reason: str,
    by: str,
) -> DeadLetter:
    if letter.status != DeadLetter.Status.WAITING:
        raise NotWaiting(f"{letter.key} is {letter.status}.")
    letter.status, letter.carried_out_at = status, None
    letter.resolved_at = clock.now()
    letter.resolved_by = operator(actor, by)
    letter.resolution_reason = reason_given(reason)
    letter.save(update_fields=["status", "carried_out_at", "resolved_at", "resolved_by", "resolution_reason"])
    emit(
        tells(
            dead_letter_id=letter.pk,
            key=letter.key,
            kind=letter.kind,
            subscription=letter.subscription,
            event_type=letter.event_type,
            subject_type=letter.aggregate_type,
            subject_id=letter.aggregate_id,
            sequence=letter.sequence,
            attempts=letter.attempts,
            reason=letter.resolution_reason,
            by=by,
        )
    )
    return letter


def undone() -> bool:
    """Return whether a decision waits for its execution."""
    return DeadLetter.objects.filter(status__in=["redriven", "discarded"], carried_out_at=None).exists()


@dataclass
class PulledLetter:
    """A pulled dead letter: its row, the event (None if it is not one of this product) and the message."""

    row: DeadLetter
    event: wire.Envelope | None
    delivery: Delivery | None  # None for a parked event

    @property
    def key(self) -> str:
        """Return its key in commands: the event's id, or else the message's."""
        return self.row.key

    def as_dict(self, *, payload: bool = False) -> dict[str, Any]:
        """For people and ``--json``; the payload only when asked for."""
        document: dict[str, Any] = {
            "id": self.key,
            "kind": self.row.kind,
            "source": self.row.subscription,
            "attempts": self.row.attempts,
            "reason": self.row.last_error or NO_REASON,
            "message_id": self.row.message_id,
        }
        if self.event is not None:
            document |= {
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
            document["data"] = self.event.data if self.event else self.delivery.data.decode(errors="replace")  # type: ignore[union-attr]
            document["attributes"] = self.delivery.attributes if self.delivery else {}
        return document


class Letters:
    """The dead letters that are pulled now, and the operations on them."""

    def __init__(self, puller: Puller, letters: list[PulledLetter]) -> None:
        self._puller = puller
        self.letters = letters

    def select(self, selection: Selection, keys: tuple[str, ...] = ()) -> list[PulledLetter]:
        """Return the selected letters: by key, else by the selection; malformed ones only by key."""
        if keys:
            return [letter for letter in self.letters if letter.key in keys]
        return [
            letter for letter in self.letters if letter.event is not None and selection.takes(letter.event)
        ]

    def redrive(self, letter: PulledLetter, *, actor: Actor, reason: str, by: str = "") -> None:
        """Decide and execute: as the service ``redrive`` and ``carry_out``."""
        if letter.row.status != DeadLetter.Status.REDRIVEN:  # else it was decided, and somebody died over it
            letter.row = redrive(letter.row, actor=actor, reason=reason, by=by)
        self.carry_out(letter)

    def discard(self, letter: PulledLetter, *, actor: Actor, reason: str, by: str = "") -> None:
        """Decide and execute: as the service ``discard`` and ``carry_out``."""
        if letter.row.status != DeadLetter.Status.DISCARDED:
            letter.row = discard(letter.row, actor=actor, reason=reason, by=by)
        self.carry_out(letter)

    def carry_out_decisions(self) -> int:
        """Execute the decisions on the pulled letters; return how many were settled.

        One that Pub/Sub refuses waits for another decision. Raises topology.Unreachable.
        """
        left = 0
        for letter in list(self.letters):
            if letter.row.status in (DeadLetter.Status.REDRIVEN, DeadLetter.Status.DISCARDED):
                with contextlib.suppress(Poison):
                    self.carry_out(letter)
                    left += 1
        return left

    def carry_out(self, letter: PulledLetter) -> None:
        """Execute the decision on a letter, outside of any transaction.

        Raises topology.Unreachable, then the decision stands, and publisher.Poison, then the letter waits for
        another one.
        """
        row, event = letter.row, letter.event
        if row.carried_out_at is None:
            try:
                self._do(letter)
            except Poison as error:
                DeadLetter.objects.filter(pk=row.pk).update(
                    status=DeadLetter.Status.WAITING, last_error=f"sent again, Pub/Sub refused it: {error}"
                )
                raise
            row.carried_out_at = clock.now()
            DeadLetter.objects.filter(pk=row.pk).update(carried_out_at=row.carried_out_at)
            log.warning(
                f"dead_letter.{row.status}",
                event_id=row.key,
                event_type=event.event_type if event else "",
                kind=row.kind,
                source=row.subscription,
                by=row.resolved_by,
                reason=row.resolution_reason,
            )
        if letter.delivery is not None:
            self._puller.acknowledge([letter.delivery.ack_id])
        self.letters = [other for other in self.letters if other is not letter]

    @staticmethod
    def _do(letter: PulledLetter) -> None:
        row, event = letter.row, letter.event
        if row.status == DeadLetter.Status.DISCARDED:
            if event is not None and row.subscription:
                Subscription(row.subscription).receive(event.gap())
        elif event is not None and letter.delivery is not None:
            _publish(event.stream, letter.delivery)
        elif event is not None:
            with connection.cursor() as cursor:
                cursor.execute(_REVIVE, [row.subscription, *event.stream, event.sequence])


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
    try:
        with BlockingPublisher() as publisher:
            publisher.publish(endpoint.topic_path(settings.PUBSUB_TOPIC), [message])
    except NotPublished as error:
        raise Unreachable(str(error)) from None


@contextlib.contextmanager
def held(limit: int = MOST, *, first: float = FIRST_SECONDS, more: float = NEXT_SECONDS) -> Iterator[Letters]:
    """Pull up to ``limit`` dead letters for the block; return those it does not settle.

    ``first`` and ``more`` are the seconds to wait for the first message and for each further one. The rows of the
    dead letters are updated. A concurrent reader gets the others. Raises topology.Unreachable
    when Pub/Sub doesn't answer.
    """
    try:
        pulling = Puller(endpoint.subscription_path(settings.PUBSUB_DLQ_SUBSCRIPTION), outstanding=limit)
    except GoogleAuthError as error:
        raise Unreachable(type(error).__name__) from None
    with pulling as puller:
        deliveries: dict[str, Delivery] = {}
        give_up = time.monotonic() + first
        while len(deliveries) < limit:
            delivery = puller.next(max(0.0, give_up - time.monotonic()))
            if delivery is None:
                break
            deliveries[delivery.ack_id] = delivery
            give_up = time.monotonic() + more
        if not deliveries and puller.failure:
            raise Unreachable(puller.failure)
        puller.stop()  # now, so that what goes back at the end doesn't come to this stream once more
        try:
            yield Letters(puller, _noted([*map(_letter, deliveries.values()), *_parked(limit)]))
        finally:
            puller.give_back_all()


def _noted(seen: list[PulledLetter]) -> list[PulledLetter]:
    """Return the letters with their rows, created or updated."""
    if not seen:
        return seen
    with transaction.atomic(), connection.cursor() as cursor:
        # Sorted, so that two who look at the same time can't deadlock.
        cursor.executemany(
            _SEEN,
            [
                {
                    "row": uuid7(),
                    "subscription": letter.row.subscription,
                    "key": letter.key,
                    "kind": letter.row.kind,
                    "event_type": letter.row.event_type,
                    "type": letter.row.aggregate_type,
                    "id": letter.row.aggregate_id,
                    "sequence": letter.row.sequence,
                    "attempts": letter.row.attempts,
                    "reason": letter.row.last_error,
                    "message": letter.row.message_id,
                }
                for letter in sorted(seen, key=lambda letter: (letter.row.subscription, letter.key))
            ],
        )
    rows = {
        (row.subscription, row.key): row
        for row in DeadLetter.objects.filter(key__in=[letter.key for letter in seen])
    }
    for letter in seen:
        letter.row = rows[letter.row.subscription, letter.key]
    return seen


def _letter(delivery: Delivery) -> PulledLetter:
    attributes = delivery.attributes
    event: wire.Envelope | None
    try:
        event, fault = wire.decode(attributes, delivery.data), ""
    except wire.MalformedMessage as error:
        event, fault = None, str(error)
    attempts = attributes.get(wire.DELIVERIES, "")
    kind = DeadLetter.Kind.POISON if wire.REASON in attributes else DeadLetter.Kind.REFUSED
    row = _row(
        event,
        DeadLetter.Kind.MALFORMED if event is None else kind,
        subscription=attributes.get(wire.SOURCE_SUBSCRIPTION, "").rpartition("/")[2],
        attempts=int(attempts) if attempts.isdecimal() else 0,
        reason=attributes.get(wire.REASON) or fault,
        message_id=delivery.message_id,
    )
    return PulledLetter(row, event, delivery)


def _parked(limit: int) -> Iterator[PulledLetter]:
    with connection.cursor() as cursor:
        cursor.execute(_PARKED, [settings.PUBSUB_SUBSCRIPTION, max_attempts(), limit])
        for attributes, data, attempts, last_error in cursor.fetchall():
            event = wire.decode(json.loads(attributes), data)
            row = _row(
                event,
                DeadLetter.Kind.PARKED,
                subscription=settings.PUBSUB_SUBSCRIPTION,
                attempts=attempts,
                reason=last_error,
            )
            yield PulledLetter(row, event, None)


def _row(
    event: wire.Envelope | None,
    kind: DeadLetter.Kind,
    *,
    subscription: str,
    attempts: int,
    reason: str,
    message_id: str = "",
) -> DeadLetter:
    return DeadLetter(
        subscription=subscription,
        key=str(event.event_id) if event is not None else message_id,
        kind=kind,
        event_type=event.event_type[:100] if event is not None else "",
        aggregate_type=event.stream.aggregate_type[:50] if event is not None else "",
        aggregate_id=event.stream.aggregate_id if event is not None else None,
        sequence=event.sequence if event is not None else None,
        attempts=attempts,
        last_error=mask_text(reason).replace("\x00", "")[:1000],
        message_id=message_id,
    )
