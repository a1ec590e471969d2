"""Periodic work of the trail."""

from celery import shared_task

from erp import clock
from erp.access import SYSTEM
from erp.trail import sealing, services


@shared_task
def seal() -> int:
    """Seal new entries."""
    return sealing.seal()


@shared_task
def anchor() -> bool:
    """Publish the chain's last hash, once a day."""
    sealing.seal()
    return services.publish_anchor(actor=SYSTEM, day=clock.today()) is not None
