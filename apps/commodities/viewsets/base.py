"""Common base of the viewsets of reference data."""

from apps.commodities import capabilities
from apps.commodities.models.commodities import Commodity
from erp.api import lists


class ReferenceRows(lists.ListReadsViewSet):
    """Reference data: open to all signed-in users."""

    reads = capabilities.VIEW


class ReferenceViewSet(lists.ReferenceListViewSet, ReferenceRows):
    """Reference data with a list and single rows."""


class CommodityParts(lists.PartsViewSet, ReferenceRows):
    """The parts of one commodity: ``/commodities/{id}/<parts>``."""

    part_of, wholes = "commodity", Commodity.objects.all()
