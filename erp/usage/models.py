"""Requests of a day."""

from typing import Any, ClassVar

from django.db import models

from erp.ids import uuid7
from erp.models import Guarded, QuerySet


class RequestCount(Guarded):
    """How many requests of a day (in India) ended with statuses of a class, such as ``2xx``."""

    machinery = True

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    day = models.DateField()
    status_class = models.CharField(max_length=3)
    count = models.BigIntegerField(default=0)

    objects: ClassVar[Any] = QuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "status_class"], name="request_count_once"),
            models.CheckConstraint(name="request_count_rises", condition=models.Q(count__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.status_class}: {self.count}"
