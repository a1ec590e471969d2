"""The transactional outbox as a Django app."""

from functools import partial

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Tables, relay, subscriber and their commands."""

    name = "erp.outbox"
    label = "outbox"
    verbose_name = "Event outbox"

    def ready(self) -> None:
        from erp import health, metrics
        from erp.outbox import deadletters, figures, subscriber, topology  # noqa: F401 - services of operators

        subscriber.seal()
        metrics.of_modules.append(figures.read_figures)
        health.degrading["pubsub"] = partial(topology.reachable, timeout=1.0)
