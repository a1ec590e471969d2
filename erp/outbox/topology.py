"""Topics, subscriptions and grants: compare, align, refuse what loses events (core §3, operations §4)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import field_mask_pb2
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from erp.outbox import endpoint

DEADLINE_SECONDS: Final = 10.0
# A process trusts what it saw for so long; the hourly check and the answer NOT_FOUND look again.
TRUST_SECONDS: Final = 600.0
WEEK: Final = timedelta(days=7)
PUBLISH_ROLE: Final = "roles/pubsub.publisher"
SUBSCRIBE_ROLE: Final = "roles/pubsub.subscriber"


class Unreachable(Exception):
    """Pub/Sub, or the permission to read it, is missing."""


class Lossy(Exception):
    """Events could be lost on this topology."""


@dataclass(frozen=True)
class Difference:
    """One difference between a resource and its configuration.

    ``lossy``: events can be lost because of it. ``repair``: the function that corrects it, None if it must be recreated
    by hand. ``checked`` is False if the server could not report it. ``remedy``: what operators must do before
    anything is created; empty if nothing.
    """

    resource: str
    what: str
    found: str
    wanted: str
    lossy: bool = False
    checked: bool = True
    repair: Callable[[], object] | None = None
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "resource": self.resource,
            "what": self.what,
            "found": self.found,
            "wanted": self.wanted,
            "lossy": self.lossy,
            "checked": self.checked,
            "repairable": self.repair is not None,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        if not self.checked:
            return f"{self.resource}: {self.what} can't be checked here ({self.found})"
        words = f"{self.resource}: {self.what} is {self.found}, must be {self.wanted}"
        return f"{words} – {self.remedy}" if self.remedy else words


@contextmanager
def clients(timeout: float = DEADLINE_SECONDS) -> Iterator["Clients"]:
    """Open the clients for one check of Pub/Sub. Raises Unreachable."""
    channel = None
    try:
        channel = endpoint.channel()
        yield Clients(channel, timeout)
    except (api.GoogleAPICallError, api.RetryError, GoogleAuthError, OSError) as error:
        code = getattr(error, "grpc_status_code", None)
        raise Unreachable(f"{code.name if code else type(error).__name__}: {error}") from None
    finally:
        if channel is not None:
            channel.close()


class Clients:
    """The administrative calls, each with one deadline and no hidden retry."""

    def __init__(self, channel: Any, timeout: float) -> None:
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._options: dict[str, Any] = {"retry": None, "timeout": timeout}

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        """Call a method with the deadline."""
        return method(request=request, **self._options)

    def find(self, method: Callable[..., Any], request: Any) -> Any:
        """The same; None when the resource isn't there."""
        try:
            return self.call(method, request)
        except api.NotFound:
            return None


def service_agent() -> str:
    """Pub/Sub's own account, which forwards dead letters; "" while the project's number isn't configured."""
    number = settings.PUBSUB_PROJECT_NUMBER
    # Servers of one machine have no projects with numbers, but keep the same policies.
    if not number and settings.PUBSUB_EMULATOR_HOST:
        number = "1"
    return f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com" if number else ""


def topics() -> tuple[types.Topic, types.Topic]:
    """The topic of events and the dead-letter topic, as wanted."""
    region = settings.PUBSUB_REGION
    storage = types.MessageStoragePolicy(allowed_persistence_regions=[region]) if region else None
    return (
        types.Topic(
            name=endpoint.topic_path(settings.PUBSUB_TOPIC),
            message_retention_duration=WEEK,
            message_storage_policy=storage,
        ),
        types.Topic(name=endpoint.topic_path(settings.PUBSUB_DLQ_TOPIC), message_storage_policy=storage),
    )


def subscriptions() -> tuple[types.Subscription, types.Subscription]:
    """The subscription of events and that of dead letters, as wanted."""
    main, dead = topics()
    return (
        types.Subscription(
            name=endpoint.subscription_path(settings.PUBSUB_SUBSCRIPTION),
            topic=main.name,
            ack_deadline_seconds=60,
            enable_message_ordering=True,
            message_retention_duration=WEEK,
            expiration_policy=types.ExpirationPolicy(),  # without a ttl: never
            dead_letter_policy=types.DeadLetterPolicy(
                dead_letter_topic=dead.name,
                max_delivery_attempts=settings.PUBSUB_MAX_DELIVERY_ATTEMPTS,
            ),
            retry_policy=types.RetryPolicy(
                minimum_backoff=timedelta(seconds=settings.PUBSUB_RETRY_MIN_SECONDS),
                maximum_backoff=timedelta(seconds=settings.PUBSUB_RETRY_MAX_SECONDS),
            ),
        ),
        types.Subscription(
            name=endpoint.subscription_path(settings.PUBSUB_DLQ_SUBSCRIPTION),
            topic=dead.name,
            ack_deadline_seconds=600,
            message_retention_duration=timedelta(days=settings.PUBSUB_DLQ_RETENTION_DAYS),
            expiration_policy=types.ExpirationPolicy(),
        ),
    )


