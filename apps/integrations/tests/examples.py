"""Rows for the contract tests of integrations; the module has no endpoint that writes."""

import json
from typing import Any

from erp.api.examples import Example
from erp.outbox import wire
from erp.outbox.models import EventOutbox
from erp.outbox.subscriber import Subscription


def consume(subscription: str = "tests") -> None:
    """Pass all events to the consumer, each stream in order, repeated ones among them, and what handlers emit."""
    progress, seen = Subscription(subscription), -1
    while rows := EventOutbox.objects.filter(position__gt=seen).order_by("position"):
        for row in rows:
            progress.receive(wire.envelope(row, row.pk, json.dumps(row.payload)))
            seen = row.position


def emit_for(world: Any, viewer: Any) -> None:
    """Cause an event and consume it."""
    world.offer()
    consume()


EXAMPLES: dict[str, Example] = {}
LISTS = {"/api/v1/events": ("INTERNAL_MANAGER", emit_for)}
