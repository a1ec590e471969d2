"""One library's outbox, filled and emptied: ``run.py MODULE EVENTS``, in that library's own virtual environment.

The module says which settings it needs, and how to fill and to empty the outbox by the library's own means. Prints
the seconds that emptying took, and how many different events arrived.
"""

import importlib
import json
import os
import random
import sys
import time
from typing import Any
from urllib.parse import urlsplit

PROJECT, TOPIC, SUBSCRIPTION = "bench-rivals", "bench", "bench-check"
PAYLOAD_BYTES = 1000
ARRIVAL_SECONDS = 20.0


def publisher() -> Any:
    """Google's client as a library that publishes one event at a time wants it: at once, ordered by key."""
    from google.cloud import pubsub_v1

    return pubsub_v1.PublisherClient(
        batch_settings=pubsub_v1.types.BatchSettings(max_messages=1),
        publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True),
    )


def topic_path() -> str:
    """The topic's full name."""
    return f"projects/{PROJECT}/topics/{TOPIC}"


def main() -> None:
    """Make tables and topic, fill, empty under the clock, count what arrived."""
    name, events = sys.argv[1], int(sys.argv[2])
    rival = importlib.import_module(name)
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import transaction

    url = urlsplit(os.environ["DATABASE_URL"])
    settings.configure(
        SECRET_KEY="only for a benchmark",  # noqa: S106
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        LOGGING={"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}},
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.path[1:],
                "USER": url.username,
                "PASSWORD": url.password,
                "HOST": url.hostname,
                "PORT": url.port,
            }
        },
        **rival.SETTINGS,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    make_topology()
    pick = random.Random(42)
    with transaction.atomic():
        for n in range(events):
            text = pick.randbytes(PAYLOAD_BYTES // 2).hex()[: PAYLOAD_BYTES - 20]
            rival.put({"ref": n, "text": text}, key=f"lot:{n % (events // 10)}")
    started = time.perf_counter()
    rival.drain()
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "arrived": arrived(events), "left": rival.left()}))


def make_topology() -> None:
    """A topic, and a subscription by which to count."""
    from google.cloud import pubsub_v1

    pubsub_v1.PublisherClient().create_topic(request={"name": topic_path()})
    subscription = {"name": f"projects/{PROJECT}/subscriptions/{SUBSCRIPTION}", "topic": topic_path()}
    pubsub_v1.SubscriberClient().create_subscription(request=subscription)


def arrived(events: int) -> int:
    """How many different messages come within a while."""
    from google.cloud import pubsub_v1

    name = f"projects/{PROJECT}/subscriptions/{SUBSCRIPTION}"
    found: set[str] = set()
    give_up = time.monotonic() + ARRIVAL_SECONDS
    with pubsub_v1.SubscriberClient() as client:
        while len(found) < events and time.monotonic() < give_up:
            answer = client.pull(request={"subscription": name, "max_messages": 1000}, timeout=15)
            ids = [each.ack_id for each in answer.received_messages]
            found.update(each.message.message_id for each in answer.received_messages)
            if ids:
                client.acknowledge(request={"subscription": name, "ack_ids": ids})
    return len(found)


if __name__ == "__main__":
    sys.modules["run"] = sys.modules["__main__"]
    main()
