"""A job, the file it works through, and what became of each row."""

from datetime import datetime, timedelta
from typing import ClassVar, Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from erp import clock
from erp.access import Actor, granted_keys, holds_everywhere
from erp.encryption import decrypt_bytes, encrypt_bytes
from erp.labels import label_of
from erp.models import Guarded, Model, QuerySet


class JobQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """One's own; every job for those who read the trail."""
        return self if holds_everywhere(user, "trail.view") else self.filter(owner_id=user.pk)

    def due(self, now: datetime) -> Self:
        """Jobs that nobody works on: new ones, and those whose worker let its lease run out."""
        return self.filter(status__in=Job.OPEN).filter(Q(lease_until=None) | Q(lease_until__lt=now))

    def being_made(self, owner: Actor, kind: str) -> Self:
        """The owner's jobs of that kind that aren't over nor being stopped."""
        return self.filter(owner_id=owner.pk, kind=kind, status__in=[Job.Status.QUEUED, Job.Status.RUNNING])


class Job(Model):
    """One piece of long work. Its changes are bookkeeping; what it does to business rows has events."""

    owner_user = "owner_id"

    machinery = True

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        PARTIAL = "partial"
        FAILED = "failed"
        CANCELLING = "cancelling"
        CANCELLED = "cancelled"

    class Mode(models.TextChoices):
        ATOMIC = "atomic"
        PARTIAL = "partial"
        CHECK = "check"  # changes nothing

    OPEN: Final = (Status.QUEUED, Status.RUNNING, Status.CANCELLING)

    kind = models.CharField(max_length=60)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    mode = models.CharField(max_length=7, choices=Mode)
    parameters = models.JSONField(default=dict)
    file_name = models.CharField(max_length=255, default="")
    file_sha256 = models.CharField(max_length=64, default="")
    total = models.PositiveIntegerField()
    processed = models.PositiveIntegerField(default=0)
    accepted = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    tally = models.JSONField(default=dict)  # word of an accepted row (created, unchanged …) → how many
    problem_code = models.CharField(max_length=100, default="")  # why the job as a whole failed
    problem_detail = models.TextField(default="")
    # Who holds an unexpired lease does the work; another takes over once it has run out.
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar = JobQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="job_counts_fit",
                condition=Q(processed=models.F("accepted") + models.F("refused"))
                & Q(processed__lte=models.F("total")),
            ),
            models.CheckConstraint(
                name="job_finished_has_time",
                condition=Q(status__in=["queued", "running", "cancelling"], finished_at=None)
                | Q(status__in=["succeeded", "partial", "failed", "cancelled"], finished_at__isnull=False),
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["lease_until"],
                condition=Q(status__in=["queued", "running", "cancelling"]),
                name="job_open",
            ),
            models.Index(fields=["owner", "created_at"], name="job_owner"),
        ]

    def __str__(self) -> str:
        return f"{label_of(self.kind.rpartition('.')[2])} {self.file_name or self.pk}"

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"cancel"} if self.status in (self.Status.QUEUED, self.Status.RUNNING) else ())

    def is_stopped_by(self, actor: Actor) -> bool:
        """Whether it is ``actor``'s to stop: who reads the trail looks at the jobs of others, no more."""
        granted = granted_keys(actor, "job.cancel", Job)
        return actor.is_system or actor.is_superuser or self.belongs_to(actor) or self.pk in granted

    @property
    def eta_at(self) -> datetime | None:
        """When it will be done if it goes on as it did so far."""
        if self.status != self.Status.RUNNING or not self.processed or self.started_at is None:
            return None
        now = clock.now()
        each: timedelta = (now - self.started_at) / self.processed
        return now + each * (self.total - self.processed)


class JobFile(Guarded):
    """The file that a job works through, kept for some days after its end."""

    machinery = True

    job = models.OneToOneField(Job, models.CASCADE, primary_key=True, related_name="file")
    content = models.BinaryField()

    def __str__(self) -> str:
        return str(self.job_id)


class JobResult(Guarded):
    """The file that a job made, encrypted, kept for some days after its end; ``rights`` are those it was made with."""

    machinery = True

    job = models.OneToOneField(Job, models.CASCADE, primary_key=True, related_name="made")
    media_type = models.CharField(max_length=100)
    content_encrypted = models.BinaryField()
    rights = models.JSONField(default=list)

    @property
    def content(self) -> bytes:
        """The file in clear."""
        return decrypt_bytes(bytes(self.content_encrypted), context=f"job.result:{self.job_id}")

    @content.setter
    def content(self, content: bytes) -> None:
        self.content_encrypted = encrypt_bytes(content, context=f"job.result:{self.job_id}")

    def __str__(self) -> str:
        return str(self.job_id)


class JobRow(Guarded):
    """What became of one row of a job. There is one per number, so a row is never done twice."""

    machinery = True

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, models.CASCADE, related_name="rows")
    number = models.PositiveIntegerField()  # 1 is the first row after the header
    word = models.CharField(max_length=20, default="")  # created, unchanged …; empty: refused
    object_id = models.UUIDField(null=True)
    faults = models.JSONField(default=list)  # [{pointer, code, detail}] of a refused row

    class Meta(Guarded.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["job", "number"], name="job_row_once")]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.number}"
