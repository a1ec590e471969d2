"""The one Pub/Sub endpoint: Google's service, its emulator or the embedded server, as the settings say."""

from typing import Final
from urllib.parse import urlencode

import grpc
import grpc.aio
from django.conf import settings
from google.api_core import grpc_helpers, grpc_helpers_async

PUBLISHER: Final = "/google.pubsub.v1.Publisher/"
SUBSCRIBER: Final = "/google.pubsub.v1.Subscriber/"
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/pubsub")
_OPTIONS: Final = (
    # Without it a client comes back up to two minutes after an outage has ended.
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # A pull answers up to 1,000 messages; a dead peer is noticed although nothing is sent.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
)


def topic_path(name: str) -> str:
    """Full resource name of a topic of the configured project."""
    return f"projects/{settings.PUBSUB_PROJECT_ID}/topics/{name}"


def subscription_path(name: str) -> str:
    """Full resource name of a subscription of the configured project."""
    return f"projects/{settings.PUBSUB_PROJECT_ID}/subscriptions/{name}"


def channel() -> grpc.Channel:
    """A blocking channel; close it. Raises google.auth's DefaultCredentialsError without credentials."""
    if settings.PUBSUB_EMULATOR_HOST:
        return grpc.insecure_channel(settings.PUBSUB_EMULATOR_HOST, options=_OPTIONS)
    return grpc_helpers.create_channel(_host(), scopes=_SCOPES, options=_OPTIONS)


def aio_channel() -> grpc.aio.Channel:
    """The same for the running event loop."""
    if settings.PUBSUB_EMULATOR_HOST:
        return grpc.aio.insecure_channel(settings.PUBSUB_EMULATOR_HOST, options=_OPTIONS)
    return grpc_helpers_async.create_channel(_host(), scopes=_SCOPES, options=_OPTIONS)


def metadata(field: str, resource: str) -> tuple[tuple[str, str], ...]:
    """Request metadata by which Google routes a call to the resource's region."""
    return (("x-goog-request-params", urlencode({field: resource}, safe="/")),)


def _host() -> str:
    return str(settings.PUBSUB_ENDPOINT)
