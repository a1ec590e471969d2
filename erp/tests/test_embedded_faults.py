"""Injected faults: each has the effect of its name, as often as planned, and the same for one seed."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1

from erp.embedded.process import CannotStart
from erp.embedded.pubsub.faults import control
from erp.embedded.testing import PubSub
from erp.tests.test_embedded_pubsub import Contract, data


@pytest.fixture(scope="module")
def server() -> Iterator[PubSub]:
    with PubSub() as running:
        yield running


@pytest.fixture
def clients(server: PubSub) -> Iterator[Contract]:
    yield Contract(server.address, {})
    control(server.address, {})


def plan(server: PubSub, *rules: dict[str, Any], seed: int = 0) -> None:
    control(server.address, {"seed": seed, "rules": list(rules)})


def outcome(clients: Contract, topic: str, sent: bytes = b"x") -> grpc.StatusCode:
    """How one plain publish ends, without any retry."""
    request = pubsub_v1.types.PublishRequest(topic=topic, messages=[{"data": sent}])
    try:
        clients.publisher.transport.publish(request, timeout=5)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def test_a_refused_request_is_not_executed(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    plan(server, {"kind": "refuse", "methods": ["Publish"], "code": "RESOURCE_EXHAUSTED", "limit": 2})
    assert [outcome(clients, topic).name for _ in range(3)] == ["RESOURCE_EXHAUSTED"] * 2 + ["OK"]
    assert len(clients.pull(subscription)) == 1
    assert control(server.address)["applied"] == [2]


def test_a_rule_can_mean_only_messages_with_a_certain_text(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()
    plan(server, {"kind": "refuse", "containing": "broken seal", "code": "INVALID_ARGUMENT"})
    ends = [outcome(clients, topic, sent).name for sent in (b"whole", b"a broken seal", b"whole")]
    assert ends == ["OK", "INVALID_ARGUMENT", "OK"]


def test_a_lost_answer_leaves_the_message_stored(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    plan(server, {"kind": "lose_answer", "methods": ["Publish"], "limit": 1})
    assert outcome(clients, topic, b"stored") == grpc.StatusCode.UNAVAILABLE
    assert data(clients.wait_for(subscription)) == [b"stored"]


def test_a_dropped_connection_takes_everything_on_it_along(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    ended = threading.Event()

    def requests() -> Iterator[Any]:
        yield pubsub_v1.types.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=10)
        ended.wait(10)

    stream = clients.transport.streaming_pull(requests())
    clients.publish(topic, b"first")
    assert data(next(stream).received_messages) == [b"first"]
    plan(server, {"kind": "drop", "methods": ["Publish"], "limit": 1})
    assert outcome(clients, topic) == grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    ended.set()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "on purpose" not in (
        caught.value.details() or ""
    )  # nothing was answered: the connection went away


def test_dropping_connections_leaves_no_descriptors_behind(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()
    folder = Path(f"/proc/{server.process.pid}/fd")
    before = len(list(folder.iterdir()))
    plan(server, {"kind": "drop", "methods": ["Publish"], "limit": 12})
    while outcome(clients, topic) != grpc.StatusCode.OK:
        pass
    assert len(list(folder.iterdir())) <= before + 10  # a connection has a few of its own


def test_a_delay_only_delays(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()
    plan(server, {"kind": "delay", "methods": ["Publish"], "milliseconds": 300, "limit": 1})
    began = time.monotonic()
    assert outcome(clients, topic) == grpc.StatusCode.OK
    assert time.monotonic() - began >= 0.3


def test_an_outage_refuses_everything_for_its_time(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()
    plan(server, {"kind": "outage", "milliseconds": 500, "limit": 1})
    began = time.monotonic()
    codes = set()
    while (code := outcome(clients, topic)) != grpc.StatusCode.OK:
        codes.add(code)
        with pytest.raises(grpc.RpcError):
            clients.transport.get_subscription(
                pubsub_v1.types.GetSubscriptionRequest(subscription="x"), timeout=5
            )
        assert time.monotonic() - began < 5
    assert codes == {grpc.StatusCode.UNAVAILABLE}
    assert time.monotonic() - began >= 0.5


def test_a_stream_is_struck_too(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()
    subscription = clients.subscription(topic)
    clients.publish(topic, b"1")
    plan(server, {"kind": "refuse", "methods": ["StreamingPull"], "code": "INTERNAL"})
    request = pubsub_v1.types.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=10)
    with pytest.raises(grpc.RpcError) as caught:
        next(clients.transport.streaming_pull(iter([request])))
    assert caught.value.code() == grpc.StatusCode.INTERNAL


def test_one_seed_gives_the_same_faults_and_another_gives_others(server: PubSub, clients: Contract) -> None:
    topic = clients.topic()

    def faults(seed: int) -> list[str]:
        plan(server, {"kind": "refuse", "methods": ["Publish"], "probability": 0.3}, seed=seed)
        return [outcome(clients, topic).name for _ in range(60)]

    first = faults(1)
    assert first == faults(1) != faults(2)
    assert 5 < first.count("UNAVAILABLE") < 35


def test_a_plan_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"rules": [{"kind": "refuse", "methods": ["Publish"], "code": "ABORTED"}]}))
    with PubSub(None, "--fault-plan", str(file)) as server:
        clients = Contract(server.address, {})
        assert outcome(clients, clients.topic()) == grpc.StatusCode.ABORTED


def test_what_is_no_plan_is_refused(server: PubSub, clients: Contract, tmp_path: Path) -> None:
    for rule in ({"kind": "explode"}, {"kind": "refuse", "code": "OK"}, {"kind": "refuse", "chance": 1}):
        with pytest.raises(grpc.RpcError) as caught:
            plan(server, rule)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    file = tmp_path / "plan.json"
    file.write_text('{"rules": [{"kind": "explode"}]}')
    with pytest.raises(CannotStart, match="kind"):
        PubSub(None, "--fault-plan", str(file))