# Fields that are compared, and whether a wrong one loses events. Ordering and filter are fixed at creation.
_TOPIC_FIELDS: Final = {"message_retention_duration": False, "message_storage_policy": False}
_SUBSCRIPTION_FIELDS: Final = {
    "enable_message_ordering": False,
    "ack_deadline_seconds": False,
    "message_retention_duration": False,
    "expiration_policy": True,
    "dead_letter_policy": False,
    "retry_policy": False,
    "enable_exactly_once_delivery": False,
    "filter": True,
}
_FIXED: Final = {"enable_message_ordering", "filter"}
# Refusals that say for certain that nothing was made.
REFUSED: Final = (
    api.InvalidArgument,
    api.PermissionDenied,
    api.FailedPrecondition,
    api.NotFound,
    api.ResourceExhausted,
)


def differences(pubsub: Clients, *, main_first: bool = False) -> Iterator[Difference]:
    """Yield the differences in the order of repair: repair each before requesting the next.

    Messages published to a topic without a subscription are lost. So each topic is created together with its
    subscription, dead letters first, and a topic is not created while a subscription of that name belongs to
    another topic.

    ``main_first`` is for a check during a publish: it reads the subscription of events first, so that a
    subscription created just after the publish is not mistaken for one that received the events.
    """
    pairs = [*zip(topics(), subscriptions(), strict=True)]
    for topic, subscription in pairs if main_first else reversed(pairs):
        yield from _pair(pubsub, topic, subscription)
    for topic in topics():
        yield from _listened(pubsub, topic)
    yield from _grants(pubsub)


def _pair(pubsub: Clients, topic: types.Topic, subscription: types.Subscription) -> Iterator[Difference]:
    found = pubsub.find(pubsub.subscriber.get_subscription, {"subscription": subscription.name})
    if found is not None and (found.detached or found.topic != topic.name):
        yield Difference(
            subscription.name,
            "topic",
            "detached" if found.detached else found.topic,
            topic.name,
            lossy=True,
            remedy="a subscription cannot be attached to another topic: consume its remaining messages, delete it, "
            "run this command again, then replay what was published in between (docs/runbooks/pubsub-iam-broken.md)",
        )
        yield from _topic(pubsub, topic, [], attachable=False)
        return
    made: list[types.Topic] = []
    yield from _topic(pubsub, topic, made)
    yield from _subscription(pubsub, subscription, found, made)


def _topic(
    pubsub: Clients, wanted: types.Topic, made: list[types.Topic], *, attachable: bool = True
) -> Iterator[Difference]:
    """``made`` takes the topic if mending makes it; ``attachable``: whether its subscription can follow."""
    found = pubsub.find(pubsub.publisher.get_topic, {"topic": wanted.name})
    if found is None:

        def create() -> None:
            pubsub.call(pubsub.publisher.create_topic, wanted)
            made.append(wanted)

        repair = create if attachable else None
        yield Difference(wanted.name, "topic", "missing", "there", lossy=True, repair=repair)
        return
    wrong = [name for name in _TOPIC_FIELDS if name in wanted and _text(found, name) != _text(wanted, name)]
    for name in wrong:
        request = types.UpdateTopicRequest(topic=wanted, update_mask=field_mask_pb2.FieldMask(paths=[name]))
        yield Difference(
            wanted.name,
            name,
            _text(found, name),
            _text(wanted, name),
            lossy=_TOPIC_FIELDS[name],
            repair=lambda request=request: pubsub.call(pubsub.publisher.update_topic, request),  # type: ignore[misc]
        )


