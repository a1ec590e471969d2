"""A subscriber that records each delivery on disk before it acknowledges it.

A process of its own, without Django: ``python -m benchmarks.faults.checker …``.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from benchmarks.faults.board import Board, BoardSlot

OPTIONS = (
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_receive_message_length", -1),
)


def line(message: Any) -> str:
    """One delivery, tab-separated; ``COPY`` reads it as it stands."""
    attributes = message.attributes
    published = message.publish_time.seconds + message.publish_time.nanos / 1e9
    fields = (
        message.message_id,
        f"{published:.6f}",
        attributes["ce-id"],
        attributes["ce-type"],
        attributes["aggregatetype"],
        attributes["aggregateid"],
        attributes["sequence"],
        message.ordering_key,
        message.data.decode().replace("\\", "\\\\"),
        attributes.get("deadletterreason", "").replace("\\", "\\\\").replace("\n", " ").replace("\t", " "),
    )
    return "\t".join(fields) + "\n"


class Checker:
    """Pulls one subscription into one file."""

    def __init__(self, address: str, subscription: str, path: Path) -> None:
        channel = grpc.insecure_channel(address, options=OPTIONS)
        self._pull = _stub(channel, "Pull", types.PullRequest.pb(), types.PullResponse.pb())
        self._acknowledge = _stub(channel, "Acknowledge", types.AcknowledgeRequest.pb(), Empty)
        self._subscription = subscription
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def take(self) -> int:
        """Pull once; how many messages came. Raises grpc.RpcError."""
        # A pull that waits could be answered just when its deadline passes: the messages would be on lease to
        # nobody for a minute.
        request = types.PullRequest.pb()(
            subscription=self._subscription, max_messages=1000, return_immediately=True
        )
        received = self._pull(request, timeout=30).received_messages
        if received:
            os.write(self._file, "".join(line(each.message) for each in received).encode())
            os.fsync(self._file)
            self._settle([each.ack_id for each in received])
        return len(received)

    def _settle(self, ack_ids: list[str]) -> None:
        request = types.AcknowledgeRequest.pb()(subscription=self._subscription, ack_ids=ack_ids)
        give_up = time.monotonic() + 30
        while True:
            try:
                self._acknowledge(request, timeout=5)
                return
            except grpc.RpcError as error:
                # Without an answer they come again, which shows as a repeated message id.
                if time.monotonic() > give_up or error.code() is grpc.StatusCode.NOT_FOUND:
                    return
                time.sleep(0.05)


def _stub(channel: Any, method: str, request: Any, response: Any) -> Any:
    return channel.unary_unary(
        f"/google.pubsub.v1.Subscriber/{method}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )


def main() -> int:
    """Check until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--subscription", required=True)
    arguments = parser.parse_args()
    board = Board(arguments.folder / "board")
    checker = Checker(arguments.address, arguments.subscription, arguments.folder / "deliveries.tsv")
    while True:
        try:
            taken = checker.take()
        except grpc.RpcError:
            time.sleep(0.05)
            continue
        board[BoardSlot.DELIVERIES] += taken
        if not taken:
            board[BoardSlot.IDLE] += 1
            time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
