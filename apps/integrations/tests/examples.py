"""What contract tests need of the integrations module: it has no writes yet."""

import json
from typing import Any

from erp.api.examples import Example
from erp.outbox import wire
from erp.outbox.models import EventOutbox
from erp.outbox.subscriber import Subscription


def consume(subscription: str = "tests") -> None:
    """Hand all events to the consumer, each stream in its order; repeats of what it has had among them."""
    progress = Subscription(subscription)
    for row in EventOutbox.objects.order_by("position"):
        progress.receive(wire.envelope(row, row.pk, json.dumps(row.payload)))


def told(world: Any, viewer: Any) -> None:
    """Something happens, and the feed hears of it."""
    world.offer()
    consume()


EXAMPLES: dict[str, Example] = {}
LISTS = {"/api/v1/events": ("INTERNAL_MANAGER", told)}
