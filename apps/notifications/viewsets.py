"""Endpoints of the caller's own messages, read-only."""

from typing import ClassVar

from apps.notifications import capabilities
from apps.notifications.models import Message
from apps.notifications.serializers import MessageOutput
from erp.api.viewsets import RowViewSet


class MessageViewSet(RowViewSet):
    """Messages of the caller."""

    queryset = Message.objects.all()
    serializer_class = MessageOutput
    reads = capabilities.VIEW
    filters: ClassVar = {
        "status": ["exact", "in"],
        "channel": ["exact"],
        "code": ["exact", "in"],
        "created_at": ["gte", "lte"],
    }
    ordering_fields: ClassVar = ["created_at", "updated_at"]
