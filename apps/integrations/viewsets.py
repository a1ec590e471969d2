"""The feed over HTTP."""

from typing import ClassVar

from rest_framework.mixins import ListModelMixin

from apps.integrations import capabilities
from apps.integrations.models import FeedEntry
from apps.integrations.pagination import FeedPagination
from apps.integrations.serializers import EventOutput
from apps.integrations.services import CursorExpired
from erp.api.viewsets import ViewSet


class EventViewSet(ListModelMixin, ViewSet):
    """Events of the rows that you see, masked as GET masks them, each once and none ever behind your place.

    Per aggregate they come in rising `sequence`. Told is what happens while a row is yours to see; of an offer
    that comes to the market you learn from its approval on, not what it was as a draft. Kept for 30 days.
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
