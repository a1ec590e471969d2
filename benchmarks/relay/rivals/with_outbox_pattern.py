"""django-outbox-pattern: made for STOMP; its setting for the connection's class lets Google's client in."""

from typing import Any

from run import publisher, topic_path

SETTINGS = {
    "INSTALLED_APPS": ["django_outbox_pattern"],
    "DJANGO_OUTBOX_PATTERN": {
        "DEFAULT_CONNECTION_CLASS": "with_outbox_pattern.Connection",
        "DEFAULT_PRODUCER_WAITING_TIME": 0,
    },
}


class Connection:
    """What the library's producer asks of ``stomp.StompConnection12``."""

    def __init__(self, **_: object) -> None:
        self._client: Any = None

    def connect(self, **_: object) -> None:
        """Make the client."""
        self._client = publisher()

    def is_connected(self) -> bool:
        """Whether there is one."""
        return self._client is not None

    def disconnect(self) -> None:
        """Let go of it."""
        self._client.stop()
        self._client = None

    def send(self, *, body: str, destination: str, headers: dict[str, Any]) -> None:
        """Publish, and not return before the message is safe."""
        attributes = {name: str(value) for name, value in headers.items()}
        self._client.publish(topic_path(), body.encode(), ordering_key=destination, **attributes).result(30)


def put(payload: dict[str, Any], *, key: str) -> None:
    """Store one event."""
    from django_outbox_pattern.models import Published

    Published.objects.create(destination=key, body=payload)


def drain() -> None:
    """One round of ``manage.py publish``, which otherwise runs for ever."""
    from django_outbox_pattern.management.commands.publish import Command

    Command.producer.publish_message_from_database()


def left() -> int:
    """Events that were not sent."""
    from django_outbox_pattern.choices import StatusChoice
    from django_outbox_pattern.models import Published

    return int(Published.objects.exclude(status=StatusChoice.SUCCEEDED).count())
