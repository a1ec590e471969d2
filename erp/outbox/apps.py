"""The transactional outbox as a Django app."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Tables, relay, subscriber and their commands."""

    name = "erp.outbox"
    label = "outbox"
    verbose_name = "Event outbox"

    def ready(self) -> None:
        from erp.outbox import metrics, subscriber

        subscriber.seal()
        metrics.register()
