"""django-jaiminho: a decorated function is stored, and its relay command calls it; strategy "keep-order"."""

from typing import Any

from jaiminho.constants import PublishStrategyType
from jaiminho.send import save_to_outbox
from run import publisher, topic_path

SETTINGS = {
    "INSTALLED_APPS": ["jaiminho"],
    "JAIMINHO_CONFIG": {"PUBLISH_STRATEGY": PublishStrategyType.KEEP_ORDER, "DELETE_AFTER_SEND": True},
}
_client: list[Any] = []


@save_to_outbox
def send(payload: dict[str, Any], key: str) -> None:
    """What the relay calls: it must not return before the message is safe."""
    import json

    if not _client:
        _client.append(publisher())
    _client[0].publish(topic_path(), json.dumps(payload).encode(), ordering_key=key).result(30)


def put(payload: dict[str, Any], *, key: str) -> None:
    """Store one event."""
    send(payload, key)


def drain() -> None:
    """``manage.py events_relay``, once."""
    from django.core.management import call_command

    call_command("events_relay")


def left() -> int:
    """Events that were not sent."""
    from jaiminho.models import Event

    return int(Event.objects.filter(sent_at=None).count())
