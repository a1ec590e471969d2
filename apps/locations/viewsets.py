"""Places over HTTP."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from apps.locations import capabilities, lookups
from apps.locations.filters import PlaceFilters, distance_query
from apps.locations.models import Distance, Location, Merged, PinPrefix, State
from apps.locations.serializers import (
    BulkImportInput,
    DistanceOutput,
    FetchDetailsInput,
    FetchDetailsOutput,
    LocationCreateInput,
    LocationOutput,
    LocationUpdateInput,
    MergeInput,
    PinPrefixOutput,
    ReparentInput,
    ReverseGeocodeInput,
    ReverseGeocodeOutput,
    SearchInput,
    SearchOutput,
    StateOutput,
)
from apps.locations.services import imports, places, tree
from erp.access import actor_of
from erp.api.endpoints import endpoint, lookup
from erp.api.viewsets import RowViewSet, ViewSet, read
from erp.jobs.serializers import JobOutput
from erp.outbox.viewsets import HistoryViewSet


class PlaceRows(ViewSet):
    """Common part of lists and single places: rows come with all their related rows in two queries."""

    queryset = Location.objects.select_related("state", "parent__parent__parent__parent").prefetch_related(
        "provider_refs"
    )
    serializer_class = LocationOutput
    reads = capabilities.VIEW
    filterset_class = PlaceFilters
    search_fields: ClassVar = ["search_key"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "name"]

    def filter_queryset(self, queryset: Any) -> Any:
        """Return only active places in a list, unless the query filters by status."""
        rows = super().filter_queryset(queryset)
        by_status = {"status", "status__in"} & self.request.query_params.keys()
        return rows if by_status or self.action != "list" else rows.selectable()


class LocationViewSet(RowViewSet, PlaceRows):
    """The registry of places."""

    read_problems = (Merged, lookups.NoCoordinates)
    filters: ClassVar = {
        "type": ["exact", "in"],
        "country": ["exact", "in"],
        "parent": ["exact", "isnull"],
        "pincode": ["exact", "in"],
        "is_verified": ["exact"],
        "status": ["exact", "in"],
    }

    search = lookup(
        lookups.search,
        SearchInput,
        requires=capabilities.VIEW,
        read_only=False,
        output=SearchOutput,
    )
    fetch_details = lookup(
        lookups.fetch_details,
        FetchDetailsInput,
        requires=capabilities.VIEW,
        read_only=False,
        output=FetchDetailsOutput,
        raises=[lookups.PlaceNotFound],
    )
    reverse_geocode = lookup(
        lookups.reverse_geocode,
        ReverseGeocodeInput,
        requires=capabilities.VIEW,
        read_only=False,
        output=ReverseGeocodeOutput,
    )
    bulk_import = endpoint(
        imports.bulk_import,
        BulkImportInput,
        output=JobOutput,
        status=202,
        throttle="heavy",
    )
    create = endpoint(
        places.create,
        LocationCreateInput,
        otherwise={200: lambda place: place.existed},
    )
    update = endpoint(
        places.update,
        LocationUpdateInput,
        if_match="required",
    )
    parent = endpoint(
        tree.reparent,
        ReparentInput,
        if_match="required",
        method="put",
    )
    merge = endpoint(
        tree.merge,
        MergeInput,
        if_match="optional",
    )

    @extend_schema(
        parameters=[
            OpenApiParameter("from", {"type": "string", "format": "uuid"}, required=True),
            OpenApiParameter("to", {"type": "string", "format": "uuid"}, required=True),
            OpenApiParameter("mode", {"type": "string", "enum": Distance.Mode.values, "default": "ROAD"}),
        ],
        responses=DistanceOutput,
        summary="Get the distance between two places",
        filters=False,
    )
    @read("distance", detail=False, query=("from", "to", "mode"))
    def distance(self, request: Request) -> Response:
        """Return the great-circle distance, and the distance by road or rail where it is known."""
        query = distance_query(request.query_params)
        distance = lookups.distance(query["from"], query["to"], query["mode"], actor=actor_of(request))
        return Response(DistanceOutput(distance).data)


class ChildrenViewSet(ListModelMixin, PlaceRows):
    """Places located directly in a place."""

    summaries = {"list": "List the places in a place"}

    read_problems = (Merged,)
    filters: ClassVar = {"type": ["exact", "in"], "status": ["exact", "in"]}

    def get_queryset(self) -> Any:
        parent = self.row_of(Location.objects.all(), self.kwargs["pk"])
        if (gone := parent.gone()) is not None:
            raise gone
        return super().get_queryset().filter(parent=parent)


class LocationHistoryViewSet(HistoryViewSet):
    """History of a place."""

    summaries = {"list": "Read the history of a place"}

    wholes = Location.objects.all()
    aggregate = "location"


class StateViewSet(RowViewSet):
    """States of India."""

    queryset = State.objects.all()
    serializer_class = StateOutput
    reads = capabilities.VIEW
    lookup_value_converter = "str"
    filters: ClassVar = {"region": ["exact", "in"], "cotton_zone": ["exact", "in", "isnull"]}
    search_fields: ClassVar = ["name"]
    ordering: ClassVar = ["name"]
    ordering_fields: ClassVar = ["name", "gst_code"]


class PinPrefixViewSet(ListModelMixin, ViewSet):
    """PIN prefixes of a state."""

    queryset = PinPrefix.objects.all()
    serializer_class = PinPrefixOutput
    reads = capabilities.VIEW
    ordering: ClassVar = ["prefix"]
    ordering_fields: ClassVar = ["prefix"]

    def get_queryset(self) -> Any:
        state = self.row_of(State.objects.all(), self.kwargs["pk"])
        return super().get_queryset().filter(state=state)
