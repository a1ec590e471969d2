"""What has changed since it was last matched."""

from datetime import datetime
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q

from erp import clock
from erp.access import Actor
from erp.ids import uuid7
from erp.models import Guarded, QuerySet


class RematchMarkQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """The queue is for staff."""
        return self if user.is_system or user.is_superuser or user.is_staff else self.none()

    def dirty(self) -> Self:
        """Marks of listings that changed since their last run."""
        return self.filter(matched__lt=F("wanted"))

    def due(self, now: datetime) -> Self:
        """Dirty marks whose time has come."""
        return self.dirty().filter(due_at__lte=now)


class RematchMark(Guarded):
    """That a listing is to be matched again: dirty while fewer changes were matched than wanted."""

    machinery = True
    trail_exempt = "a queue; its runs are rows of their own"

    class Subject(models.TextChoices):
        REQUIREMENT = "REQUIREMENT"
        AVAILABILITY = "AVAILABILITY"

    class Priority(models.TextChoices):
        HIGH = "HIGH"
        MEDIUM = "MEDIUM"
        LOW = "LOW"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject_type = models.CharField(max_length=12, choices=Subject)
    subject_id = models.UUIDField()
    wanted = models.BigIntegerField(default=0)
    matched = models.BigIntegerField(default=0)
    seen_version = models.PositiveIntegerField(default=0, help_text="The listing's version at the last run.")
    rules = models.CharField(max_length=64, default="", help_text="The rules of the last run.")
    dirty_at = models.DateTimeField(null=True, help_text="Since when it is dirty.")
    due_at = models.DateTimeField()
    priority = models.CharField(max_length=6, choices=Priority, default=Priority.MEDIUM)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=200, default="")
    created_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = RematchMarkQuerySet.as_manager()

    class Meta(Guarded.Meta):
        verbose_name = "mark"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subject_type", "subject_id"], name="rematch_mark_once"),
            models.CheckConstraint(name="rematch_mark_matched", condition=Q(matched__lte=F("wanted"))),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], name="rematch_mark_due", condition=Q(matched__lt=F("wanted")))
        ]

    def __str__(self) -> str:
        return f"{self.get_subject_type_display()} {self.subject_id}"
