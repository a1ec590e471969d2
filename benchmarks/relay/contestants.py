"""Who empties the outbox: ``python -m benchmarks.relay.contestants NAME`` prints the seconds that it took.

``relay-bucket`` and ``relay-aggregate`` are the product's relay, ``batcher`` is the same with Google's batching
client in place of its publisher. ``bare`` is the least that can be done with psycopg and one publish call, and
nothing that the relay does beside it: no order across processes, no sharing, no second attempt.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Self

import psycopg

READ = """
SELECT id, position, event_type, aggregate_type, aggregate_id, sequence, payload::text
FROM event_outbox WHERE bucket = 0 AND status IN ('pending', 'processing') AND position > %s
ORDER BY position LIMIT 1000
"""
MARK = """
UPDATE event_outbox o SET status = 'published', processed_at = clock_timestamp(), published_message_id = d.message_id
FROM unnest(%s::uuid[], %s::text[]) AS d (id, message_id) WHERE o.id = d.id
"""


def bare() -> float:
    """1,000 messages of one ordering key a call; read in order of position, marked in one update."""
    import grpc
    from google.pubsub_v1 import types

    message, request, response = (
        types.PubsubMessage.pb(),
        types.PublishRequest.pb(),
        types.PublishResponse.pb(),
    )
    topic = f"projects/{os.environ['PUBSUB_PROJECT_ID']}/topics/cotton-erp-events"
    started = time.perf_counter()
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection,
        grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"]) as channel,
    ):
        connection.execute("SET synchronous_commit = off")
        publish = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        position = 0
        while rows := connection.execute(READ, [position]).fetchall():
            messages = [
                message(
                    data=data.encode(),
                    attributes={
                        "id": str(row_id),
                        "type": event_type,
                        "aggregate": f"{kind}:{aggregate}",
                        "sequence": str(sequence),
                    },
                    ordering_key="bucket:0",
                )
                for row_id, _, event_type, kind, aggregate, sequence, data in rows
            ]
            answer = publish(request(topic=topic, messages=messages), timeout=10)
            connection.execute(MARK, [[row[0] for row in rows], list(answer.message_ids)])
            position = rows[-1][1]
    return time.perf_counter() - started


def relay() -> float:
    """The product's relay, until nothing waits."""
    from erp.outbox.relay import Relay

    started = time.perf_counter()
    summary = asyncio.run(Relay(drain=True, patience=30).run())
    if summary.ended != "drained":
        raise SystemExit(f"the relay ended {summary.ended}: {summary.last_error}")
    return time.perf_counter() - started


def batcher() -> float:
    """The relay with Google's client, which collects messages by key in the background and answers with futures."""
    import grpc
    from django.conf import settings
    from google.cloud import pubsub_v1
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    from erp.outbox import relay as product

    class Batcher:
        async def __aenter__(self) -> Self:
            self._client = pubsub_v1.PublisherClient(
                publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True),
                transport=PublisherGrpcTransport(
                    channel=grpc.insecure_channel(settings.PUBSUB_EMULATOR_HOST)
                ),
            )
            return self

        async def __aexit__(self, *_: object) -> None:
            self._client.stop()

        async def publish(self, topic: str, messages: Sequence[Any]) -> list[str]:
            futures = [
                self._client.publish(topic, m.data, ordering_key=m.ordering_key, **dict(m.attributes))
                for m in messages
            ]
            return [await asyncio.wrap_future(future) for future in futures]

    product.Publisher = Batcher  # type: ignore[misc, assignment]
    return relay()


def make_topology() -> None:
    """Topic and subscriptions."""
    from erp.outbox import topology

    with topology.clients() as clients:
        for difference in topology.differences(clients):
            if difference.repair is not None:
                difference.repair()


CONTESTANTS = {"bare": bare, "relay-bucket": relay, "relay-aggregate": relay, "batcher": batcher}


def main() -> None:
    """Run one."""
    import django

    django.setup()
    make_topology()
    contestant = CONTESTANTS[sys.argv[1]]
    cpu = time.process_time()
    print(json.dumps({"seconds": contestant(), "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
