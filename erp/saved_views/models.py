"""A saved view."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from erp import clock
from erp.ids import uuid7
from erp.models import Guarded


class SavedView(Guarded):
    """The query string of a list (``app_label.Model``) under a name of its owner's."""

    machinery = True

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    list = models.CharField(max_length=100)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000)
    created_at = models.DateTimeField(default=clock.now)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "list", "name"], name="saved_view_name_once")
        ]

    def __str__(self) -> str:
        return self.name
