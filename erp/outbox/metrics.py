"""Metrics of the relay and the consumer (operations §2). Labels carry no ids and no names of people."""

import time

from prometheus_client import Counter, Gauge, Histogram

from erp import heartbeat

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 60)

PUBLISHED = Counter("erp_outbox_published_total", "Events acknowledged by Pub/Sub.", ["type"])
RETRIES = Counter(
    "erp_outbox_retries_total",
    "Publish requests that failed, by status code; TOPOLOGY: checks of the topology that failed.",
    ["code"],
)
PUBLISH_SECONDS = Histogram("erp_outbox_publish_seconds", "Duration of a publish request.", buckets=_SECONDS)
COMMIT_TO_ACK_SECONDS = Histogram(
    "erp_outbox_commit_to_ack_seconds",
    "From the event's insert to Pub/Sub's acknowledgement.",
    buckets=_SECONDS,
)
RELAY_HEARTBEAT = Gauge(
    "erp_relay_heartbeat_seconds", "Unix time of the relay's last cycle.", multiprocess_mode="mostrecent"
)
RELAY_BUCKETS = Gauge(
    "erp_relay_owned_buckets", "Buckets owned by the relays of this process.", multiprocess_mode="livesum"
)

CONSUMER_LAG_SECONDS = Gauge(
    "erp_consumer_lag_seconds",
    "Age of the last handled event at the time it was handled.",
    multiprocess_mode="mostrecent",
)
CONSUMED = Counter("erp_consumer_events_total", "Events received, by outcome.", ["outcome"])
DUPLICATES = Counter("erp_consumer_duplicates_total", "Events received again after they had been applied.")
GAPS = Counter("erp_consumer_gaps_total", "Gaps in a stream that stayed open for more than a minute.")


class Heartbeat:
    """Updates the process's heartbeat, at most once a second."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._touched = 0.0

    def beat(self) -> None:
        """The loop is alive."""
        now = time.monotonic()
        if now - self._touched >= 1:
            self._touched = now
            heartbeat.touch(self._name)
