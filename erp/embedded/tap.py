"""A subscriber of its own, with Google's client: it records what a topic delivers, in order of arrival."""

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport


@dataclass(frozen=True)
class Received:
    """One message as it arrived."""

    event_id: str
    event_type: str
    stream: str
    sequence: int
    data: bytes


class Tap:
    """A subscription made for the time of the block, ordered as the product's own is."""

    def __init__(self, host: str, project: str, topic: str, name: str) -> None:
        """``host`` is ``host:port`` of an emulator or of the embedded server; empty: the real service."""
        options: dict[str, Any] = {}
        if host:
            options["transport"] = SubscriberGrpcTransport(channel=grpc.insecure_channel(host))
        self._client = pubsub_v1.SubscriberClient(**options)
        self._topic = f"projects/{project}/topics/{topic}"
        self.path = self._client.subscription_path(project, name)
        self._lock = threading.Lock()
        self._received: list[Received] = []

    def __enter__(self) -> Self:
        self._client.create_subscription(
            request={"name": self.path, "topic": self._topic, "enable_message_ordering": True}
        )
        self._pull = self._client.subscribe(self.path, callback=self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pull.cancel()
        self._pull.result(timeout=10)
        self._client.delete_subscription(request={"subscription": self.path})
        self._client.close()

    def _take(self, message: Any) -> None:
        attributes = dict(message.attributes)
        with self._lock:
            self._received.append(
                Received(
                    attributes["ce-id"],
                    attributes["ce-type"],
                    f"{attributes['aggregatetype']}:{attributes['aggregateid']}",
                    int(attributes["sequence"]),
                    message.data,
                )
            )
        message.ack()

    def received(self) -> list[Received]:
        """Everything that has arrived so far, repeats included."""
        with self._lock:
            return list(self._received)

    def wait_for(self, event_ids: set[str], timeout: float) -> set[str]:
        """Wait until these events have arrived; returns those still missing after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while (
            missing := event_ids - {message.event_id for message in self.received()}
        ) and time.monotonic() < end:
            time.sleep(0.05)
        return missing
