"""Queueing and stopping long work, and the bookkeeping of whoever does it."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from erp import clock
from erp.access import Actor
from erp.errors import CapabilityMissing, Conflict, DomainError
from erp.jobs import capabilities, events, leases
from erp.jobs.kinds import registry
from erp.jobs.models import Job, JobFile, JobResult, JobRow
from erp.services import emit, service

BOOKKEEPING = "records the job's own progress; rows are changed by their services"
WORK = "erp.jobs.tasks.work"  # by name, since the tasks call these services


class NotCancellable(Conflict):
    """The job is over."""

    code = "job.not_cancellable"


@service(
    public="runs inside the service that accepts the work, with its authorization; no endpoint leads here",
    emits=[events.JobQueued],
)
def queue(
    *,
    actor: Actor,
    kind: str,
    total: int,
    mode: str = Job.Mode.PARTIAL,
    parameters: dict[str, Any] | None = None,
    file_name: str = "",
    file_sha256: str = "",
    content: bytes = b"",
) -> Job:
    """Accept long work of ``total`` rows; a worker begins once the transaction is committed.

    With a total of 0 the worker counts the rows before it begins.
    ``content`` is the file to work through, with its cleaned name and SHA-256 in hexadecimal.
    """
    registry[kind]  # an unknown kind is an error here, not in the worker
    job = Job(
        kind=kind,
        owner_id=actor.pk,
        mode=mode,
        total=total,
        parameters=parameters or {},
        file_name=file_name[:255],
        file_sha256=file_sha256,
    )
    job.save()
    if content:
        JobFile(job=job, content=content).save()
    emit(events.JobQueued(job_id=job.pk, kind=kind, total=total))
    transaction.on_commit(lambda: _hand_over(job.pk), robust=True)
    return job


def _hand_over(job_id: UUID) -> None:
    """Give the job to a worker now; without the broker the sweeper finds it within seconds."""
    current_app.tasks[WORK].apply_async((str(job_id),), retry=False)


@service(requires=capabilities.CANCEL, emits=[events.JobCancelled], raises=[NotCancellable])
def cancel(job: Job, *, actor: Actor) -> Job:
    """Cancel one of your jobs. Rows already processed stay."""
    if not job.is_stopped_by(actor):
        raise CapabilityMissing(str(capabilities.CANCEL))
    if job.status == Job.Status.CANCELLING:
        return job
    if job.status not in (Job.Status.QUEUED, Job.Status.RUNNING):
        raise NotCancellable(f"It has {job.status}.", status_now=job.status)
    job.status = Job.Status.CANCELLING
    job.save()
    emit(events.JobCancelled(job_id=job.pk, kind=job.kind))
    transaction.on_commit(lambda: _hand_over(job.pk), robust=True)
    return job


@service(public=BOOKKEEPING, machinery=BOOKKEEPING)
def claim(job: Job, *, actor: Actor) -> Job | None:
    """Take an open job whose lease is free; None when it is over or another worker has it."""
    now = clock.now()
    if job.status not in Job.OPEN or leases.is_held(job, now):
        return None
    leases.take(job, now)
    if job.status == Job.Status.QUEUED:
        job.status = Job.Status.RUNNING
    job.started_at = job.started_at or now
    job.save()
    return job


@service(public=BOOKKEEPING, machinery=BOOKKEEPING)
def set_total(job: Job, *, actor: Actor, lease: UUID, total: int) -> Job:
    """Write down how many rows the job has. Raises LeaseLost."""
    leases.check(job, lease)
    job.total = total
    job.save()
    return job


@service(public=BOOKKEEPING, machinery=BOOKKEEPING)
def record(job: Job, *, actor: Actor, lease: UUID, rows: Sequence[JobRow]) -> Job:
    """Write down what became of a chunk's rows, in the transaction that did them. Raises LeaseLost."""
    leases.check(job, lease)
    JobRow.objects.bulk_create(rows)
    words = Counter(job.tally) + Counter(row.word for row in rows if row.word)
    refused = sum(not row.word for row in rows)
    job.tally = dict(sorted(words.items()))
    job.processed += len(rows)
    job.accepted += len(rows) - refused
    job.refused += refused
    leases.extend(job, clock.now())
    job.save()
    return job


@service(public=BOOKKEEPING, machinery=BOOKKEEPING)
def advance(job: Job, *, actor: Actor, lease: UUID, processed: int, total: int) -> Job:
    """Write down how far work is that has no rows of its own to write down. Raises LeaseLost."""
    leases.check(job, lease)
    job.processed = job.accepted = processed
    job.total = total
    leases.extend(job, clock.now())
    job.save()
    return job


@service(public=BOOKKEEPING, machinery=BOOKKEEPING)
def store_result(
    job: Job, *, actor: Actor, lease: UUID, media_type: str, content: bytes, rights: Sequence[str]
) -> Job:
    """Store the file that a job made with the owner's rights. Raises LeaseLost."""
    leases.check(job, lease)
    made = JobResult(job=job, media_type=media_type, rights=rights)
    made.content = content
    made.save()
    return job


@service(public=BOOKKEEPING, machinery=BOOKKEEPING)
def release(job: Job, *, actor: Actor, lease: UUID) -> Job:
    """Give the job back unfinished, so that another turn goes on with it. Raises LeaseLost."""
    leases.check(job, lease)
    leases.give_up(job)
    job.save()
    return job


@service(public=BOOKKEEPING, machinery=BOOKKEEPING)
def finish(job: Job, *, actor: Actor, lease: UUID, problem: DomainError | None = None) -> Job:
    """End the job; its counts decide how, unless ``problem`` stopped it as a whole. Raises LeaseLost."""
    leases.check(job, lease)
    if problem is not None:
        job.status = Job.Status.FAILED
        job.problem_code, job.problem_detail = problem.code, problem.detail
    elif job.status == Job.Status.CANCELLING and job.processed < job.total:
        job.status = Job.Status.CANCELLED
    elif not job.refused:
        job.status = Job.Status.SUCCEEDED
    else:
        job.status = Job.Status.PARTIAL if job.accepted else Job.Status.FAILED
    job.finished_at = clock.now()
    leases.give_up(job)
    job.save()
    return job


@service(public=BOOKKEEPING, machinery=BOOKKEEPING)
def forget_files(*, actor: Actor, limit: int) -> int:
    """Delete files and rows of jobs that ended long ago, ``limit`` jobs at a time; returns how many."""
    before = clock.now() - timedelta(days=settings.JOB_RETENTION_DAYS)
    parts = (JobRow, JobFile, JobResult)
    has_parts = reduce(or_, (Exists(part.objects.filter(job=OuterRef("pk"))) for part in parts))
    old = Job.objects.filter(has_parts, finished_at__lt=before)
    ids = list(old.values_list("pk", flat=True)[:limit])
    for part in parts:
        part.objects.filter(job__in=ids).delete()
    return len(ids)
