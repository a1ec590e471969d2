"""Topics, subscriptions and messages in delivery. Used in one event loop; independent of gRPC."""

import asyncio
import hashlib
import time
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
from google.iam.v1.policy_pb2 import Policy
from google.pubsub_v1 import types

from erp.embedded.pubsub import SERVICE_AGENT
from erp.embedded.pubsub.journal import Journal, JournalRecord

Topic = types.Topic.pb()
PubsubMessage = types.PubsubMessage.pb()
PublishRequest = types.PublishRequest.pb()
PullResponse = types.PullResponse.pb()
SubscriptionSettings = types.Subscription.pb()

DELETED_TOPIC = "_deleted-topic_"
MAY_PUBLISH = {"roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin"}
MAY_SUBSCRIBE = {"roles/pubsub.subscriber", "roles/pubsub.editor", "roles/pubsub.admin"}
TICKS = 10  # a second; deadlines are kept to a tenth of one

# Kinds of journal records.
TOPIC, TOPIC_GONE, SUBSCRIPTION, SUBSCRIPTION_GONE = b"T", b"t", b"S", b"s"
PUBLISHED, ACKNOWLEDGED, FAILED, POLICY = b"P", b"A", b"F", b"I"
BACKLOG = b"B"  # only in snapshots


class RequestRefused(Exception):
    """The request is answered with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def not_found(name: str) -> RequestRefused:
    """What the service answers for a resource that isn't there."""
    return RequestRefused(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name}).")


class QueueEntry:
    """A message as one subscription sees it."""

    __slots__ = ("failures", "id", "key", "raw")

    def __init__(self, message_id: int, key: str, raw: bytes, failures: int = 0) -> None:
        self.id, self.key, self.raw, self.failures = message_id, key, raw, failures


