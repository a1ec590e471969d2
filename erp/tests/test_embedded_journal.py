"""The embedded Pub/Sub server stores what it has acknowledged, and does not acknowledge what it cannot store."""

import resource
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from google.api_core import exceptions

from erp.embedded.process import CannotStart
from erp.embedded.testing import PubSub
from erp.tests.test_embedded_pubsub import Contract, data, dead_letters, until

pytestmark = pytest.mark.slow


@pytest.fixture(params=[[], ["--no-fsync"]], ids=["fsync", "no fsync"])
def options(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


def contract(server: PubSub, project: str) -> Contract:
    """Clients of a server that takes up the names of an earlier one."""
    made = Contract(server.address, {})
    made.project = f"projects/{project}"
    return made


def test_a_killed_server_loses_nothing_that_it_answered(tmp_path: Path, options: list[str]) -> None:
    with PubSub(tmp_path, *options) as server:
        clients = contract(server, "kept")
        topic, dead = clients.topic(labels={"a": "b"}), clients.topic()
        gone_topic = clients.topic()
        policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
        subscription = clients.subscription(topic, enable_message_ordering=True, dead_letter_policy=policy)
        plain, gone = clients.subscription(topic), clients.subscription(gone_topic)
        clients.grant(clients.publisher, dead, "roles/pubsub.publisher")
        ids = clients.publish(topic, b"1", b"2", b"3", key="a", kept="yes")
        clients.publish(topic, b"4", key="b")
        first, second, _ = (each for each in clients.pull(subscription) if each.message.ordering_key == "a")
        clients.acknowledge(subscription, first)
        clients.acknowledge(plain, *clients.wait_for(plain, 4))
        clients.nack(subscription, second)
        clients.publisher.delete_topic(request={"topic": gone_topic})
        server.end(signal.SIGKILL)
    with PubSub(tmp_path, *options) as server:
        clients = contract(server, "kept")
        assert clients.publisher.get_topic(request={"topic": topic}).labels == {"a": "b"}
        assert clients.publisher.get_iam_policy(request={"resource": dead}).bindings
        with pytest.raises(exceptions.NotFound):
            clients.publish(gone_topic, b"5")
        found = clients.subscriber.get_subscription(request={"subscription": gone})
        assert found.topic == "_deleted-topic_"
        received = {each.message.data: each for each in clients.wait_for(subscription, 3)}
        assert list(received) == [b"2", b"3", b"4"]
        assert [each.delivery_attempt for each in received.values()] == [2, 1, 1]
        assert received[b"2"].message.message_id == ids[1]
        assert dict(received[b"2"].message.attributes) == {"kept": "yes"}
        assert clients.pull(plain) == []
        (new_id,) = clients.publish(topic, b"6", key="a")
        assert int(new_id) > int(ids[-1])


@pytest.mark.parametrize("compact", ["3000", "1000000"], ids=["always compacting", "never compacting"])
def test_a_kill_under_load_neither_loses_a_message_nor_brings_one_back(tmp_path: Path, compact: str) -> None:
    published: set[bytes] = set()
    asked: set[bytes] = set()  # to be acknowledged; the answer may have been lost with the server
    acknowledged: set[bytes] = set()
    with PubSub(tmp_path, "--compact-bytes", compact) as server:
        clients = contract(server, "kept")
        topic = clients.topic()
        subscription = clients.subscription(topic, ack_deadline_seconds=60)

        def publish(worker: int) -> None:
            with suppress(exceptions.GoogleAPIError):  # at last the server is gone
                for number in range(10_000):
                    sent = b"%d-%d" % (worker, number)
                    clients.publish(topic, sent)
                    published.add(sent)

        def consume() -> None:
            with suppress(exceptions.GoogleAPIError):
                while True:
                    if received := clients.pull(subscription, 3):
                        asked.update(data(received))
                        clients.acknowledge(subscription, *received, retry=None)
                        acknowledged.update(data(received))

        workers = [threading.Thread(target=publish, args=(number,)) for number in range(6)]
        workers += [threading.Thread(target=consume) for _ in range(2)]
        for worker in workers:
            worker.start()
        until(lambda: len(published) > 300)
        server.end(signal.SIGKILL)
        for worker in workers:
            worker.join()
    with PubSub(tmp_path) as server:
        due = published - asked
        clients = contract(server, "kept")
        received = data(clients.wait_for(subscription, len(due))) + data(clients.pull(subscription))
        assert due <= set(received)
        assert not acknowledged & set(received)
        assert len(received) == len(set(received))


def test_dead_letters_survive_and_leave_their_subscription_for_good(tmp_path: Path) -> None:
    with PubSub(tmp_path) as server:
        clients = contract(server, "kept")
        topic, subscription, dead = dead_letters(clients, ordered=True)
        clients.publish(topic, b"poison", key="a")
        clients.use_up(subscription)
        server.end(signal.SIGKILL)
    with PubSub(tmp_path) as server:
        clients = contract(server, "kept")
        assert data(clients.wait_for(dead)) == [b"poison"]
        assert clients.pull(subscription) == []


def test_a_compacted_journal_holds_the_same(tmp_path: Path) -> None:
    with PubSub(tmp_path, "--compact-bytes", "20000") as server:
        clients = contract(server, "kept")
        topic, subscription, _ = dead_letters(clients, ordered=True)
        clients.publish(topic, b"1", b"2", b"3", key="a", kept="yes")
        received = clients.wait_for(subscription, 3)
        clients.nack(subscription, received[0])
        busy = clients.topic()
        drained = clients.subscription(busy)

        def churn() -> None:
            clients.publish(busy, *[b"x" * 100] * 50)
            clients.acknowledge(drained, *clients.wait_for(drained, 50))

        for _ in range(10):
            churn()
        until(lambda: list(tmp_path.glob("*.snapshot")))
        churn()
        clients.publish(topic, b"4", key="a")
        server.end(signal.SIGKILL)
    size = sum(path.stat().st_size for path in tmp_path.glob("0*"))
    assert size < 50_000  # of some 80,000 that were written
    with PubSub(tmp_path) as server:
        clients = contract(server, "kept")
        received = clients.wait_for(subscription, 4)
        assert data(received) == [b"1", b"2", b"3", b"4"]
        assert [each.delivery_attempt for each in received] == [2, 1, 1, 1]
        assert dict(received[0].message.attributes) == {"kept": "yes"}
        assert clients.pull(drained) == []


def test_a_torn_last_record_is_cut_off(tmp_path: Path) -> None:
    with PubSub(tmp_path) as server:
        clients = contract(server, "kept")
        topic = clients.topic()
        subscription = clients.subscription(topic)
        clients.publish(topic, b"whole")
        server.end(signal.SIGKILL)
    (log,) = tmp_path.glob("*.log")
    whole = log.read_bytes()
    log.write_bytes(whole + whole[-40:])
    with PubSub(tmp_path) as server:
        clients = contract(server, "kept")
        clients.publish(topic, b"after")
        _, errors = server.end(signal.SIGKILL)
        assert "torn" in errors
    with PubSub(tmp_path) as server:
        assert data(contract(server, "kept").wait_for(subscription, 2)) == [b"whole", b"after"]


def test_a_damaged_log_that_is_not_the_last_needs_a_person(tmp_path: Path) -> None:
    with PubSub(tmp_path) as server:
        contract(server, "kept").topic()
    (log,) = tmp_path.glob("*.log")
    content = bytearray(log.read_bytes())
    content[20] ^= 1
    log.write_bytes(content)
    log.with_name("000000000001.log").touch()
    with pytest.raises(CannotStart, match="damaged after byte 0"):
        PubSub(tmp_path)


def test_two_servers_never_share_a_journal(tmp_path: Path) -> None:
    with PubSub(tmp_path), pytest.raises(CannotStart, match="another server uses the journal"):
        PubSub(tmp_path)


def test_a_server_that_cannot_write_stops_without_answering(tmp_path: Path, options: list[str]) -> None:
    with PubSub(tmp_path, *options) as server:
        clients = contract(server, "kept")
        topic = clients.topic()
        subscription = clients.subscription(topic)
        clients.publish(topic, b"kept")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (2000, 2000))
        with pytest.raises(exceptions.ServiceUnavailable):
            clients.publish(topic, b"x" * 4000)
        code, errors = server.wait()
        assert code == 1
        assert "the journal can't be written" in errors
    with PubSub(tmp_path, *options) as server:
        assert data(contract(server, "kept").wait_for(subscription)) == [b"kept"]
