"""The transactional outbox as a Django app."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Tables, relay, subscriber and their commands."""

    name = "erp.outbox"
    label = "outbox"
    verbose_name = "Event outbox"

    def ready(self) -> None:
        # The services of operators are known in every process.
        from erp.outbox import deadletters, operations, subscriber  # noqa: F401

        subscriber.seal()
