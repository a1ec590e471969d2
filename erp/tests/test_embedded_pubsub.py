"""The contract of ``google.pubsub.v1`` as the product uses it, with Google's own client.

It runs against the embedded server and, where it is found, the official emulator. What the emulator lacks is
listed in ``EMULATOR_LACKS``, and each entry is asserted: should a later one have it, a test says so.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.iam.v1.policy_pb2 import Binding, Policy
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from erp.embedded.pubsub import SERVICE_AGENT
from erp.embedded.testing import PubSub

pytestmark = pytest.mark.slow

EMULATOR_LACKS = {
    "one ordering key a request": "it takes several",
    "limits of keys and attributes": "it takes any size",
    "limit of a request": "it takes more than 10 MB",
    "answers of at most 4 MB": "a larger backlog can't be pulled with a client's default limit",
    "redelivery in order": "what is given back waits until nothing of its key is out, and may come last",
    "backoff of ordered messages": "they come again at once",
    "dead letters of ordered messages": "the next pull fails, and the message never arrives",
    "dead letters at once": "they are forwarded by the next pull",
    "IAM": "UNIMPLEMENTED",
}


class Contract:
    """Clients of one server, and fresh names for each test."""

    def __init__(self, address: str, lacking: dict[str, str]) -> None:
        self._lacking = lacking
        channel = grpc.insecure_channel(address)
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self.transport = SubscriberGrpcTransport(channel=channel)
        self.subscriber = pubsub_v1.SubscriberClient(transport=self.transport)
        self.project = f"projects/p-{uuid4().hex[:12]}"
        self._number = 0

    def lacks(self, what: str) -> bool:
        assert what in EMULATOR_LACKS
        return what in self._lacking

    def name(self, collection: str) -> str:
        self._number += 1
        return f"{self.project}/{collection}/name-{self._number}"

    def topic(self, **settings: Any) -> str:
        name = self.name("topics")
        self.publisher.create_topic(request={"name": name, **settings})
        return name

    def subscription(self, topic: str, **settings: Any) -> str:
        name = self.name("subscriptions")
        self.subscriber.create_subscription(request={"name": name, "topic": topic, **settings})
        return name

    def publish(self, topic: str, *data: bytes, key: str = "", **attributes: str) -> list[str]:
        messages = [{"data": each, "ordering_key": key, "attributes": attributes} for each in data]
        request = {"topic": topic, "messages": messages}
        return list(self.publisher.publish(request=request, retry=None, timeout=10).message_ids)

    def pull(self, subscription: str, count: int = 100) -> list[Any]:
        """What is there right now (the client warns of that flag, so it is left out of the way)."""
        request = pubsub_v1.types.PullRequest(
            subscription=subscription, max_messages=count, return_immediately=True
        )
        try:
            return list(self.transport.pull(request, timeout=10).received_messages)
        except grpc.RpcError as error:
            raise exceptions.from_grpc_error(error) from None

    def wait_for(self, subscription: str, count: int = 1, seconds: float = 10) -> list[Any]:
        """Pull until that many messages have come."""
        found: list[Any] = []
        until(
            lambda: found.extend(self.pull(subscription, count - len(found))) or len(found) >= count, seconds
        )
        return found

    def acknowledge(self, subscription: str, *received: Any, **how: Any) -> None:
        ack_ids = [each.ack_id for each in received]
        self.subscriber.acknowledge(request={"subscription": subscription, "ack_ids": ack_ids}, **how)

    def deadline(self, subscription: str, seconds: int, *received: Any) -> None:
        ack_ids = [each.ack_id for each in received]
        self.subscriber.modify_ack_deadline(
            request={"subscription": subscription, "ack_ids": ack_ids, "ack_deadline_seconds": seconds}
        )

    def nack(self, subscription: str, *received: Any) -> None:
        self.deadline(subscription, 0, *received)

    def grant(self, setter: Any, resource: str, role: str) -> None:
        policy = Policy(bindings=[Binding(role=role, members=[SERVICE_AGENT])])
        setter.set_iam_policy(request={"resource": resource, "policy": policy})

    def use_up(self, subscription: str, attempts: int = 5) -> list[int]:
        """Refuse one message this often; return the reported delivery attempts."""
        attempt_numbers = []
        for _ in range(attempts):
            (received,) = self.wait_for(subscription)
            attempt_numbers.append(received.delivery_attempt)
            self.nack(subscription, received)
        return attempt_numbers


def until(true: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def data(received: list[Any]) -> list[bytes]:
    return [each.message.data for each in received]


def emulator_jar() -> Path | None:
    gcloud = shutil.which("gcloud")
    roots = [os.environ.get("CLOUDSDK_ROOT"), "/usr/lib/google-cloud-sdk"]
    roots += [str(Path(gcloud).resolve().parents[1])] if gcloud else []
    for root in filter(None, roots):
        for jar in sorted(
            (Path(root) / "platform" / "pubsub-emulator" / "lib").glob("*pubsub-emulator*.jar")
        ):
            return jar
    return None


@pytest.fixture(scope="module")
def embedded() -> Iterator[str]:
    with PubSub() as server:
        yield server.address


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    jar, java = emulator_jar(), shutil.which("java")
    if jar is None or java is None:
        pytest.skip("the official emulator is not on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [java, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(params=["embedded", pytest.param("emulator", marks=pytest.mark.emulator)])
def server(request: pytest.FixtureRequest) -> Contract:
    lacking = EMULATOR_LACKS if request.param == "emulator" else {}
    return Contract(request.getfixturevalue(request.param), lacking)


@pytest.fixture
def ours(embedded: str) -> Contract:
    """The embedded server only: what no emulator offers."""
    return Contract(embedded, {})


def test_a_topic_is_made_once_found_and_deleted_once(server: Contract) -> None:
    topic = server.topic(labels={"kept": "yes"})
    with pytest.raises(exceptions.AlreadyExists):
        server.publisher.create_topic(request={"name": topic})
    assert server.publisher.get_topic(request={"topic": topic}).labels == {"kept": "yes"}
    assert topic in [each.name for each in server.publisher.list_topics(request={"project": server.project})]
    server.publisher.delete_topic(request={"topic": topic})
    with pytest.raises(exceptions.NotFound):
        server.publisher.get_topic(request={"topic": topic})
    with pytest.raises(exceptions.NotFound):
        server.publisher.delete_topic(request={"topic": topic})


@pytest.mark.parametrize("short", ["ab", "1abc", "goog-thing", "a" * 256, "white space"])
def test_a_name_that_the_service_refuses_is_refused(server: Contract, short: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        server.publisher.create_topic(request={"name": f"{server.project}/topics/{short}"})


def test_a_topic_is_changed_field_by_field(server: Contract) -> None:
    topic = server.topic(labels={"kept": "yes"})
    server.publisher.update_topic(
        request={
            "topic": {"name": topic, "message_retention_duration": Duration(seconds=604800)},
            "update_mask": {"paths": ["message_retention_duration"]},
        }
    )
    found = server.publisher.get_topic(request={"topic": topic})
    assert (found.labels, found.message_retention_duration.days) == ({"kept": "yes"}, 7)


def test_a_subscription_keeps_its_settings(server: Contract) -> None:
    topic, dead = server.topic(), server.topic()
    name = server.subscription(
        topic,
        ack_deadline_seconds=60,
        enable_message_ordering=True,
        message_retention_duration=Duration(seconds=604800),
        dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 7},
        retry_policy={"minimum_backoff": Duration(seconds=10), "maximum_backoff": Duration(seconds=600)},
        expiration_policy={},
    )
    found = server.subscriber.get_subscription(request={"subscription": name})
    assert (found.topic, found.ack_deadline_seconds, found.enable_message_ordering) == (topic, 60, True)
    assert found.message_retention_duration.days == 7
    policy = found.dead_letter_policy
    assert (policy.dead_letter_topic, policy.max_delivery_attempts) == (dead, 7)
    assert found.retry_policy.maximum_backoff.seconds == 600
    assert not found.expiration_policy.ttl  # never
    with pytest.raises(exceptions.AlreadyExists):
        server.subscriber.create_subscription(request={"name": name, "topic": topic})


def test_a_subscription_needs_topics_that_exist(server: Contract) -> None:
    with pytest.raises(exceptions.NotFound):
        server.subscription(server.name("topics"))


def test_a_subscription_is_changed_field_by_field_but_not_its_order(ours: Contract) -> None:
    name = ours.subscription(ours.topic(), ack_deadline_seconds=60)

    def change(path: str, **settings: Any) -> Any:
        return ours.subscriber.update_subscription(
            request={"subscription": {"name": name, **settings}, "update_mask": {"paths": [path]}}
        )

    assert change("labels", labels={"a": "b"}, ack_deadline_seconds=30).ack_deadline_seconds == 60
    assert change("ack_deadline_seconds", ack_deadline_seconds=30).labels == {"a": "b"}
    with pytest.raises(exceptions.InvalidArgument):
        change("enable_message_ordering", enable_message_ordering=True)
    with pytest.raises(exceptions.InvalidArgument):
        change("ack_deadline_seconds", ack_deadline_seconds=601)
    with pytest.raises(exceptions.InvalidArgument):
        change(
            "dead_letter_policy",
            dead_letter_policy={"dead_letter_topic": ours.topic(), "max_delivery_attempts": 4},
        )
    with pytest.raises(exceptions.NotFound):
        change("dead_letter_policy", dead_letter_policy={"dead_letter_topic": ours.name("topics")})


def test_lists_come_page_by_page(server: Contract) -> None:
    topic = server.topic()
    names = sorted(server.subscription(topic) for _ in range(5))
    listed = server.publisher.list_topic_subscriptions(request={"topic": topic, "page_size": 2})
    assert sorted(listed) == names
    pages = server.subscriber.list_subscriptions(request={"project": server.project, "page_size": 2}).pages
    assert sorted(each.name for page in pages for each in page.subscriptions) == names


def test_a_deleted_topic_takes_no_messages_and_leaves_what_it_had(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic)
    server.publish(topic, b"before")
    server.publisher.delete_topic(request={"topic": topic})
    with pytest.raises(exceptions.NotFound):
        server.publish(topic, b"after")
    found = server.subscriber.get_subscription(request={"subscription": subscription})
    assert found.topic == "_deleted-topic_"
    assert data(server.wait_for(subscription)) == [b"before"]


def test_a_deleted_subscription_is_gone(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic)
    server.subscriber.delete_subscription(request={"subscription": subscription})
    with pytest.raises(exceptions.NotFound):
        server.pull(subscription)
    assert list(server.publisher.list_topic_subscriptions(request={"topic": topic})) == []


def test_unsupported_methods_are_unimplemented(ours: Contract) -> None:
    subscription = ours.subscription(ours.topic())
    with pytest.raises(exceptions.MethodNotImplemented):
        ours.subscriber.seek(request={"subscription": subscription, "time": datetime.now(UTC)})


def test_settings_that_would_be_ignored_are_refused(ours: Contract) -> None:
    for settings in (
        {"filter": 'attributes.a = "b"'},
        {"enable_exactly_once_delivery": True},
        {"push_config": {"push_endpoint": "https://receiver.example/"}},
    ):
        with pytest.raises(exceptions.MethodNotImplemented):
            ours.subscription(ours.topic(), **settings)


def test_a_message_reaches_every_subscription_as_it_was_sent(server: Contract) -> None:
    topic = server.topic()
    subscriptions = [server.subscription(topic), server.subscription(topic)]
    (message_id,) = server.publish(topic, b"\x00cotton", key="lot:1", grade="Shankar-6")
    for subscription in subscriptions:
        (received,) = server.wait_for(subscription)
        message = received.message
        assert (message.data, message.ordering_key, message.message_id) == (
            b"\x00cotton",
            "lot:1",
            message_id,
        )
        assert dict(message.attributes) == {"grade": "Shankar-6"}
        assert abs(message.publish_time.timestamp() - time.time()) < 60
        assert received.delivery_attempt == 0  # counted only with a dead-letter policy


def test_a_subscription_receives_nothing_published_before_it(server: Contract) -> None:
    topic = server.topic()
    server.publish(topic, b"lost")
    subscription = server.subscription(topic)
    server.publish(topic, b"kept")
    assert data(server.wait_for(subscription)) == [b"kept"]


@pytest.mark.parametrize(
    ("messages", "difference"),
    [
        ([], None),
        ([{"data": b""}], None),
        ([{"data": b"x"}] * 1001, None),
        ([{"data": b"x" * 10_000_001}], "limit of a request"),
        ([{"data": b"x", "ordering_key": "k" * 1025}], "limits of keys and attributes"),
        ([{"data": b"x", "attributes": {str(n): "x" for n in range(101)}}], "limits of keys and attributes"),
        ([{"data": b"x", "attributes": {"k" * 257: "x"}}], "limits of keys and attributes"),
        ([{"data": b"x", "attributes": {"k": "é" * 513}}], "limits of keys and attributes"),
        (
            [{"data": b"x", "ordering_key": "a"}, {"data": b"x", "ordering_key": "b"}],
            "one ordering key a request",
        ),
    ],
    ids=["none", "empty", "1001", "10 MB", "key", "attributes", "name", "value", "two keys"],
)
def test_a_request_beyond_the_limits_is_refused_whole(
    server: Contract, messages: list[Any], difference: str | None
) -> None:
    topic = server.topic()
    subscription = server.subscription(topic)
    request = {"topic": topic, "messages": messages}
    if difference and server.lacks(difference):
        assert server.publisher.publish(request=request).message_ids
        return
    with pytest.raises(exceptions.InvalidArgument):
        server.publisher.publish(request=request)
    assert server.pull(subscription) == []


def test_the_largest_request_arrives(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic, ack_deadline_seconds=60)
    sent = [b"%d" % number for number in range(1000)]
    server.publish(topic, *sent, key="lot:1", **{f"attribute-{n:02}": "x" * 20 for n in range(20)})
    received = server.wait_for(subscription, 1000)
    assert sorted(data(received)) == sorted(sent)


def test_an_answer_fits_a_client_with_default_limits(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic)
    for _ in range(6):
        server.publish(topic, b"x" * 1_000_000)
    if server.lacks("answers of at most 4 MB"):
        with pytest.raises(exceptions.ResourceExhausted):
            server.pull(subscription)
        return
    assert [len(server.pull(subscription)) for _ in range(3)] == [3, 3, 0]


def test_a_waiting_pull_gets_the_next_message(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic)
    timer = threading.Timer(0.3, server.publish, [topic, b"late"])
    timer.start()
    received = server.subscriber.pull(request={"subscription": subscription, "max_messages": 5}, timeout=10)
    timer.join()
    assert data(received.received_messages) == [b"late"]


def test_what_is_acknowledged_does_not_come_back(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic)
    server.publish(topic, b"1", b"2")
    first, second = server.wait_for(subscription, 2)
    server.acknowledge(subscription, first)
    server.nack(subscription, second)
    (again,) = server.wait_for(subscription)
    assert again.message.message_id == second.message.message_id
    server.acknowledge(subscription, again)
    server.acknowledge(subscription, first)  # twice is no error
    assert server.pull(subscription) == []


def test_a_missed_deadline_brings_the_message_back_and_an_extended_one_does_not(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic)
    server.publish(topic, b"missed", b"extended")
    received = {each.message.data: each for each in server.wait_for(subscription, 2)}
    server.deadline(subscription, 1, *received.values())
    server.deadline(subscription, 60, received[b"extended"])
    assert server.pull(subscription) == []
    began = time.monotonic()
    assert data(server.wait_for(subscription)) == [b"missed"]
    assert 0.5 < time.monotonic() - began < 5
    assert server.pull(subscription) == []


def test_the_messages_of_a_key_come_in_order(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic, enable_message_ordering=True)
    for number in range(20):
        server.publish(topic, b"a%02d" % number, key="a")
        server.publish(topic, b"b%02d" % number, key="b")
    seen: list[bytes] = []
    while len(seen) < 40:
        received = server.wait_for(subscription, 1)
        seen += data(received)
        server.acknowledge(subscription, *received)
    for key in (b"a", b"b"):
        assert [each for each in seen if each.startswith(key)] == [b"%s%02d" % (key, n) for n in range(20)]


def test_a_message_given_back_brings_all_later_ones_of_its_key(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic, enable_message_ordering=True)
    server.publish(topic, b"1", b"2", b"3", key="a")
    server.publish(topic, b"other", key="b")
    received = {each.message.data: each for each in server.wait_for(subscription, 4)}
    server.acknowledge(subscription, received[b"1"], received[b"other"], received[b"3"])
    server.nack(subscription, received[b"2"])
    if server.lacks("redelivery in order"):
        assert server.pull(subscription) == []
        return
    assert data(server.wait_for(subscription, 2)) == [b"2", b"3"]


def test_a_key_waits_for_its_run_and_blocks_no_other(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic, enable_message_ordering=True)
    server.publish(topic, b"1", b"2", b"3", key="a")
    first = server.wait_for(subscription, 2)
    assert data(first) == [b"1", b"2"]
    server.publish(topic, b"other", key="b")
    assert data(server.wait_for(subscription)) == [b"other"]
    server.acknowledge(subscription, first[0])
    assert server.pull(subscription) == []
    server.acknowledge(subscription, first[1])
    assert data(server.wait_for(subscription)) == [b"3"]


def test_a_retry_policy_holds_a_message_back_longer_each_time(server: Contract) -> None:
    topic = server.topic()
    retry = {"minimum_backoff": Duration(seconds=1), "maximum_backoff": Duration(seconds=600)}
    subscription = server.subscription(topic, retry_policy=retry, enable_message_ordering=True)
    server.publish(topic, b"poison", b"behind", key="a")
    server.publish(topic, b"healthy", key="b")
    received = server.wait_for(subscription, 3)
    server.acknowledge(subscription, *(each for each in received if each.message.data == b"healthy"))
    waits = []
    for _ in range(2):
        began = time.monotonic()
        server.nack(subscription, *(each for each in received if each.message.ordering_key == "a"))
        received = server.wait_for(subscription, 2)
        assert data(received) == [b"poison", b"behind"]
        waits.append(time.monotonic() - began)
    if server.lacks("backoff of ordered messages"):
        assert max(waits) < 0.9
        return
    assert waits[0] > 0.9
    assert waits[1] > 1.9


def test_a_stream_brings_messages_in_order_and_again_when_given_back(server: Contract) -> None:
    topic = server.topic()
    subscription = server.subscription(topic, enable_message_ordering=True)
    seen: list[bytes] = []
    refused: set[bytes] = set()

    def take(message: Any) -> None:
        seen.append(message.data)
        if message.data.endswith(b"5") and message.data not in refused:
            refused.add(message.data)
            message.nack()
        else:
            message.ack()

    flow = pubsub_v1.types.FlowControl(max_messages=10)
    stream = server.subscriber.subscribe(subscription, callback=take, flow_control=flow)
    sent = [b"%02d" % number for number in range(30)]
    for each in sent:
        server.publish(topic, each, key="a")
    until(lambda: set(seen) == set(sent) and all(seen.count(each) > 1 for each in refused))
    stream.cancel()
    stream.result(timeout=10)
    position = -1
    for each in seen:  # forward one by one; back only as a repeat
        assert int(each) <= position + 1
        position = max(position, int(each))


def test_a_stream_gives_a_client_no_more_than_it_asked_for(ours: Contract) -> None:
    topic = ours.topic()
    subscription = ours.subscription(topic)
    ours.publish(topic, *(b"%d" % number for number in range(10)))
    ended = threading.Event()

    def requests() -> Iterator[Any]:
        yield pubsub_v1.types.StreamingPullRequest(
            subscription=subscription, stream_ack_deadline_seconds=10, max_outstanding_messages=3
        )
        ended.wait(10)

    stream = ours.transport.streaming_pull(requests())
    try:
        first = list(next(stream).received_messages)
        assert len(first) == 3
        ours.acknowledge(subscription, *first[:2])
        assert len(next(stream).received_messages) == 2
    finally:
        ended.set()
        stream.cancel()


def test_a_stream_of_no_subscription_is_refused(server: Contract) -> None:
    ended = threading.Event()

    def requests() -> Iterator[Any]:
        yield pubsub_v1.types.StreamingPullRequest(
            subscription=server.name("subscriptions"), stream_ack_deadline_seconds=10
        )
        ended.wait(10)

    with pytest.raises(grpc.RpcError) as caught:
        next(server.transport.streaming_pull(requests()))
    ended.set()
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def dead_letters(server: Contract, *, ordered: bool, grants: bool = True) -> tuple[str, str, str]:
    """A topic, its subscription and the subscription of its dead-letter topic."""
    topic, dead = server.topic(), server.topic()
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
    subscription = server.subscription(topic, dead_letter_policy=policy, enable_message_ordering=ordered)
    if grants and not server.lacks("IAM"):
        server.grant(server.publisher, dead, "roles/pubsub.publisher")
        server.grant(server.subscriber, subscription, "roles/pubsub.subscriber")
    return topic, subscription, server.subscription(dead)


@pytest.mark.parametrize("ordered", [False, True], ids=["unordered", "ordered"])
def test_a_message_that_used_up_its_attempts_becomes_a_dead_letter(server: Contract, ordered: bool) -> None:
    topic, subscription, dead = dead_letters(server, ordered=ordered)
    (message_id,) = server.publish(topic, b"poison", key="a", kept="yes")
    assert server.use_up(subscription) == [1, 2, 3, 4, 5]
    if ordered and server.lacks("dead letters of ordered messages"):
        with pytest.raises(exceptions.Unknown):
            server.pull(subscription)
        assert server.pull(dead) == []
        return
    if server.lacks("dead letters at once"):
        assert server.pull(dead) == []
    assert server.pull(subscription) == []
    (letter,) = server.wait_for(dead)
    assert (letter.message.data, letter.message.ordering_key) == (b"poison", "a")
    assert letter.message.message_id != message_id
    attributes = dict(letter.message.attributes)
    assert attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime").startswith("20")
    assert attributes == {
        "kept": "yes",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": subscription.rpartition("/")[2],
        "CloudPubSubDeadLetterSourceSubscriptionProject": server.project.partition("/")[2],
    }


def test_missed_deadlines_use_up_attempts_too(ours: Contract) -> None:
    topic, subscription, dead = dead_letters(ours, ordered=True)
    ours.publish(topic, b"slow", key="a")
    ours.use_up(subscription, 4)
    (received,) = ours.wait_for(subscription)
    ours.deadline(subscription, 1, received)
    assert data(ours.wait_for(dead)) == [b"slow"]


def test_the_later_messages_of_a_key_pass_a_dead_letter(ours: Contract) -> None:
    topic, subscription, dead = dead_letters(ours, ordered=True)
    ours.publish(topic, b"poison", b"next", key="a")
    for _ in range(5):
        received = ours.wait_for(subscription, 2)
        assert data(received) == [b"poison", b"next"]
        ours.acknowledge(subscription, received[1])
        ours.nack(subscription, received[0])
    assert data(ours.wait_for(dead)) == [b"poison"]
    ours.publish(topic, b"last", key="a")
    assert data(ours.wait_for(subscription)) == [b"last"]


@pytest.mark.parametrize("missing", ["publisher", "subscriber"])
def test_without_both_grants_nothing_is_forwarded_and_nothing_lost(ours: Contract, missing: str) -> None:
    topic, subscription, dead = dead_letters(ours, ordered=True, grants=False)
    policy = ours.subscriber.get_subscription(request={"subscription": subscription}).dead_letter_policy
    grants = {
        "publisher": (ours.publisher, policy.dead_letter_topic, "roles/pubsub.publisher"),
        "subscriber": (ours.subscriber, subscription, "roles/pubsub.subscriber"),
    }
    late = grants.pop(missing)
    for grant in grants.values():
        ours.grant(*grant)
    ours.publish(topic, b"poison", key="a")
    assert ours.use_up(subscription, 6) == [1, 2, 3, 4, 5, 6]
    assert ours.pull(dead) == []
    ours.grant(*late)
    ours.use_up(subscription, 1)
    assert data(ours.wait_for(dead)) == [b"poison"]


def test_a_policy_is_stored_and_a_stale_etag_refused(server: Contract) -> None:
    topic = server.topic()
    if server.lacks("IAM"):
        with pytest.raises(exceptions.MethodNotImplemented):
            server.publisher.get_iam_policy(request={"resource": topic})
        return
    before = server.publisher.get_iam_policy(request={"resource": topic})
    server.grant(server.publisher, topic, "roles/pubsub.publisher")
    found = server.publisher.get_iam_policy(request={"resource": topic})
    assert [(each.role, list(each.members)) for each in found.bindings] == [
        ("roles/pubsub.publisher", [SERVICE_AGENT])
    ]
    with pytest.raises(exceptions.Aborted):
        server.publisher.set_iam_policy(request={"resource": topic, "policy": Policy(etag=before.etag)})
    server.publisher.set_iam_policy(request={"resource": topic, "policy": Policy(etag=found.etag)})
    assert not server.publisher.get_iam_policy(request={"resource": topic}).bindings
    permissions = ["pubsub.topics.publish"]
    allowed = server.publisher.test_iam_permissions(request={"resource": topic, "permissions": permissions})
    assert list(allowed.permissions) == permissions
    with pytest.raises(exceptions.NotFound):
        server.publisher.get_iam_policy(request={"resource": server.name("topics")})
