"""The record behind an Idempotency-Key: it exists if and only if the request was executed and committed."""

from typing import ClassVar

from django.db import models

from erp import clock
from erp.ids import uuid7


class Record(models.Model):
    """One executed request with its response, for replay (core §4)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    scope = models.BinaryField(max_length=32, unique=True)
    fingerprint = models.BinaryField(max_length=32)
    principal = models.CharField(max_length=100)
    method = models.CharField(max_length=10)
    route = models.CharField(max_length=200)
    status = models.SmallIntegerField()
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=b"")
    secret = models.BooleanField(
        default=False
    )  # the body is encrypted, and wiped long before the record goes
    body_wiped = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=clock.now)
    body_expires_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "idempotency_record"
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], name="idx_idempotency_expires"),
            models.Index(
                fields=["body_expires_at"],
                name="idx_idempotency_secret",
                condition=models.Q(secret=True, body_wiped=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.route} {self.status}"
