"""Periodic work of the trail."""

import structlog
from celery import shared_task

from erp import clock, metrics
from erp.access import SYSTEM
from erp.trail import sealing, services, triggers

log = structlog.get_logger(__name__)


@shared_task
def seal() -> int:
    """Seal new entries."""
    return sealing.seal()


@shared_task
def anchor() -> bool:
    """Publish the chain's last hash, once a day."""
    sealing.seal()
    return services.publish_anchor(actor=SYSTEM, day=clock.today()) is not None


@shared_task
def verify() -> int:
    """Count what ``verify_audit`` would find, once a night."""
    sealing.seal()
    found = [finding.detail for finding in sealing.findings()]
    found += [str(error.msg) for error in triggers.check_triggers(["default"])]
    for detail in found[:20]:
        log.error("trail.broken", detail=detail)
    metrics.remember(metrics.TRAIL, len(found))
    return len(found)
