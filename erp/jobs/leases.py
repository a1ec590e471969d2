"""The lease by which one worker at a time holds a job. When the worker dies, the lease runs out."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from erp.ids import uuid7
from erp.jobs.models import Job

log = structlog.get_logger(__name__)

_RENEW: Final = """
UPDATE job_job SET lease_until = clock_timestamp() + make_interval(secs => %s)
WHERE id = (SELECT id FROM job_job WHERE id = %s AND lease_token = %s FOR NO KEY UPDATE SKIP LOCKED)
"""


class LeaseLost(Exception):
    """Another worker has taken the job over; what was done meanwhile rolls back."""


def is_held(job: Job, now: datetime) -> bool:
    """Whether a worker holds the job."""
    return job.lease_until is not None and job.lease_until >= now


def take(job: Job, now: datetime) -> None:
    """Take the job, under a token of its own."""
    job.lease_token = uuid7()
    extend(job, now)


def extend(job: Job, now: datetime) -> None:
    """Hold the job for ``JOB_LEASE_SECONDS`` from ``now``."""
    job.lease_until = now + timedelta(seconds=settings.JOB_LEASE_SECONDS)


def give_up(job: Job) -> None:
    """Leave the job to whoever takes it next."""
    job.lease_token = job.lease_until = None


def check(job: Job, token: UUID) -> None:
    """Raise LeaseLost unless the job is held under ``token``."""
    if job.lease_token != token:
        raise LeaseLost(str(job.pk))


@contextmanager
def renewed(job_id: UUID, token: UUID | None) -> Iterator[None]:
    """Renew the lease from a thread of its own, for as long as this process lives."""
    over = threading.Event()

    def renew() -> None:
        try:
            while not over.wait(settings.JOB_LEASE_SECONDS / 4):
                with connection.cursor() as cursor:
                    # Skipped while the chunk's own transaction holds the row: that one renews it, too.
                    cursor.execute(_RENEW, [settings.JOB_LEASE_SECONDS, job_id, token])
        except (OperationalError, InterfaceError) as error:
            log.warning("job.lease_not_renewed", error=type(error).__name__)
        finally:
            connection.close()

    thread = threading.Thread(target=renew, name="job-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
