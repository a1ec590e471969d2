"""State of the outbox and the consumer, read from the database at each scrape: one query for each."""

from collections.abc import Iterator

from django.conf import settings
from prometheus_client.core import GaugeMetricFamily, Metric

from erp.outbox import operations, subscriber


def read_figures() -> Iterator[Metric]:
    """Read the numbers of waiting and failed events and of streams with a gap."""
    now = operations.figures()
    gaps = subscriber.Subscription(settings.PUBSUB_SUBSCRIPTION).gaps()
    for name, text, value in (
        ("outbox_pending", "Events that wait.", now.pending + now.processing),
        (
            "outbox_oldest_seconds",
            "Age of the oldest pending event whose stream isn't blocked.",
            now.oldest_seconds,
        ),
        ("outbox_failed", "Events that failed and wait for an operator.", now.failed),
        ("outbox_blocked_streams", "Streams behind a failed event.", now.blocked_streams),
        ("outbox_unowned_buckets", "Buckets with waiting events and no relay.", now.unowned_buckets),
        ("consumer_open_gaps", "Streams that wait for a missing event.", len(gaps)),
    ):
        yield GaugeMetricFamily(f"erp_{name}", text, value=value)
