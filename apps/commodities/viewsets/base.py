"""What the reads of reference data share."""

from typing import Any

from rest_framework.mixins import ListModelMixin

from apps.commodities import capabilities
from apps.commodities.models import Commodity
from erp.api import lists


class ReferenceRows(lists.ReferenceRows):
    """Reference data: open to whoever is signed in."""

    reads = capabilities.VIEW


class ReferenceViewSet(lists.ReferenceViewSet, ReferenceRows):
    """Reference data with a list and single rows."""


class CommodityParts(ListModelMixin, ReferenceRows):
    """The parts of one commodity: ``/commodities/{id}/<parts>``."""

    def get_queryset(self) -> Any:
        commodity = self.row_of(Commodity.objects.all(), self.kwargs["pk"])
        return super().get_queryset().filter(commodity=commodity)
