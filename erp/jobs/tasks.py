"""Doing long work: chunk by chunk, each in one transaction with what is written down about it.

A worker holds a lease that a thread renews. When the worker dies the lease runs out, the sweeper hands the
job to another, and that one goes on after the last chunk that was committed. The broker's redelivery plays
no part in it.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain, islice
from typing import Any, Final

import structlog
from celery import shared_task
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error as DatabaseFailure

from erp import clock, locks
from erp.access import SYSTEM, Actor, rights_of
from erp.api.problems import domain_error
from erp.errors import DomainError, Forbidden
from erp.jobs import leases, services
from erp.jobs.downloads import encode
from erp.jobs.exporting import FORMATS, Export, ExportKind
from erp.jobs.kinds import JobKind, WorkRow, registry
from erp.jobs.models import Job, JobFile, JobRow
from erp.services import dry_run, unit_of_work

log = structlog.get_logger(__name__)

CHUNK: Final = 200  # rows of one transaction (api §6)
TURN_SECONDS: Final = 20.0  # then others get the worker
PURGE_BATCH: Final = 100


class OwnerInactive(Forbidden):
    """Who started the job may not act any more."""

    code = "job.owner_inactive"


class _ChunkRefused(Exception):
    """Rolls an atomic job back; what was wrong with its rows is written down afterwards."""

    def __init__(self, rows: list[JobRow]) -> None:
        self.rows = rows


@shared_task
def work(job_id: str) -> str:
    """Do a turn of a job; returns its status, empty where there was nothing to do."""
    job = Job.objects.filter(pk=job_id).first()
    job = None if job is None else services.claim(job, actor=SYSTEM)
    if job is None:
        return ""
    with structlog.contextvars.bound_contextvars(job_id=job_id, job_kind=job.kind):
        try:
            with leases.renewed(job.pk, job.lease_token):
                job = _Turn(job).run()
        except leases.LeaseLost:
            log.warning("job.lease_lost")
            return ""
        if job.status in Job.OPEN:
            work.apply_async((job_id,))
        else:
            log.info("job.ended", outcome=job.status, accepted=job.accepted, refused=job.refused)
        return str(job.status)


@shared_task
def sweep() -> int:
    """Hand out jobs that nobody works on; returns how many."""
    due = Job.objects.due(clock.now() - timedelta(seconds=1)).values_list("pk", flat=True)
    for job_id in due:
        work.apply_async((str(job_id),), expires=settings.JOB_SWEEP_SECONDS)
    return len(due)


@shared_task
def purge() -> int:
    """Delete files and rows of jobs past their time; returns how many jobs."""
    count = 0
    while done := services.forget_files(actor=SYSTEM, limit=PURGE_BATCH):
        count += done
    return count


class _Cancelled(Exception):
    """Ends an export whose owner doesn't want it any more."""


