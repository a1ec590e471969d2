"""A worker killed after the second person's yes: what was granted is applied once, whenever it died."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from apps.accounts import services as accounts
from apps.approvals import services
from apps.approvals.models import ApprovalRequest
from erp.audit.sources import PROJECT
from erp.outbox.models import EventOutbox
from erp.outbox.subscriber import Consumer
from erp.tests.outbox_support import drain, pubsub, until

__all__ = ["pubsub"]
pytestmark = [pytest.mark.usefixtures("pubsub"), pytest.mark.slow]

CONSUMER = """
import os, signal, sys
import django
django.setup()
from apps.accounts import services as accounts
from erp.outbox import pull, subscriber

pull.LEASE_SECONDS = 10
def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "before it commits":
    changed = accounts.rights.emit
    def emit(event):
        changed(event)
        if event.__event__.name == "capability.changed":
            die()
    accounts.rights.emit = emit
else:
    consumed = subscriber.Consumer._flush
    def flush(self, *arguments):
        if accounts.rights.CapabilityChange.objects.filter(status="applied").exists():
            die()
        return consumed(self, *arguments)
    subscriber.Consumer._flush = flush
subscriber.Consumer("cotton-erp-events-sub", idle=5).run()
"""


def consume() -> None:
    """Apply what lies in the subscription."""
    Consumer(settings.PUBSUB_SUBSCRIPTION, idle=0.5).run()


@pytest.mark.parametrize("moment", ["before it commits", "before it acknowledges"])
def test_a_worker_killed_after_the_grant_applies_it_once(moment: str, user: Any) -> None:
    person = user("INTERNAL")
    change = accounts.propose_role(
        person,
        actor=user("INTERNAL_COMPLIANCE"),
        role="INTERNAL_MANAGER",
        operation="add",
        reason="The desk in Rajkot needs it.",
    )
    drain()
    consume()
    request = ApprovalRequest.objects.get(subject_id=change.pk)
    services.approve(request, actor=user("INTERNAL_COMPLIANCE"), subject_version=request.subject_version)
    drain()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": settings.DATABASE_DIRECT_URL,
        "PUBSUB_PROJECT_ID": settings.PUBSUB_PROJECT_ID,
    }
    died = subprocess.run([sys.executable, "-c", CONSUMER, moment], cwd=PROJECT, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    change.refresh_from_db()
    assert change.status == ("proposed" if moment == "before it commits" else "applied")

    def settled() -> bool:
        consume()
        drain()
        request.refresh_from_db()
        return request.outcome == "applied"

    until(settled, seconds=60)  # once the dead one's lease is over
    drain()
    consume()
    change.refresh_from_db()
    assert change.status == "applied"
    assert person.groups.filter(name="INTERNAL_MANAGER").count() == 1
    assert EventOutbox.objects.filter(event_type="capability.changed").count() == 1
    assert EventOutbox.objects.filter(event_type="approval.applied").count() == 1
