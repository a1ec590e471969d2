"""Uploads over HTTP."""

from typing import Any, ClassVar, Final

from django.http import HttpResponse
from rest_framework.renderers import BaseRenderer

from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet
from erp.files import JPEG, PDF, PNG
from erp.uploads import capabilities, services
from erp.uploads.models import StoredFile
from erp.uploads.serializers import UploadInput, UploadOutput


class _FileRenderer(BaseRenderer):
    """Stands for a file that a view sends as it is."""

    def __init__(self, media_type: str) -> None:
        self.media_type, self.format = media_type, media_type.rpartition("/")[2]


TYPES: Final = (PDF, JPEG, PNG)


class WithContent:
    """A viewset whose rows have a file each, which its action ``content`` sends."""

    action: str

    def get_renderers(self) -> list[Any]:
        files = [_FileRenderer(each) for each in TYPES] if self.action == "content" else []
        return [*files, *super().get_renderers()]  # type: ignore[misc]


def send(stored: StoredFile, name: str) -> HttpResponse:
    """A stored file to save, under a name that tells nothing of it."""
    response = HttpResponse(stored.content, content_type=stored.media_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


class UploadViewSet(RowViewSet):
    """Files that a later write uses by id."""

    queryset = StoredFile.objects.all()
    serializer_class = UploadOutput
    reads = capabilities.CREATE
    filters: ClassVar = {"purpose": ["exact"], "scan_status": ["exact"]}
    ordering_fields: ClassVar = ["created_at"]

    create = endpoint(services.create, UploadInput)
