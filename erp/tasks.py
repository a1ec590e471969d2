"""Periodic checks of Pub/Sub, cached for ``/metrics``, and the daily erasure of personal data.

A failed check caches nothing: the previous value is used until it is too old, then the figure is missing.
"""

from typing import Final

import structlog
from celery import shared_task

from erp import metrics, retention
from erp.outbox import deadletters, topology

log = structlog.get_logger(__name__)

MOST_LETTERS: Final = 100  # held at a time: more is no other news, and a message may have 10 MB


@shared_task
def count_dead_letters() -> int | None:
    """Pull, count and return the dead letters; return None if Pub/Sub does not answer.

    Pub/Sub has no call for the number of waiting messages. `dlq` commands miss a pulled letter for about a second.
    Pending decisions, left by a failure of Pub/Sub or of a process, are executed now.
    """
    try:
        with deadletters.held(deadletters.MOST if deadletters.undone() else MOST_LETTERS) as held:
            held.carry_out_decisions()
            depth = min(len(held.letters), MOST_LETTERS)
    except topology.Unreachable as error:
        log.warning("dead_letters.not_seen", error=str(error))
        return None
    metrics.remember(metrics.DEAD_LETTERS, depth)
    return depth


@shared_task
def purge_personal_data() -> dict[str, int]:
    """Erase what has outlived its purpose, by the rules of every module; return how many rows each erased."""
    return {outcome.rule.name: outcome.erased for outcome in retention.run()}


@shared_task
def check_topology() -> int | None:
    """Count the differences of ``setup_pubsub --check``; return None if Pub/Sub cannot be read."""
    try:
        with topology.clients() as pubsub:
            found = [difference for difference in topology.differences(pubsub) if difference.checked]
    except topology.Unreachable as error:
        log.warning("topology.not_seen", error=str(error))
        return None
    for difference in found:
        log.error("topology.differs", difference=str(difference), lossy=difference.lossy)
    metrics.remember(metrics.TOPOLOGY, len(found))
    return len(found)
