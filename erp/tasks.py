"""Periodic looks at Pub/Sub, remembered for whoever scrapes ``/metrics``.

A look that fails remembers nothing: the former one counts until it is too old, then the figure is missing.
"""

from typing import Final

import structlog
from celery import shared_task

from erp import metrics
from erp.outbox import deadletters, topology

log = structlog.get_logger(__name__)

MOST_LETTERS: Final = 100  # held at a time: more is no other news, and a message may have 10 MB


@shared_task
def count_dead_letters() -> int | None:
    """Hold the dead letters for a moment, count them and give them back; None when Pub/Sub doesn't answer.

    Pub/Sub has no call that tells how many messages wait. A letter is away from `dlq` commands for about a second.
    What was decided about letters and not carried out, since Pub/Sub or the process died, is carried out now.
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
def check_topology() -> int | None:
    """Count what ``setup_pubsub --check`` would find; None when Pub/Sub can't be looked at."""
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
