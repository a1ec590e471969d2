"""Long work in tests: a sort that enters a firm a row (workers of the crash test import it), and its end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from apps.partners.models import OnboardingRound
from apps.partners.services.onboarding import start_onboarding
from apps.partners.tests.factories import profile
from erp.audit.sources import PROJECT
from erp.errors import FieldError, Invalid
from erp.jobs.kinds import JobKind, RowResult, WorkRow
from erp.jobs.models import Job
from erp.jobs.tasks import work
from erp.testing import environment

# Rows of a table that is taken in many chunks; `make large` takes as many as a table may have.
LARGE = int(os.environ.get("LARGE_TABLE", "1000"))


class EnterFirms(JobKind):
    """One partner a row; a row called ``bad`` is refused, one called ``die`` kills its worker once."""

    name = "test.enter_firms"

    def rows(self, job: Job, content: bytes) -> Iterator[WorkRow]:
        for number, name in enumerate(json.loads(content), start=1):
            yield WorkRow(number, {"legal_name": name})

    def apply(self, row: WorkRow, *, job: Job, actor: Any) -> RowResult:
        name = row.values["legal_name"]
        if name == "bad":
            raise Invalid(
                "No firm has this name.", errors=[FieldError("/legal_name", "invalid", "Not this.")]
            )
        flag = os.environ.get("ERP_TEST_DIE_ONCE", "")
        if name == "die" and flag and os.path.exists(flag):
            os.unlink(flag)
            os.kill(os.getpid(), signal.SIGKILL)
        round: OnboardingRound = start_onboarding(actor=actor, profile=profile(legal_name=name))
        return RowResult("created", round.partner_id)


def finished(job: Job) -> Job:
    """The job after turns until it is over."""
    while work(str(job.pk)) in Job.OPEN:
        pass
    job.refresh_from_db()
    return job


def refused(job: Job) -> list[tuple[int, str, str]]:
    """Number, pointer and code of every fault."""
    return [
        (row.number, fault["pointer"], fault["code"])
        for row in job.rows.filter(word="").order_by("number")
        for fault in row.faults
    ]


_MEASURED = """
import re, sys, django
django.setup()
from erp.jobs.models import Job
from erp.jobs.tasks import work

def resident(name):
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])

small, large = sys.argv[1:]
work(small)
before = resident("VmRSS")
while work(large) in Job.OPEN:
    pass
print(resident("VmHWM") - before)
"""


def memory_taken(small: Job, large: Job) -> int:
    """KiB by which a worker grows at most while it does the large job, after it has done the small one."""
    worker = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(small.pk), str(large.pk)],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        timeout=500,
        check=True,
    )
    large.refresh_from_db()
    return int(worker.stdout.split()[-1])
