"""A process killed during an approval stores both the decision and its effect, or neither."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from apps.accounts.services import rights
from apps.approvals import services
from apps.approvals.models import ApprovalDecision, ApprovalRequest
from erp.audit.sources import PROJECT
from erp.outbox.models import EventOutbox
from erp.outbox.subscriber import Consumer
from erp.tests.outbox_support import drain, pubsub

__all__ = ["pubsub"]
pytestmark = [pytest.mark.usefixtures("pubsub"), pytest.mark.slow]

APPROVE = """
import os, signal, sys
import django
django.setup()
from django.db.backends.base.base import BaseDatabaseWrapper
from apps.accounts.models import User
from apps.approvals import services
from apps.approvals.models import ApprovalRequest
from erp import services as kernel

def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

moment, request, person = sys.argv[1:]
if moment == "before it commits":
    kernel.flush = die
else:
    commit = BaseDatabaseWrapper._commit
    BaseDatabaseWrapper._commit = lambda self: (commit(self), die())
request = ApprovalRequest.objects.get(pk=request)
services.approve(request, actor=User.objects.get(pk=person), subject_version=request.subject_version)
"""


@pytest.mark.parametrize("moment", ["before it commits", "after it committed"])
def test_a_process_killed_during_an_approval_stores_both_or_neither(
    moment: str, user: Any, deliver: Any
) -> None:
    person, decider = user("INTERNAL"), user("INTERNAL_COMPLIANCE")
    change = rights.propose_role(
        person,
        actor=user("INTERNAL_COMPLIANCE"),
        role="INTERNAL_MANAGER",
        operation="add",
        reason="The office in Rajkot needs it.",
    )
    drain()
    Consumer(settings.PUBSUB_SUBSCRIPTION, idle=0.5).run()
    request = ApprovalRequest.objects.get(subject_id=change.pk)
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": settings.DATABASE_DIRECT_URL,
    }
    command = [sys.executable, "-c", APPROVE, moment, str(request.pk), str(decider.pk)]
    died = subprocess.run(command, cwd=PROJECT, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    both = moment == "after it committed"
    request.refresh_from_db()
    change.refresh_from_db()
    assert (request.status, change.status) == (("granted", "applied") if both else ("pending", "proposed"))
    assert ApprovalDecision.objects.count() == int(both)
    if not both:
        services.approve(request, actor=decider, subject_version=request.subject_version)
    assert person.groups.filter(name="INTERNAL_MANAGER").count() == 1
    for name in ("approval.granted", "capability.changed"):
        assert EventOutbox.objects.filter(event_type=name).count() == 1
