"""The history of a row over HTTP."""

from typing import Any, ClassVar

from rest_framework.mixins import ListModelMixin

from erp.api import fields
from erp.api.serializers import LookupOutput
from erp.api.viewsets import ViewSet
from erp.capabilities import VIEW_TRAIL
from erp.outbox.models import EventOutbox


class HistoryOutput(LookupOutput):
    """One event of a row."""

    id = fields.UUIDField()
    type = fields.CharField(source="event_type")
    version = fields.IntegerField(source="event_version")
    sequence = fields.IntegerField()
    occurred_at = fields.DateTimeField(source="created_at")
    actor_id = fields.UUIDField(allow_null=True)
    request_id = fields.CharField(source="correlation_id")
    data = fields.DictField(source="payload")  # type: ignore[assignment]


class HistoryViewSet(ListModelMixin, ViewSet):
    """Events of one row, newest first; available for the outbox's retention time.

    ``wholes`` are the rows, and the router's prefix is ``<wholes>/<uuid:pk>/history``.
    """

    queryset = EventOutbox.objects.all()
    serializer_class = HistoryOutput
    reads = VIEW_TRAIL
    wholes: ClassVar[Any]
    aggregate: ClassVar[str]
    ordering = ("-sequence",)

    def get_queryset(self) -> Any:
        row = self.row_of(self.wholes, self.kwargs["pk"])
        return super().get_queryset().filter(aggregate_type=self.aggregate, aggregate_id=row.pk)
