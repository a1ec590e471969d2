"""Uploads over HTTP."""

from typing import ClassVar

from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet
from erp.uploads import capabilities, services
from erp.uploads.models import StoredFile
from erp.uploads.serializers import UploadInput, UploadOutput


class UploadViewSet(RowViewSet):
    """Files that a later write uses by id."""

    queryset = StoredFile.objects.all()
    serializer_class = UploadOutput
    reads = capabilities.CREATE
    filters: ClassVar = {"purpose": ["exact"], "scan_status": ["exact"]}
    ordering_fields: ClassVar = ["created_at"]

    create = endpoint(services.create, UploadInput)
