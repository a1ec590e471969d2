"""The gRPC interface of the broker: validation of requests, and responses."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2
from google.iam.v1.policy_pb2 import Policy
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types
from pydantic import ValidationError

from erp.embedded.pubsub.broker import (
    DELETED_TOPIC,
    Broker,
    BrokerSubscription,
    Lease,
    RequestRefused,
    StreamConsumer,
    not_found,
)
from erp.embedded.pubsub.faults import Faults, Plan, refusal
from erp.embedded.pubsub.journal import Journal
from erp.errors import snake

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NAME = re.compile(r"projects/[^/]+/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")

# https://cloud.google.com/pubsub/quotas
MAX_MESSAGES, MAX_REQUEST_BYTES, MAX_ACK_BYTES = 1000, 10_000_000, 524_288
MAX_ATTRIBUTES, MAX_ATTRIBUTE_KEY_BYTES, MAX_ATTRIBUTE_VALUE_BYTES, MAX_KEY_BYTES = 100, 256, 1024, 1024
MINUTE, DAY = 60, 86_400
ANSWER_BYTES = 3_500_000  # a client with gRPC's default limit of 4 MB must be able to read an answer
PULL_SECONDS = 10.0  # how long a pull without messages waits at most

MUTABLE_OF_TOPIC = {
    "labels", "message_storage_policy", "kms_key_name", "schema_settings", "message_retention_duration",
}  # fmt: skip
MUTABLE_OF_SUBSCRIPTION = {
    "ack_deadline_seconds", "retain_acked_messages", "message_retention_duration", "labels",
    "expiration_policy", "dead_letter_policy", "retry_policy", "push_config", "enable_exactly_once_delivery",
}  # fmt: skip
NOT_OFFERED_OF_TOPIC = ("ingestion_data_source_settings", "message_transforms", "schema_settings")
NOT_OFFERED_OF_SUBSCRIPTION = (
    "bigquery_config", "cloud_storage_config", "bigtable_config", "filter", "enable_exactly_once_delivery",
    "message_transforms",
)  # fmt: skip

# Unary methods by service, with the type of the request; the handler has the method's name in snake case.
METHODS = {
    "google.pubsub.v1.Publisher": {
        "CreateTopic": types.Topic.pb(),
        "UpdateTopic": types.UpdateTopicRequest.pb(),
        "GetTopic": types.GetTopicRequest.pb(),
        "ListTopics": types.ListTopicsRequest.pb(),
        "ListTopicSubscriptions": types.ListTopicSubscriptionsRequest.pb(),
        "DeleteTopic": types.DeleteTopicRequest.pb(),
        "Publish": types.PublishRequest.pb(),
    },
    "google.pubsub.v1.Subscriber": {
        "CreateSubscription": types.Subscription.pb(),
        "GetSubscription": types.GetSubscriptionRequest.pb(),
        "UpdateSubscription": types.UpdateSubscriptionRequest.pb(),
        "ListSubscriptions": types.ListSubscriptionsRequest.pb(),
        "DeleteSubscription": types.DeleteSubscriptionRequest.pb(),
        "Pull": types.PullRequest.pb(),
        "Acknowledge": types.AcknowledgeRequest.pb(),
        "ModifyAckDeadline": types.ModifyAckDeadlineRequest.pb(),
    },
    "google.iam.v1.IAMPolicy": {
        "GetIamPolicy": iam_policy_pb2.GetIamPolicyRequest,
        "SetIamPolicy": iam_policy_pb2.SetIamPolicyRequest,
        "TestIamPermissions": iam_policy_pb2.TestIamPermissionsRequest,
    },
}


class PubSubServer:
    """Checks requests, changes the broker, waits for the journal, answers."""

    def __init__(self, broker: Broker, journal: Journal | None, faults: Faults) -> None:
        self._broker, self._journal, self._faults = broker, journal, faults

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """What a ``grpc.aio`` server needs to serve everything here."""
        services = {
            name: {method: self._unary(method, request_type) for method, request_type in methods.items()}
            for name, methods in METHODS.items()
        }
        services["google.pubsub.v1.Subscriber"]["StreamingPull"] = grpc.stream_stream_rpc_method_handler(
            self._streaming_pull,
            types.StreamingPullRequest.pb().FromString,
            types.StreamingPullResponse.pb().SerializeToString,
        )
        services["erp.embedded.Faults"] = {
            "Set": grpc.unary_unary_rpc_method_handler(self._set_faults),
            "Get": grpc.unary_unary_rpc_method_handler(self._get_faults),
        }
        return [grpc.method_handlers_generic_handler(name, handlers) for name, handlers in services.items()]

    async def create_topic(self, request: Any, context: Any) -> Any:
        """CreateTopic."""
        _check_name(request.name, "topics")
        if request.name in self._broker.topics:
            raise _exists(request.name)
        _check_topic(request)
        request.state = types.Topic.State.ACTIVE
        self._broker.put_topic(request)
        await self._flushed()
        return request

    async def update_topic(self, request: Any, context: Any) -> Any:
        """UpdateTopic."""
        topic = _merged(self._topic(request.topic.name), request.topic, request.update_mask, MUTABLE_OF_TOPIC)
        _check_topic(topic)
        self._broker.put_topic(topic)
        await self._flushed()
        return topic

    async def get_topic(self, request: Any, context: Any) -> Any:
        """GetTopic."""
        return self._topic(request.topic)

    async def list_topics(self, request: Any, context: Any) -> Any:
        """ListTopics."""
        names, token = _page(self._broker.topics, request, prefix=f"{request.project}/")
        topics = [self._broker.topics[name] for name in names]
        return types.ListTopicsResponse.pb()(topics=topics, next_page_token=token)

    async def list_topic_subscriptions(self, request: Any, context: Any) -> Any:
        """ListTopicSubscriptions."""
        attached = self._broker.attached(self._topic(request.topic).name)
        names, token = _page((each.name for each in attached), request)
        return types.ListTopicSubscriptionsResponse.pb()(subscriptions=names, next_page_token=token)

    async def delete_topic(self, request: Any, context: Any) -> Any:
        """DeleteTopic."""
        self._broker.remove_topic(self._topic(request.topic).name)
        await self._flushed()
        return Empty()

    async def publish(self, request: Any, context: Any) -> Any:
        """Publish."""
        if request.topic not in self._broker.topics:
            _check_name(request.topic, "topics")
            raise not_found(request.topic)
        _check_publish(request)
        ids = self._broker.publish(request.topic, request)
        await self._flushed()
        return types.PublishResponse.pb()(message_ids=ids)

    async def create_subscription(self, request: Any, context: Any) -> Any:
        """CreateSubscription."""
        _check_name(request.name, "subscriptions")
        self._topic(request.topic)
        if request.name in self._broker.subscriptions:
            raise _exists(request.name)
        self._complete(request)
        request.state = types.Subscription.State.ACTIVE
        self._broker.put_subscription(request)
        await self._flushed()
        return self._shown(request)

    async def get_subscription(self, request: Any, context: Any) -> Any:
        """GetSubscription."""
        return self._shown(self._subscription(request.subscription).settings)

    async def update_subscription(self, request: Any, context: Any) -> Any:
        """UpdateSubscription."""
        known = self._subscription(request.subscription.name).settings
        settings = _merged(known, request.subscription, request.update_mask, MUTABLE_OF_SUBSCRIPTION)
        self._complete(settings)
        self._broker.put_subscription(settings)
        await self._flushed()
        return self._shown(settings)

    async def list_subscriptions(self, request: Any, context: Any) -> Any:
        """ListSubscriptions."""
        names, token = _page(self._broker.subscriptions, request, prefix=f"{request.project}/")
        found = [self._shown(self._broker.subscriptions[name].settings) for name in names]
        return types.ListSubscriptionsResponse.pb()(subscriptions=found, next_page_token=token)

    async def delete_subscription(self, request: Any, context: Any) -> Any:
        """DeleteSubscription."""
        self._broker.remove_subscription(self._subscription(request.subscription).name)
        await self._flushed()
        return Empty()

    async def pull(self, request: Any, context: Any) -> Any:
        """Pull: waits a while for a first message unless ``return_immediately`` is set."""
        subscription = self._subscription(request.subscription)
        if request.max_messages < 1:
            raise RequestRefused(INVALID, "max_messages must be at least 1.")
        loop = asyncio.get_running_loop()
        remaining = context.time_remaining()
        end = loop.time() + (PULL_SECONDS if remaining is None else min(PULL_SECONDS, remaining - 0.5))
        deadline = subscription.settings.ack_deadline_seconds
        count = min(request.max_messages, MAX_MESSAGES)
        leases = subscription.take(count, ANSWER_BYTES, deadline)
        while not leases and not request.return_immediately and (wait := end - loop.time()) > 0:
            await subscription.changed(wait)
            if subscription.gone:
                raise not_found(request.subscription)
            leases = subscription.take(count, ANSWER_BYTES, deadline)
        return _filled(types.PullResponse.pb()(), subscription, leases)

    async def acknowledge(self, request: Any, context: Any) -> Any:
        """Acknowledge."""
        _check_acks(request, request.ack_ids)
        self._subscription(request.subscription).acknowledge(request.ack_ids)
        await self._flushed()
        return Empty()

    async def modify_ack_deadline(self, request: Any, context: Any) -> Any:
        """ModifyAckDeadline; 0 seconds is a NACK."""
        _check_acks(request, request.ack_ids)
        _check_deadline(request.ack_deadline_seconds)
        subscription = self._subscription(request.subscription)
        subscription.modify_deadline(request.ack_ids, request.ack_deadline_seconds)
        await self._flushed()
        return Empty()

    async def streaming_pull(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """StreamingPull: messages as they come, within the client's flow control, until it is done."""
        first = await anext(requests, None)
        if first is None:
            raise RequestRefused(INVALID, "The first request must name the subscription.")
        subscription = self._subscription(first.subscription)
        if not 10 <= first.stream_ack_deadline_seconds <= 600:
            raise RequestRefused(INVALID, "stream_ack_deadline_seconds must be from 10 to 600.")
        consumer = StreamConsumer(first.max_outstanding_messages, first.max_outstanding_bytes)
        seconds = first.stream_ack_deadline_seconds
        self._take_answers(subscription, first)

        async def read() -> None:
            nonlocal seconds
            try:
                async for request in requests:
                    _check_later(request)
                    seconds = request.stream_ack_deadline_seconds or seconds
                    self._take_answers(subscription, request)
            finally:
                subscription.wake()

        reading = asyncio.create_task(read())
        try:
            while not reading.done():
                if subscription.gone:
                    raise not_found(first.subscription)
                leases = subscription.take(MAX_MESSAGES, ANSWER_BYTES, seconds, consumer)
                if not leases:
                    await subscription.changed(60)
                    continue
                response = types.StreamingPullResponse.pb()()
                ordered = subscription.settings.enable_message_ordering
                response.subscription_properties.message_ordering_enabled = ordered
                yield _filled(response, subscription, leases)
            reading.result()
        finally:
            reading.cancel()

    @staticmethod
    def _take_answers(subscription: BrokerSubscription, request: Any) -> None:
        if len(request.modify_deadline_seconds) != len(request.modify_deadline_ack_ids):
            raise RequestRefused(
                INVALID, "modify_deadline_seconds and modify_deadline_ack_ids differ in length."
            )
        if request.ack_ids:
            subscription.acknowledge(request.ack_ids)
        by_seconds: dict[int, list[str]] = {}
        for ack_id, seconds in zip(
            request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True
        ):
            _check_deadline(seconds)
            by_seconds.setdefault(seconds, []).append(ack_id)
        for seconds, ack_ids in by_seconds.items():
            subscription.modify_deadline(ack_ids, seconds)

    async def get_iam_policy(self, request: Any, context: Any) -> Any:
        """GetIamPolicy."""
        return self._broker.policy(request.resource)

    async def set_iam_policy(self, request: Any, context: Any) -> Any:
        """SetIamPolicy: replaces the whole policy; a stale etag is ABORTED."""
        self._broker.policy(request.resource)
        policy = Policy()
        policy.CopyFrom(request.policy)
        policy = self._broker.put_policy(request.resource, policy)
        await self._flushed()
        return policy

    async def test_iam_permissions(self, request: Any, context: Any) -> Any:
        """TestIamPermissions: every client has all permissions."""
        self._broker.policy(request.resource)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions)

    def _unary(self, method: str, request_type: Any) -> Any:
        carry_out: Callable[[Any, Any], Awaitable[Any]] = getattr(self, snake(method))
        faults = self._faults

        async def call(request: Any, context: Any) -> Any:
            try:
                lost = await faults.strike(method, context, request) if faults.active else None
                response = await carry_out(request, context)
                if lost is not None:
                    raise refusal(lost)
                return response
            except RequestRefused as refused:
                await context.abort(refused.code, refused.detail)
            except OSError as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"The journal can't be written: {error}")

        return grpc.unary_unary_rpc_method_handler(
            call, request_type.FromString, lambda response: response.SerializeToString()
        )

    async def _streaming_pull(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            lost = await self._strike_stream(context)
            async for response in self.streaming_pull(requests):
                if lost is not None:
                    raise refusal(lost)
                yield response
                lost = await self._strike_stream(context)
        except RequestRefused as refused:
            await context.abort(refused.code, refused.detail)

    async def _strike_stream(self, context: Any) -> Any:
        return await self._faults.strike("StreamingPull", context) if self._faults.active else None

    async def _set_faults(self, request: bytes, context: Any) -> bytes:
        try:
            self._faults.set(Plan.model_validate_json(request))
        except ValidationError as error:
            await context.abort(INVALID, str(error))
        return await self._get_faults(b"", context)

    async def _get_faults(self, _: bytes, __: Any) -> bytes:
        return json.dumps(self._faults.state()).encode()

    async def _flushed(self) -> None:
        if self._journal is not None:
            await self._journal.flushed()

    def _topic(self, name: str) -> Any:
        _check_name(name, "topics")
        if name not in self._broker.topics:
            raise not_found(name)
        return self._broker.topics[name]

    def _subscription(self, name: str) -> BrokerSubscription:
        found = self._broker.subscriptions.get(name)
        if found is None:
            _check_name(name, "subscriptions")
            raise not_found(name)
        return found

    def _complete(self, settings: Any) -> None:
        """Fill in the service's defaults and check what is left."""
        for field in NOT_OFFERED_OF_SUBSCRIPTION:
            _refuse_if_set(settings, field)
        if settings.push_config.push_endpoint:
            raise RequestRefused(grpc.StatusCode.UNIMPLEMENTED, "push_config is not offered here.")
        settings.ack_deadline_seconds = settings.ack_deadline_seconds or 10
        if not 10 <= settings.ack_deadline_seconds <= 600:
            raise RequestRefused(INVALID, "ack_deadline_seconds must be from 10 to 600.")
        if not settings.HasField("message_retention_duration"):
            settings.message_retention_duration.seconds = 7 * DAY
        _check_duration(settings, "message_retention_duration", 10 * MINUTE, 31 * DAY)
        if not settings.HasField("expiration_policy"):
            settings.expiration_policy.ttl.seconds = 31 * DAY
        _check_duration(settings.expiration_policy, "ttl", DAY, 2**62)
        if settings.HasField("dead_letter_policy"):
            policy = settings.dead_letter_policy
            self._topic(policy.dead_letter_topic)
            policy.max_delivery_attempts = policy.max_delivery_attempts or 5
            if not 5 <= policy.max_delivery_attempts <= 100:
                raise RequestRefused(INVALID, "max_delivery_attempts must be from 5 to 100.")
        if settings.HasField("retry_policy"):
            policy = settings.retry_policy
            for field, default in (("minimum_backoff", 10), ("maximum_backoff", 600)):
                if not policy.HasField(field):
                    getattr(policy, field).seconds = default
                _check_duration(policy, field, 0, 600)
            if _seconds(policy.minimum_backoff) > _seconds(policy.maximum_backoff):
                raise RequestRefused(INVALID, "minimum_backoff must not exceed maximum_backoff.")

    def _shown(self, settings: Any) -> Any:
        """A subscription with what follows from its topic."""
        if settings.topic == DELETED_TOPIC:
            return settings
        topic = self._broker.topics[settings.topic]
        if not topic.HasField("message_retention_duration"):
            return settings
        shown = type(settings)()
        shown.CopyFrom(settings)
        shown.topic_message_retention_duration.CopyFrom(topic.message_retention_duration)
        return shown


def _check_name(name: str, collection: str) -> None:
    found = NAME.fullmatch(name)
    if found is None or found[1] != collection:
        raise RequestRefused(INVALID, f"Invalid [{collection}] name: (name={name}).")


def _exists(name: str) -> RequestRefused:
    detail = f"Resource already exists in the project (resource={name})."
    return RequestRefused(grpc.StatusCode.ALREADY_EXISTS, detail)


def _refuse_if_set(message: Any, field: str) -> None:
    if any(descriptor.name == field for descriptor, _ in message.ListFields()):
        raise RequestRefused(grpc.StatusCode.UNIMPLEMENTED, f"{field} is not offered here.")


def _seconds(duration: Any) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


def _check_duration(message: Any, field: str, lowest: float, highest: float) -> None:
    if message.HasField(field) and not lowest <= _seconds(getattr(message, field)) <= highest:
        raise RequestRefused(INVALID, f"{field} must be from {lowest} to {highest} seconds.")


def _check_deadline(seconds: int) -> None:
    if not 0 <= seconds <= 600:
        raise RequestRefused(INVALID, "An ack deadline must be from 0 to 600 seconds.")


def _check_later(request: Any) -> None:
    if request.subscription or request.max_outstanding_messages or request.max_outstanding_bytes:
        raise RequestRefused(INVALID, "Subscription and flow control belong to the first request.")


def _check_acks(request: Any, ack_ids: Any) -> None:
    if not ack_ids:
        raise RequestRefused(INVALID, "No ack ids specified.")
    if request.ByteSize() > MAX_ACK_BYTES:
        raise RequestRefused(INVALID, f"Request payload size exceeds the limit: {MAX_ACK_BYTES} bytes.")


def _check_topic(topic: Any) -> None:
    for field in NOT_OFFERED_OF_TOPIC:
        _refuse_if_set(topic, field)
    _check_duration(topic, "message_retention_duration", 10 * MINUTE, 31 * DAY)


def _check_publish(request: Any) -> None:
    messages = request.messages
    count = len(messages)
    if not count:
        raise RequestRefused(INVALID, "The request contains no messages.")
    _check_at_most(count, MAX_MESSAGES, "message_count")
    _check_at_most(request.ByteSize(), MAX_REQUEST_BYTES, "request_size")
    key = messages[0].ordering_key
    _check_at_most(len(key.encode()), MAX_KEY_BYTES, "ordering_key size")
    for message in messages:
        if message.ordering_key != key:
            raise RequestRefused(
                INVALID,
                "In a single publish request, all messages must have no ordering key or they must all have"
                " the same ordering key.",
            )
        attributes = message.attributes
        if not attributes:
            if not message.data:
                raise RequestRefused(
                    INVALID, "Some messages in the publish request contain neither data nor attributes."
                )
            continue
        _check_at_most(len(attributes), MAX_ATTRIBUTES, "number of attributes")
        for name in attributes:
            if not name or name.startswith("goog"):
                raise RequestRefused(
                    INVALID, f"Attribute keys must not be empty nor begin with goog: {name!r}."
                )
            if len(name) > MAX_ATTRIBUTE_KEY_BYTES // 4:  # of at most 4 bytes a character
                _check_at_most(len(name.encode()), MAX_ATTRIBUTE_KEY_BYTES, "attribute key size")
        if message.ByteSize() > MAX_ATTRIBUTE_VALUE_BYTES:
            for value in attributes.values():
                _check_at_most(len(value.encode()), MAX_ATTRIBUTE_VALUE_BYTES, "attribute value size")


def _check_at_most(value: int, highest: int, what: str) -> None:
    if value > highest:
        raise RequestRefused(
            INVALID,
            f"The value for {what} is too large. You passed {value} in the request, but the maximum value is"
            f" {highest}.",
        )


def _merged(known: Any, given: Any, mask: Any, mutable: set[str]) -> Any:
    """A copy of ``known`` with the masked fields of ``given``."""
    if not mask.paths:
        raise RequestRefused(INVALID, "The update_mask in the request must be set and not empty.")
    for path in mask.paths:
        if path.partition(".")[0] not in mutable:
            raise RequestRefused(
                INVALID, f"Invalid update_mask provided in the request: {path} can't be changed."
            )
    merged = type(known)()
    merged.CopyFrom(known)
    try:
        mask.MergeMessage(given, merged, replace_message_field=True, replace_repeated_field=True)
    except ValueError as error:
        raise RequestRefused(INVALID, f"Invalid update_mask provided in the request: {error}") from None
    return merged


def _page(names: Any, request: Any, prefix: str = "") -> tuple[list[str], str]:
    """The names after the page token in order, and the token of the next page."""
    size = request.page_size or 1000
    if size < 0:
        raise RequestRefused(INVALID, "page_size must not be negative.")
    found = sorted(name for name in names if name.startswith(prefix) and name > request.page_token)
    return found[:size], found[size - 1] if len(found) > size else ""


def _filled(response: Any, subscription: BrokerSubscription, leases: list[Lease]) -> Any:
    counted = subscription.settings.HasField("dead_letter_policy")
    add = response.received_messages.add
    for lease in leases:
        received = add(ack_id=lease.ack_id)
        received.message.MergeFromString(lease.entry.raw)
        if counted:
            received.delivery_attempt = lease.entry.failures + 1
    return response