def _subscription(
    pubsub: Clients, wanted: types.Subscription, found: types.Subscription | None, made: list[types.Topic]
) -> Iterator[Difference]:
    """``made``: the topic, where mending has just made it; it goes again if its subscription is refused."""
    if found is None:

        def create() -> None:
            try:
                pubsub.call(pubsub.subscriber.create_subscription, wanted)
            except REFUSED:
                for topic in made:
                    pubsub.call(pubsub.publisher.delete_topic, {"topic": topic.name})
                raise

        yield Difference(wanted.name, "subscription", "missing", "there", lossy=True, repair=create)
        return
    for name, lossy in _SUBSCRIPTION_FIELDS.items():
        if _text(found, name) == _text(wanted, name):
            continue
        request = types.UpdateSubscriptionRequest(
            subscription=wanted, update_mask=field_mask_pb2.FieldMask(paths=[name])
        )
        repair = (
            None
            if name in _FIXED
            else (lambda request=request: pubsub.call(pubsub.subscriber.update_subscription, request))
        )
        yield Difference(
            wanted.name, name, _text(found, name), _text(wanted, name), lossy=lossy, repair=repair
        )


def _listened(pubsub: Clients, topic: types.Topic) -> Iterator[Difference]:
    names = pubsub.find(pubsub.publisher.list_topic_subscriptions, {"topic": topic.name})
    if names is not None and not any(True for _ in names):
        yield Difference(topic.name, "subscriptions", "none", "at least one", lossy=True)


def _grants(pubsub: Clients) -> Iterator[Difference]:
    agent = service_agent()
    (_, dead), (main, _) = topics(), subscriptions()
    for client, resource, role in (
        (pubsub.publisher, dead.name, PUBLISH_ROLE),
        (pubsub.subscriber, main.name, SUBSCRIBE_ROLE),
    ):
        what = f"{role} of Pub/Sub's service agent"
        if not agent:
            yield Difference(resource, what, "PUBSUB_PROJECT_NUMBER is not set", "granted", checked=False)
            continue
        try:
            policy = pubsub.find(
                client.get_iam_policy,
                iam_policy_pb2.GetIamPolicyRequest(resource=resource),
            )
        except api.MethodNotImplemented:
            yield Difference(resource, what, "no IAM on this server", "granted", checked=False)
            continue
        if policy is None:
            yield Difference(resource, what, "missing", "granted", lossy=True)
            continue
        if any(agent in b.members for b in policy.bindings if b.role == role):
            continue

        def grant(client: Any = client, policy: policy_pb2.Policy = policy, role: str = role) -> None:
            # The policy's etag goes back with it, so a change in between is refused, not overwritten.
            policy.bindings.add(role=role, members=[agent])
            request = iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=policy)  # noqa: B023 - called at once
            pubsub.call(client.set_iam_policy, request)

        yield Difference(resource, what, "missing", "granted", lossy=True, repair=grant)


def _text(resource: Any, name: str) -> str:
    """A field in words, the same for equal values."""
    value = getattr(resource, name)
    if name == "expiration_policy":
        if "expiration_policy" not in resource:
            return "31 days idle"
        ttl = value.ttl if "ttl" in value else timedelta(0)
        return f"{ttl.days} days idle" if ttl else "never"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    if name == "retry_policy":
        return (
            f"{value.minimum_backoff.total_seconds():g}–{value.maximum_backoff.total_seconds():g} s"
            if value
            else "none"
        )
    if name == "dead_letter_policy":
        return f"{value.max_delivery_attempts} attempts, then {value.dead_letter_topic}" if value else "none"
    if name == "message_storage_policy":
        return ", ".join(value.allowed_persistence_regions) or "any region"
    return str(value)


_safe_until: dict[tuple[str, str], float] = {}


def preflight(*, fresh: bool = False) -> None:
    """Check that no published event can be lost; a positive result is cached for some minutes.

    Raises Lossy with every difference, Unreachable if Pub/Sub does not answer or refuses access.
    """
    key = (settings.PUBSUB_PROJECT_ID, settings.PUBSUB_EMULATOR_HOST)
    if not fresh and time.monotonic() < _safe_until.get(key, 0.0):
        return
    _safe_until.pop(key, None)
    with clients() as pubsub:
        lossy = [str(difference) for difference in differences(pubsub, main_first=True) if difference.lossy]
    if lossy:
        raise Lossy("; ".join(lossy))
    _safe_until[key] = time.monotonic() + TRUST_SECONDS


def reachable(timeout: float = DEADLINE_SECONDS) -> str:
    """Return an empty text if the topic can be read within ``timeout`` seconds, else the error."""
    try:
        with clients(timeout) as pubsub:
            topic = pubsub.find(
                pubsub.publisher.get_topic, {"topic": endpoint.topic_path(settings.PUBSUB_TOPIC)}
            )
    except Unreachable as error:
        return str(error).partition(":")[0]
    return "" if topic is not None else "the topic is missing"