class Lane:
    """The messages of one ordering key: those waiting, and the run that was handed out last."""

    __slots__ = ("key", "not_before", "open", "queued", "run", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiting: deque[QueueEntry] = deque()
        self.run: list[Lease] = []
        self.open = 0  # unanswered leases of the run
        self.queued = False  # waits in the ready queue, or for its backoff to pass
        self.not_before = 0.0


class StreamConsumer:
    """What one stream can still take (a pull needs none of this)."""

    __slots__ = ("bytes", "messages")

    def __init__(self, messages: int, size: int) -> None:
        """``messages`` and ``size`` (bytes) may be outstanding; 0 or less means any number."""
        self.messages = messages if messages > 0 else 2**62
        self.bytes = size if size > 0 else 2**62


class Lease:
    """A message leased to a client until its deadline."""

    __slots__ = ("ack_id", "bucket", "consumer", "entry", "lane")

    def __init__(
        self, ack_id: str, entry: QueueEntry, lane: Lane | None, consumer: StreamConsumer | None
    ) -> None:
        self.ack_id, self.entry, self.lane, self.consumer = ack_id, entry, lane, consumer
        self.bucket: set[Lease] = set()


class BrokerSubscription:
    """One subscription's backlog and leases."""

    def __init__(self, broker: "Broker", settings: Any) -> None:
        self.settings, self.gone = settings, False
        self.entries: dict[int, QueueEntry] = {}  # everything not acknowledged, in order of publication
        self._broker = broker
        self._ready: deque[QueueEntry | Lane] = deque()
        self._lanes: dict[str, Lane] = {}
        self._leases: dict[str, Lease] = {}
        self._buckets: dict[int, set[Lease]] = {}
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def name(self) -> str:
        """Full name."""
        return str(self.settings.name)

    def enqueue(self, entries: Iterable[QueueEntry]) -> None:
        """Put messages at the end of the backlog."""
        ordered = self.settings.enable_message_ordering
        for entry in entries:
            if ordered and entry.key:
                lane = self._lanes.get(entry.key)
                if lane is None:
                    lane = self._lanes[entry.key] = Lane(entry.key)
                lane.waiting.append(entry)
                self._advance(lane)
            else:
                self._ready.append(entry)
        self.wake()

    def take(
        self, count: int, size: int, seconds: float, consumer: StreamConsumer | None = None
    ) -> list[Lease]:
        """Lease up to ``count`` messages of ``size`` bytes together (but one at least) for ``seconds``.

        Of an ordering key one run is out at a time: the next follows when all of it is acknowledged.
        """
        taken: list[Lease] = []
        if consumer is not None:
            count, size = min(count, consumer.messages), min(size, consumer.bytes)
        bucket = self._bucket(seconds) if self._ready and count > 0 else set()
        while self._ready and len(taken) < count and size > 0:
            item = self._ready[0]
            entry, lane = (item, None) if isinstance(item, QueueEntry) else (item.waiting[0], item)
            if taken and len(entry.raw) > size:
                break
            self._ready.popleft()
            size -= len(entry.raw)
            taken.append(self._lease(entry, lane, consumer, bucket))
            if lane is None:
                continue
            lane.waiting.popleft()
            lane.run, lane.queued = [taken[-1]], False
            while lane.waiting and len(taken) < count and len(lane.waiting[0].raw) <= size:
                entry = lane.waiting.popleft()
                size -= len(entry.raw)
                taken.append(self._lease(entry, lane, consumer, bucket))
                lane.run.append(taken[-1])
            lane.open = len(lane.run)
        return taken

    def acknowledge(self, ack_ids: Iterable[str]) -> None:
        """Done with these. Leases that have ended are passed over, as the service does."""
        done, lanes = array("Q"), set()
        for ack_id in ack_ids:
            lease = self._leases.get(ack_id)
            if lease is None:
                continue
            self._release(lease)
            if self.entries.pop(lease.entry.id, None) is not None:
                done.append(lease.entry.id)
            if lease.lane is not None:
                lanes.add(lease.lane)
        if done:
            self._broker.log(ACKNOWLEDGED, self.name, done.tobytes())
        for lane in lanes:
            self._advance(lane)
        self.wake()

    def modify_deadline(self, ack_ids: Iterable[str], seconds: float) -> None:
        """Extend leases to ``seconds`` from now; 0 gives the messages back (a NACK)."""
        leases = [lease for ack_id in ack_ids if (lease := self._leases.get(ack_id)) is not None]
        if seconds <= 0:
            self._fail(leases)
            return
        bucket = self._bucket(seconds)
        for lease in leases:
            lease.bucket.discard(lease)
            bucket.add(lease)
            lease.bucket = bucket

    async def changed(self, seconds: float) -> None:
        """Return when there may be something to take, at the latest after ``seconds``."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await asyncio.wait_for(waiter, seconds)
        except TimeoutError:
            pass
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def wake(self) -> None:
        """Wake the waiting clients."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def _lease(
        self, entry: QueueEntry, lane: Lane | None, consumer: StreamConsumer | None, bucket: set[Lease]
    ) -> Lease:
        lease = Lease(self._broker.next_ack_id(), entry, lane, consumer)
        self._leases[lease.ack_id] = lease
        bucket.add(lease)
        lease.bucket = bucket
        if consumer is not None:
            consumer.messages -= 1
            consumer.bytes -= len(entry.raw)
        return lease

    def _release(self, lease: Lease) -> None:
        del self._leases[lease.ack_id]
        lease.bucket.discard(lease)
        if lease.consumer is not None:
            lease.consumer.messages += 1
            lease.consumer.bytes += len(lease.entry.raw)
        if lease.lane is not None:
            lease.lane.open -= 1

    def _bucket(self, seconds: float) -> set[Lease]:
        """The leases that end together: one timer for each tenth of a second, not for each lease."""
        loop = asyncio.get_running_loop()
        tick = int((loop.time() + seconds) * TICKS) + 1
        if tick not in self._buckets:
            self._buckets[tick] = set()
            loop.call_at(tick / TICKS, self._expire, tick)
        return self._buckets[tick]

    def _expire(self, tick: int) -> None:
        leases = self._buckets.pop(tick)
        if leases and not self.gone:
            self._fail(sorted(leases, key=lambda lease: lease.entry.id))

    def _fail(self, leases: Iterable[Lease]) -> None:
        """Redeliver refused or expired messages, delay them, or forward them as dead letters."""
        failed: dict[Lane | None, list[Lease]] = {}
        for lease in leases:
            if lease.ack_id in self._leases:  # the same one may be named twice
                self._release(lease)
                lease.entry.failures += 1
                failed.setdefault(lease.lane, []).append(lease)
        counts = array("Q", (lease.entry.id for group in failed.values() for lease in group))
        counting = self.settings.HasField("dead_letter_policy") or self.settings.HasField("retry_policy")
        if counts and counting:
            self._broker.log(FAILED, self.name, counts.tobytes())
        for lane, group in failed.items():
            forwarded = {lease for lease in group if self._forward(lease.entry)}
            again = [lease for lease in group if lease not in forwarded]
            if lane is None:
                for lease in again:
                    self._deliver_later(lease.entry)
                continue
            lane.run = [lease for lease in lane.run if lease not in forwarded]
            if again:
                self._rewind(lane, again)
            self._advance(lane)
        self.wake()

    def _deliver_later(self, entry: QueueEntry) -> None:
        backoff = self._backoff(entry)
        if not backoff:
            self._ready.append(entry)
            return

        def due() -> None:
            self._ready.append(entry)
            self.wake()

        asyncio.get_running_loop().call_later(backoff, due)

    def _rewind(self, lane: Lane, failed: list[Lease]) -> None:
        """Take the run back from the first of ``failed`` on; as documented, acknowledged ones too."""
        first = min(lane.run.index(lease) for lease in failed)
        lane.run, back = lane.run[:first], lane.run[first:]
        for lease in back:
            if lease.ack_id in self._leases:
                self._release(lease)
        lane.waiting.extendleft(lease.entry for lease in reversed(back))
        lane.not_before = asyncio.get_running_loop().time() + self._backoff(back[0].entry)

    def _advance(self, lane: Lane) -> None:
        """Queue the lane's next run if its last one is done with and its backoff has passed."""
        if lane.queued or lane.open:
            return
        lane.run.clear()
        if not lane.waiting:
            self._lanes.pop(lane.key, None)
            return
        lane.queued = True
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._ready.append(lane)
            self.wake()

        if loop.time() < lane.not_before:
            loop.call_at(lane.not_before, due)
        else:
            self._ready.append(lane)

    def _backoff(self, entry: QueueEntry) -> float:
        """Seconds until the next attempt: exponential between the retry policy's bounds, none without one."""
        if not self.settings.HasField("retry_policy") or entry.failures < 1:
            return 0.0
        policy = self.settings.retry_policy
        lowest, highest = (
            bound.seconds + bound.nanos / 1e9 for bound in (policy.minimum_backoff, policy.maximum_backoff)
        )
        return float(min(highest, lowest * 2.0 ** min(entry.failures - 1, 60)))

    def _forward(self, entry: QueueEntry) -> bool:
        """Move a message that used up its attempts to the dead-letter topic; False if it stays here."""
        policy = self.settings.dead_letter_policy
        if entry.id not in self.entries or not policy.dead_letter_topic:
            return False
        if entry.failures < policy.max_delivery_attempts or not self._broker.forwards(self):
            return False
        message = PubsubMessage.FromString(entry.raw)
        published = datetime.fromtimestamp(message.publish_time.seconds, UTC).replace(
            microsecond=message.publish_time.nanos // 1000
        )
        _, project, _, short_name = self.name.split("/")
        message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = str(entry.failures)
        message.attributes["CloudPubSubDeadLetterSourceSubscription"] = short_name
        message.attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = project
        message.attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = published.isoformat(
            timespec="milliseconds"
        )
        self._broker.publish(policy.dead_letter_topic, PublishRequest(messages=[message]))
        del self.entries[entry.id]
        self._broker.log(ACKNOWLEDGED, self.name, array("Q", [entry.id]).tobytes())
        return True


