"""Another system on the topic: it sends what is no event of this product, for demo data."""

import grpc
from google.cloud import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport


def send(host: str, topic: str, data: bytes, **attributes: str) -> str:
    """Send a message to a topic, by its full name, of the emulator or embedded server at ``host``; return its id."""
    with grpc.insecure_channel(host) as channel:
        client = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        message_id: str = client.publish(topic, data, **attributes).result(timeout=30)
    return message_id
