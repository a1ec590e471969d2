"""Endpoint of the event feed."""

from typing import ClassVar

from rest_framework.mixins import ListModelMixin

from apps.integrations import capabilities
from apps.integrations.models import FeedEntry
from apps.integrations.pagination import FeedPagination
from apps.integrations.serializers import EventOutput
from apps.integrations.services import CursorExpired
from erp.api.viewsets import ViewSet


class EventViewSet(ListModelMixin, ViewSet):
    """Events of the rows that you may see, masked like the rows, each once and never before your cursor.

    The `sequence` rises per aggregate. Events of a row appear while you may see the row: of an offer from its
    approval on, not from its draft. Events are stored for 30 days.
    """

    queryset = FeedEntry.objects.all()
    serializer_class = EventOutput
    pagination_class = FeedPagination
    reads = capabilities.READ_EVENTS
    read_problems = (CursorExpired,)
    filters: ClassVar = {
        "type": ["exact", "in"],
        "aggregate_type": ["exact"],
        "aggregate_id": ["exact"],
    }
    ordering = ("position",)
