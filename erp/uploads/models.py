"""The stored bytes of a file, and what the scan for malware says of them."""

import hashlib
from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from erp import clock
from erp.access import Actor
from erp.clients import RemoteUnavailable
from erp.models import Guarded, Model, QuerySet
from erp.uploads.storage import store


class FileQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """One's own uploads; a file that a row uses is read through that row."""
        return self.filter(created_by_id=user.pk)

    def unused(self, now: datetime) -> Self:
        """Files that no row used in time."""
        return self.filter(used_by="", expires_at__lte=now)

    def unscanned(self) -> Self:
        """Files that the scanner hasn't judged yet."""
        return self.filter(scan_status=StoredFile.Scan.PENDING).order_by("id")


class StoredFile(Model):
    """A file as it was uploaded. It belongs to its uploader until a row uses it."""

    trail_personal = ("name",)
    owner_user = "created_by_id"

    class Scan(models.TextChoices):
        PENDING = "pending"
        CLEAN = "clean"
        REFUSED = "refused"

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    purpose = models.CharField(max_length=60, help_text="What the file is for, such as partner.document.")
    name = models.CharField(max_length=255, help_text="Name of the file, for display only.")
    media_type = models.CharField(max_length=100, help_text="Type of the content, judged by the content.")
    size = models.PositiveIntegerField(help_text="Size in bytes.")
    sha256 = models.CharField("SHA-256", max_length=64, help_text="SHA-256 of the content in hexadecimal.")
    scan_status = models.CharField(
        max_length=7, choices=Scan, default=Scan.PENDING, help_text="Result of the scan for malware."
    )
    used_by = models.CharField(max_length=100, default="", editable=False)  # label of the model of the row
    expires_at = models.DateTimeField(help_text="When an unused file is deleted.")

    objects: ClassVar[Any] = FileQuerySet.as_manager()

    class Meta(Model.Meta):
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=Q(scan_status="pending"), name="upload_unscanned"),
            models.Index(fields=["expires_at"], condition=Q(used_by=""), name="upload_unused"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """The name of the file's object in the store: it never means other bytes."""
        return f"{self.pk}/{self.sha256}"

    @property
    def content(self) -> bytes:
        """The bytes, from the database or the store. Raises RemoteUnavailable where the store can't give them."""
        held = FileContent.objects.get(file=self)
        if held.storage_key is None:
            return bytes(held.content or b"")
        content = store().get(held.storage_key)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise RemoteUnavailable("The stored file is damaged. Staff must restore it.")
        return content


class ContentQuerySet(QuerySet):
    def movable(self) -> Self:
        """Bytes in the database that belong to a row and were judged clean."""
        clean = Q(file__scan_status=StoredFile.Scan.CLEAN) & ~Q(file__used_by="")
        return self.filter(clean, content__isnull=False).order_by("file")


class FileContent(Guarded):
    """The bytes of a file, or their object's key: apart from its row, so that lists and the trail don't copy them."""

    trail_exempt = "bytes; the file's row, with their SHA-256, is in the trail"
    machinery = True

    file = models.OneToOneField(StoredFile, models.CASCADE, primary_key=True, related_name="+")
    content = models.BinaryField(null=True)
    storage_key = models.CharField(max_length=120, null=True)

    objects: ClassVar[Any] = ContentQuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="upload_bytes_in_one_place",
                condition=Q(content__isnull=False, storage_key=None)
                | Q(content=None, storage_key__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return str(self.file_id)


class DeletedObject(Guarded):
    """An object of the store whose file is deleted: written in the transaction that deletes it, done after an hour."""

    trail_exempt = "bookkeeping of the store"
    machinery = True

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=120)
    deleted_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return self.key