class _Turn:
    """What one worker does to a job until its time is over."""

    def __init__(self, job: Job) -> None:
        assert job.lease_token is not None
        self._job, self._lease = job, job.lease_token
        self._kind: JobKind = registry[job.kind]()
        self._until = time.monotonic() + TURN_SECONDS

    def run(self) -> Job:
        try:
            if isinstance(self._kind, ExportKind):
                self._export(self._kind)
                return self._end()
            every = list(self._rows())
            if not self._job.total:
                self._job = services.set_total(self._job, actor=SYSTEM, lease=self._lease, total=len(every))
            rows = islice(every, self._job.processed, None)
            if self._job.mode == Job.Mode.CHECK:
                if self._check(every):
                    return services.release(self._job, actor=SYSTEM, lease=self._lease)  # type: ignore[no-any-return]
            elif self._job.mode == Job.Mode.ATOMIC:
                self._all(list(rows))
            else:
                while chunk := list(islice(rows, CHUNK)):
                    if self._stopping():
                        break
                    self._chunk(chunk)  # at least one a turn, however long it took to read the file
                    if time.monotonic() > self._until and self._job.processed < self._job.total:
                        return services.release(self._job, actor=SYSTEM, lease=self._lease)  # type: ignore[no-any-return]
        except (DatabaseFailure, leases.LeaseLost):
            raise  # the lease runs out, and another turn tries again
        except Exception as error:
            return self._end(domain_error(error), error)
        return self._end()

    def _rows(self) -> Iterator[WorkRow]:
        file = JobFile.objects.filter(job=self._job).first()
        return self._kind.rows(self._job, bytes(file.content) if file else b"")

    def _stopping(self) -> bool:
        status: Any = Job.objects.values_list("status", flat=True).get(pk=self._job.pk)
        return bool(status == Job.Status.CANCELLING)

    def _actor(self) -> Any:
        """Who started it, with the rights of this moment."""
        if self._job.owner_id is None:
            return SYSTEM
        actor = get_user_model()._default_manager.get(pk=self._job.owner_id)
        if not actor.is_active:
            raise OwnerInactive
        return actor

    def _export(self, kind: ExportKind) -> None:
        """Make the file of an export. A turn that dies leaves nothing of it, and the next makes it anew."""
        actor = self._actor()
        export = kind.open(self._job, actor)
        export.check_size()
        media_type = FORMATS[self._job.parameters["format"]]
        try:
            content = encode(chain([export.header], self._lines(export)), media_type)
        except _Cancelled:
            return
        with unit_of_work(actor, causation_id=str(self._job.pk)):
            services.store_result(
                self._job,
                actor=SYSTEM,
                lease=self._lease,
                media_type=media_type,
                content=content,
                rights=sorted(rights_of(actor)),
            )
            export.record(actor, self._job.processed)

    def _lines(self, export: Export) -> Iterator[list[Any]]:
        """The lines of an export, with its progress written down. Raises _Cancelled."""
        done, total = 0, len(export.keys)
        self._advance(done, total)
        for batch in export.batches():
            if self._stopping():
                raise _Cancelled
            yield from batch
            done += len(batch)
            self._advance(done, total)
        self._advance(done, done)

    def _advance(self, processed: int, total: int) -> None:
        self._job = services.advance(
            self._job, actor=SYSTEM, lease=self._lease, processed=processed, total=total
        )

    def _chunk(self, rows: list[WorkRow]) -> None:
        actor = self._actor()
        with unit_of_work(actor, causation_id=str(self._job.pk)):
            self._kind.begin(rows, job=self._job)
            results = [self._try(row, actor) for row in rows]
            self._job = services.record(self._job, actor=SYSTEM, lease=self._lease, rows=results)

    def _all(self, rows: list[WorkRow]) -> None:
        """Every row or none, in one transaction."""
        if not rows or self._stopping():
            return
        actor = self._actor()
        try:
            with unit_of_work(actor, causation_id=str(self._job.pk)):
                self._kind.begin(rows, job=self._job)
                results = [self._try(row, actor) for row in rows]
                if refused := [row for row in results if not row.word]:
                    raise _ChunkRefused(refused)
                self._job = services.record(self._job, actor=SYSTEM, lease=self._lease, rows=results)
        except _ChunkRefused as error:
            self._job = services.record(self._job, actor=SYSTEM, lease=self._lease, rows=error.rows)

    def _check(self, rows: list[WorkRow]) -> bool:
        """Do every row in one transaction, as rows can depend on each other, roll it back and record the outcomes.

        Returns whether it stopped because another session waits for one of the rows: the next turn starts again.
        """
        actor, checked, is_awaited = self._actor(), [], False
        with dry_run(actor):
            for start in range(0, len(rows), CHUNK):
                # Each turn goes a chunk further than the one before, so that the check ends however busy the rows are.
                if (is_awaited := start > self._job.processed and locks.are_awaited()) or self._stopping():
                    break
                chunk = rows[start : start + CHUNK]
                self._kind.begin(chunk, job=self._job)
                checked += [self._try(row, actor) for row in chunk]
        while batch := checked[self._job.processed :][:CHUNK]:
            self._job = services.record(self._job, actor=SYSTEM, lease=self._lease, rows=batch)
        return is_awaited

    def _try(self, row: WorkRow, actor: Actor) -> JobRow:
        outcome = self._kind.attempt(row, job=self._job, actor=actor)
        entry = JobRow(job=self._job, number=row.number, faults=outcome.faults)
        if self._job.mode != Job.Mode.CHECK:
            entry.word, entry.object_id = outcome.done.word, outcome.done.object_id
        elif not outcome.faults:
            entry.word = outcome.foreseen
        return entry

    def _end(self, problem: DomainError | None = None, error: Exception | None = None) -> Job:
        if error is not None:
            log.error("job.failed", code=problem.code if problem else "", exc_info=error)
        with unit_of_work(SYSTEM, causation_id=str(self._job.pk)):
            job: Job = services.finish(self._job, actor=SYSTEM, lease=self._lease, problem=problem)
            self._kind.finish(job)
        return job
