"""Messages on lease: a streaming pull that extends each lease until the message is settled."""

import contextlib
import queue
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc
import structlog
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from erp.outbox import endpoint

log = structlog.get_logger(__name__)

LEASE_SECONDS: Final = 60
DEADLINE_SECONDS: Final = 10.0
_TICK_SECONDS: Final = 5.0
_CHUNK: Final = 500  # ack ids of one request, which may have 512 KiB

_StreamingPullRequest = types.StreamingPullRequest.pb()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered message."""

    ack_id: str
    message_id: str
    attributes: dict[str, str]
    data: bytes
    ordering_key: str
    attempt: int  # 0 where the subscription has no dead-letter policy


class Puller:
    """Pulls a subscription in the background. A context manager; at its end, leases of the rest just run out.

    ``outstanding``: most messages held at a time; the server sends no more until some are settled.
    """

    def __init__(self, subscription: str, *, outstanding: int = 100) -> None:
        self._subscription = subscription
        self._outstanding = outstanding
        self._channel = endpoint.channel()
        self._metadata = endpoint.metadata("subscription", subscription)
        self._stream: Any = self._channel.stream_stream(
            endpoint.SUBSCRIBER + "StreamingPull",
            request_serializer=_StreamingPullRequest.SerializeToString,
            response_deserializer=types.StreamingPullResponse.pb().FromString,
        )
        self._acknowledge: Any = self._channel.unary_unary(
            endpoint.SUBSCRIBER + "Acknowledge",
            request_serializer=types.AcknowledgeRequest.pb().SerializeToString,
            response_deserializer=Empty.FromString,
        )
        self._modify: Any = self._channel.unary_unary(
            endpoint.SUBSCRIBER + "ModifyAckDeadline",
            request_serializer=types.ModifyAckDeadlineRequest.pb().SerializeToString,
            response_deserializer=Empty.FromString,
        )
        self._deliveries: queue.Queue[Delivery] = queue.Queue()
        self._leases: dict[str, float] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()  # pull no more
        self._closed = threading.Event()  # extend no more
        self._call: Any = None
        self._threads = [
            threading.Thread(target=work, name=f"pull-{work.__name__.strip('_')}", daemon=True)
            for work in (self._receive, self._extend)
        ]
        self.failure = ""  # the status code that keeps it from pulling, for as long as it does

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._closed.set()
        for thread in self._threads:
            thread.join()
        self._channel.close()

    def stop(self) -> None:
        """Stop pulling; pulled messages can still be settled."""
        self._closing.set()
        if self._call is not None:
            self._call.cancel()

    def next(self, timeout: float) -> Delivery | None:
        """The next message, or None after ``timeout`` seconds without one."""
        with contextlib.suppress(queue.Empty):
            return self._deliveries.get(timeout=timeout) if timeout > 0 else self._deliveries.get_nowait()
        return None

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge messages. A failure is logged: they are delivered again, which is harmless."""
        self._settle(ack_ids)
        for chunk in _chunks(ack_ids):
            request = types.AcknowledgeRequest.pb()(subscription=self._subscription, ack_ids=chunk)
            self._try(self._acknowledge, request)

    def give_back(self, ack_ids: Sequence[str]) -> None:
        """Refuse messages (NACK): they are delivered again, or end as dead letters."""
        self._settle(ack_ids)
        for chunk in _chunks(ack_ids):
            self._set_deadline(chunk, 0)

    def give_back_all(self) -> None:
        """Refuse all messages that are not settled."""
        with self._lock:
            ack_ids = list(self._leases)
        self.give_back(ack_ids)

    def _settle(self, ack_ids: Sequence[str]) -> None:
        with self._lock:
            for ack_id in ack_ids:
                self._leases.pop(ack_id, None)

    def _set_deadline(self, ack_ids: Sequence[str], seconds: int) -> None:
        request = types.ModifyAckDeadlineRequest.pb()(
            subscription=self._subscription, ack_ids=ack_ids, ack_deadline_seconds=seconds
        )
        self._try(self._modify, request)

    def _try(self, method: Any, request: Any) -> None:
        try:
            method(request, timeout=DEADLINE_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            log.warning("pull.call_failed", code=_code(error))

    def _requests(self) -> Iterator[Any]:
        """The stream's requests: the first says what we want, the rest only keep the stream alive."""
        yield _StreamingPullRequest(
            subscription=self._subscription,
            stream_ack_deadline_seconds=LEASE_SECONDS,
            max_outstanding_messages=self._outstanding,
        )
        while not self._closing.wait(30):
            yield _StreamingPullRequest()

    def _receive(self) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                self._call = self._stream(self._requests(), metadata=self._metadata)
                if self._closing.is_set():
                    self._call.cancel()
                for response in self._call:
                    failures, self.failure = 0, ""
                    expires = time.monotonic() + LEASE_SECONDS
                    for received in response.received_messages:
                        with self._lock:
                            self._leases[received.ack_id] = expires
                        message = received.message
                        self._deliveries.put(
                            Delivery(
                                received.ack_id,
                                message.message_id,
                                dict(message.attributes),
                                message.data,
                                message.ordering_key,
                                received.delivery_attempt,
                            )
                        )
            except grpc.RpcError as error:
                if self._closing.is_set():
                    return
                failures += 1
                # A healthy server ends streams now and then: only a repetition is worth a word.
                if failures > 1:
                    self.failure = _code(error)
                    log.warning("pull.stream_failed", code=self.failure, failures=failures)
            self._closing.wait(random.uniform(0, min(1.0, 0.05 * 2**failures)))

    def _extend(self) -> None:
        while not self._closed.wait(_TICK_SECONDS):
            now = time.monotonic()
            with self._lock:
                due = [
                    ack_id for ack_id, expires in self._leases.items() if expires < now + LEASE_SECONDS / 2
                ]
            for chunk in _chunks(due):
                self._set_deadline(chunk, LEASE_SECONDS)
            with self._lock:
                for ack_id in due:
                    if ack_id in self._leases:
                        self._leases[ack_id] = now + LEASE_SECONDS


def _chunks(ack_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ack_ids), _CHUNK):
        yield ack_ids[start : start + _CHUNK]


def _code(error: grpc.RpcError) -> str:
    code = getattr(error, "code", lambda: None)()
    return code.name if code is not None else type(error).__name__
