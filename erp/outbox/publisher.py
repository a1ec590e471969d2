"""Publish requests: one call, one response, and two kinds of failure (core §2)."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio
from google.pubsub_v1.types import PublishRequest, PublishResponse

from erp.outbox import endpoint

DEADLINE_SECONDS: Final = 10.0
# Per request, all of one ordering key; Pub/Sub takes 10 MB, attributes and framing included.
MAX_MESSAGES: Final = 1000
MAX_BYTES: Final = 9_000_000
_Request, _Response = PublishRequest.pb(), PublishResponse.pb()


class Poison(Exception):
    """Pub/Sub permanently refuses this request because of one of its messages."""


class NotPublished(Exception):
    """The request failed for a reason outside its messages: retry."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


def _stub(channel: Any) -> Any:
    return channel.unary_unary(
        endpoint.PUBLISHER + "Publish",
        request_serializer=_Request.SerializeToString,
        response_deserializer=_Response.FromString,
    )


def _failure(code: grpc.StatusCode, detail: str) -> Exception:
    # A server refuses a message beyond its limit as RESOURCE_EXHAUSTED, which is also its word for quotas.
    if code is grpc.StatusCode.INVALID_ARGUMENT or "larger than max" in detail:
        return Poison(f"{code.name}: {detail}")
    return NotPublished(code.name, detail)


def _ids(answer: Any, messages: Sequence[Any]) -> list[str]:
    if len(answer.message_ids) != len(messages):
        raise NotPublished("INTERNAL", f"{len(answer.message_ids)} ids for {len(messages)} messages")
    return list(answer.message_ids)


class Publisher:
    """Publishes with a deadline of its own. An async context manager; holds one channel."""

    def __init__(self) -> None:
        self._channel = endpoint.aio_channel()
        self._publish = _stub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def publish(self, topic: str, messages: Sequence[Any]) -> list[str]:
        """Publish messages of one ordering key in one request; their ids in the same order.

        ``topic`` is its full name. Raises Poison or NotPublished; then nothing is known to have arrived.
        """
        try:
            answer = await self._publish(
                _Request(topic=topic, messages=messages),
                timeout=DEADLINE_SECONDS,
                metadata=endpoint.metadata("topic", topic),
            )
        except grpc.aio.AioRpcError as error:
            raise _failure(error.code(), error.details() or "") from None
        except OSError as error:
            raise NotPublished("SOCKET", str(error)) from None
        return _ids(answer, messages)


class BlockingPublisher:
    """The same for operators' commands, one request after the other. A context manager."""

    def __init__(self) -> None:
        self._channel = endpoint.channel()
        self._publish = _stub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def publish(self, topic: str, messages: Sequence[Any]) -> list[str]:
        """As Publisher.publish."""
        try:
            answer = self._publish(
                _Request(topic=topic, messages=messages),
                timeout=DEADLINE_SECONDS,
                metadata=endpoint.metadata("topic", topic),
            )
        except grpc.RpcError as error:
            raise _failure(error.code(), error.details() or "") from None
        return _ids(answer, messages)
