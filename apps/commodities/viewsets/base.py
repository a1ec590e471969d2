"""What the reads of reference data share."""

from typing import Any

from rest_framework.mixins import ListModelMixin

from apps.commodities import capabilities
from apps.commodities.models import Commodity
from apps.commodities.models.base import is_staff
from erp import access
from erp.api.viewsets import RowViewSet, ViewSet


class ReferenceRows(ViewSet):
    """Reference data: open to whoever is signed in.

    Partners' lists leave out archived rows; by id they are still found, since old contracts name them.
    """

    reads = capabilities.VIEW

    def filter_queryset(self, queryset: Any) -> Any:
        queryset = super().filter_queryset(queryset)
        listed = self.action == "list" and not is_staff(access.actor_of(self.request))
        return queryset.active() if listed else queryset


class ReferenceViewSet(RowViewSet, ReferenceRows):
    """Reference data with a list and single rows."""


class CommodityParts(ListModelMixin, ReferenceRows):
    """The parts of one commodity: ``/commodities/{id}/<parts>``."""

    def get_queryset(self) -> Any:
        commodity = self.row_of(Commodity.objects.all(), self.kwargs["pk"])
        return super().get_queryset().filter(commodity=commodity)