class Broker:
    """All state. Changes are applied and logged in one step; await ``journal.flushed`` before answering."""

    def __init__(self, journal: Journal | None = None, *, service_agent: str = SERVICE_AGENT) -> None:
        """Restore the journal's state; without a journal the state is in memory only."""
        self.topics: dict[str, Any] = {}
        self.subscriptions: dict[str, BrokerSubscription] = {}
        self.policies: dict[str, Any] = {}
        self._attached: dict[str, list[BrokerSubscription]] = {}
        self._last_id = self._last_lease = 0
        self._boot = f"{time.time_ns():x}"  # tells the leases of this run from those before a restart
        self._service_agent = service_agent
        self._journal: Journal | None = None
        if journal is not None:
            for record in journal.replay():
                self._apply(record)
            for subscription in self.subscriptions.values():
                subscription.enqueue(subscription.entries.values())
            # Ids continue after all that were ever assigned, also to messages without a subscription.
            self._last_id = max(self._last_id, time.time_ns() // 1000)
            journal.snapshot = self._snapshot
            self._journal = journal

    def log(self, kind: bytes, name: str, body: bytes = b"") -> None:
        """Append to the journal, if there is one and it isn't just being replayed."""
        if self._journal is not None:
            self._journal.append(JournalRecord(kind, name, body))

    def next_ack_id(self) -> str:
        """A name for a lease."""
        self._last_lease += 1
        return f"{self._boot}-{self._last_lease}"

    def subscription(self, name: str) -> BrokerSubscription:
        """The subscription of that name. Raises ``Refused`` if there is none."""
        found = self.subscriptions.get(name)
        if found is None:
            raise not_found(name)
        return found

    def attached(self, topic: str) -> list[BrokerSubscription]:
        """Subscriptions of a topic. Raises ``Refused`` if there is no such topic."""
        if topic not in self.topics:
            raise not_found(topic)
        return self._attached[topic]

    def put_topic(self, topic: Any) -> None:
        """Add or replace a topic."""
        self.topics[topic.name] = topic
        self._attached.setdefault(topic.name, [])
        self.log(TOPIC, topic.name, topic.SerializeToString())

    def remove_topic(self, name: str) -> None:
        """Remove a topic; its subscriptions keep their backlog. Raises ``Refused`` if there is none."""
        for subscription in self.attached(name):
            subscription.settings.topic = DELETED_TOPIC
        del self.topics[name], self._attached[name]
        self.policies.pop(name, None)
        self.log(TOPIC_GONE, name)

    def put_subscription(self, settings: Any) -> None:
        """Add a subscription, or replace the settings of one."""
        known = self.subscriptions.get(settings.name)
        if known is not None:
            known.settings = settings
        else:
            known = self.subscriptions[settings.name] = BrokerSubscription(self, settings)
            if settings.topic in self._attached:
                self._attached[settings.topic].append(known)
        self.log(SUBSCRIPTION, settings.name, settings.SerializeToString())

    def remove_subscription(self, name: str) -> None:
        """Remove a subscription with its backlog. Raises ``Refused`` if there is none."""
        gone = self.subscription(name)
        del self.subscriptions[name]
        if gone in self._attached.get(gone.settings.topic, ()):
            self._attached[gone.settings.topic].remove(gone)
        self.policies.pop(name, None)
        gone.gone = True
        gone.wake()
        self.log(SUBSCRIPTION_GONE, name)

    def publish(self, topic: str, request: Any) -> list[str]:
        """Deliver the request's messages to the topic's subscriptions; return their ids.

        Without a subscription they are dropped. Raises ``Refused`` if there is no such topic.
        """
        attached = self.attached(topic)
        seconds, nanos = divmod(time.time_ns(), 10**9)
        first = self._last_id + 1
        self._last_id += len(request.messages)
        ids = [str(number) for number in range(first, self._last_id + 1)]
        if not attached:
            return ids
        for message_id, message in zip(ids, request.messages, strict=True):
            message.message_id = message_id
            message.publish_time.seconds, message.publish_time.nanos = seconds, nanos
        self.log(PUBLISHED, topic, request.SerializeToString())
        for subscription, entries in zip(attached, self._store(attached, request.messages), strict=True):
            subscription.enqueue(entries)
        return ids

    def policy(self, resource: str) -> Any:
        """IAM policy of a topic or subscription. Raises ``Refused`` if there is no such resource."""
        if resource not in self.topics and resource not in self.subscriptions:
            raise not_found(resource)
        return self.policies.get(resource) or Policy(etag=b"\x00\x20\x01")

    def put_policy(self, resource: str, policy: Any) -> Any:
        """Replace a policy. Raises ``Refused`` when its etag is given and not the present one."""
        if policy.etag and policy.etag != self.policy(resource).etag:
            raise RequestRefused(grpc.StatusCode.ABORTED, "The policy was changed meanwhile (etag).")
        policy.ClearField("etag")
        policy.etag = hashlib.sha256(policy.SerializeToString(deterministic=True)).digest()[:8]
        self.policies[resource] = policy
        self.log(POLICY, resource, policy.SerializeToString())
        return policy

    def forwards(self, subscription: BrokerSubscription) -> bool:
        """Whether the service agent may forward dead letters; it needs both grants."""
        topic = subscription.settings.dead_letter_policy.dead_letter_topic
        return (
            topic in self.topics
            and self._granted(topic, MAY_PUBLISH)
            and self._granted(subscription.name, MAY_SUBSCRIBE)
        )

    def _granted(self, resource: str, roles: set[str]) -> bool:
        policy = self.policies.get(resource)
        return policy is not None and any(
            binding.role in roles and self._service_agent in binding.members
            for binding in policy.bindings
            if not binding.HasField("condition")  # conditions aren't evaluated, so they grant nothing
        )

    def _store(
        self, subscriptions: list[BrokerSubscription], messages: Iterable[Any]
    ) -> list[list[QueueEntry]]:
        raws = [(int(each.message_id), each.ordering_key, each.SerializeToString()) for each in messages]
        stored = []
        for subscription in subscriptions:
            entries = [QueueEntry(*raw) for raw in raws]
            subscription.entries.update((entry.id, entry) for entry in entries)
            stored.append(entries)
        return stored

    def _apply(self, record: JournalRecord) -> None:
        """Replay one record. Messages only gather in ``entries``; what is left at the end is enqueued."""
        kind, name, body = record
        if kind == TOPIC:
            self.put_topic(Topic.FromString(body))
        elif kind == TOPIC_GONE:
            self.remove_topic(name)
        elif kind == SUBSCRIPTION:
            self.put_subscription(SubscriptionSettings.FromString(body))
        elif kind == SUBSCRIPTION_GONE:
            self.remove_subscription(name)
        elif kind == POLICY:
            self.policies[name] = Policy.FromString(body)
        elif kind == PUBLISHED:
            messages = PublishRequest.FromString(body).messages
            self._store(self._attached[name], messages)
            self._last_id = max(self._last_id, int(messages[-1].message_id))
        elif kind == BACKLOG:
            received = PullResponse.FromString(body).received_messages
            (entries,) = self._store([self.subscriptions[name]], (item.message for item in received))
            for entry, item in zip(entries, received, strict=True):
                entry.failures = item.delivery_attempt
        elif kind in (ACKNOWLEDGED, FAILED):
            entries_of = self.subscriptions[name].entries
            ids = array("Q")
            ids.frombytes(body)
            for message_id in ids:
                if kind == ACKNOWLEDGED:
                    entries_of.pop(message_id, None)
                elif message_id in entries_of:
                    entries_of[message_id].failures += 1

    def _snapshot(self) -> Iterator[JournalRecord]:
        """Records that rebuild the present state. The copy is made now, the rest when it is iterated."""
        records = [
            JournalRecord(TOPIC, name, topic.SerializeToString()) for name, topic in self.topics.items()
        ]
        backlogs = []
        for name, subscription in self.subscriptions.items():
            records.append(JournalRecord(SUBSCRIPTION, name, subscription.settings.SerializeToString()))
            backlogs.append((name, [(entry.raw, entry.failures) for entry in subscription.entries.values()]))
        for name, policy in self.policies.items():
            records.append(JournalRecord(POLICY, name, policy.SerializeToString()))

        def rest() -> Iterator[JournalRecord]:
            yield from records
            for name, backlog in backlogs:
                for at in range(0, len(backlog), 500):
                    response = PullResponse()
                    for raw, failures in backlog[at : at + 500]:
                        item = response.received_messages.add(delivery_attempt=failures)
                        item.message.MergeFromString(raw)
                    yield JournalRecord(BACKLOG, name, response.SerializeToString())

        return rest()
