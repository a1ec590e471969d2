"""What the reads of reference data share."""

from typing import Any

from apps.commodities import capabilities
from apps.commodities.models.base import is_staff
from erp.api.viewsets import RowViewSet


class ReferenceViewSet(RowViewSet):
    """Reference data: open to whoever is signed in.

    Partners' lists leave out archived rows; by id they are still found, since old contracts name them.
    """

    reads = capabilities.VIEW

    def filter_queryset(self, queryset: Any) -> Any:
        queryset = super().filter_queryset(queryset)
        listed = self.action == "list" and not is_staff(self.request.user)
        return queryset.active() if listed else queryset
