"""Requirements over HTTP."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.availability.listings import ListingTimeline, digest_of, parse_query
from apps.availability.models import Stage
from apps.requirement import capabilities, lookups, serializers
from apps.requirement.filters import RequirementFilters
from apps.requirement.models import Band, DeliveryPlace, Fulfilment, Invitation, Requirement, Suggestion
from apps.requirement.services import decisions, ledger, requirements, rules, suggestions
from erp.access import actor_of
from erp.api.endpoints import endpoint, lookup
from erp.api.routers import address_of
from erp.api.viewsets import PartsViewSet, RowViewSet, ViewSet, read
from erp.trail.models import Entry
from erp.trail.timelines import Timeline


class RequirementViewSet(RowViewSet):
    """Requirements: a buyer sees its own completely, other partners see fields by stage."""

    queryset = Requirement.objects.with_row()
    serializer_class = serializers.RequirementOutput
    reads = capabilities.VIEW
    filterset_class = RequirementFilters
    # Only fields that a caller may read on every row, so that filters and sorting reveal no masked value.
    filters: ClassVar = {
        "commodity_id": ["exact", "in"],
        "state_code": ["exact", "in"],
        "visibility": ["exact"],
        "delivery_from_date": ["lte"],
        "delivery_until_date": ["gte"],
    }
    ordering_fields: ClassVar = ["created_at", "published_at", "live_since"]
    changes_known_to = "buyer_partner"

    create = endpoint(requirements.create, serializers.CreateInput)
    update = endpoint(requirements.update, serializers.UpdateInput, if_match="required")
    publish = endpoint(requirements.publish, if_match="optional")
    cancel = endpoint(requirements.cancel, serializers.RequirementCancelInput, if_match="optional")
    fulfill = endpoint(ledger.fulfill, serializers.FulfillInput, if_match="optional")
    approve = endpoint(decisions.approve, serializers.RequirementApproveInput, if_match="required")
    reject = endpoint(decisions.reject, serializers.RequirementRejectInput, if_match="required")
    ai_adjust = endpoint(
        suggestions.ai_adjust, serializers.AiAdjustInput, output=serializers.AdjustmentOutput
    )
    search = lookup(
        lookups.search,
        serializers.RequirementSearchInput,
        requires=capabilities.VIEW_ALL,
        output=serializers.RequirementSearchOutput,
        raises=[rules.SearchInvalid],
    )
    search_by_intent = lookup(
        lookups.search_by_intent,
        serializers.ByIntentInput,
        requires=capabilities.VIEW_ALL,
        path="search/by-intent",
        output=serializers.ByIntentOutput,
    )

    def get_queryset(self) -> Any:
        return super().get_queryset().with_stage(actor_of(self.request))

    def render(self, row: Any, output: Any = None) -> Any:
        """The row as the caller sees it; one that was just written is read anew, with its stage."""
        if isinstance(row, Requirement) and "stage" not in row.__dict__:
            row = self.queryset.with_stage(actor_of(self.request)).get(pk=row.pk)
        return super().render(row, output)

    def links(self, row: Any) -> dict[str, str]:
        """Address of the requirement; a suggestion names the one that it is for."""
        return (
            {"requirement": address_of(row.requirement)}
            if isinstance(row, Suggestion)
            else super().links(row)
        )

    def etag_of(self, row: Requirement) -> str:
        """Return the version to callers who see the whole row, and to others a digest of what they see."""
        if row.stage_for(actor_of(self.request)) >= Stage.OWNER:
            return super().etag_of(row)
        return digest_of(self, row)

    @extend_schema(
        parameters=[serializers.DemandQuery],
        responses=serializers.DemandOutput,
        summary="Show the demand for a commodity",
        filters=False,
    )
    @read("demand-statistics", detail=False, query=tuple(serializers.DemandQuery._declared_fields))
    def demand_statistics(self, request: Request) -> Response:
        """Return live demand by variety, crop year, state and week. Cells that could name a buyer are left out."""
        asked = parse_query(serializers.DemandQuery, request.query_params, self.get_serializer_context())
        cells = lookups.demand(asked.pop("commodity"), **asked)
        return Response(serializers.DemandOutput({"results": cells}).data)


class RequirementAnalyticsViewSet(ViewSet):
    """Figures of one's own requirements, for staff of all."""

    reads = capabilities.VIEW_ANALYTICS
    serializer_class = serializers.RequirementAnalyticsOutput

    @read("analytics", detail=False)
    def analytics(self, request: Request) -> Response:
        """Return how many requirements there are by status and intent, what was bought, and how fast."""
        return Response(self.render(lookups.analytics(actor_of(request), capabilities.VIEW_ANALYTICS)))


class _PartsOfRequirement(PartsViewSet):
    """Parts of a requirement, for its buyer and staff."""

    wholes = Requirement.objects.all()
    part_of = "requirement"
    reads = capabilities.VIEW

    def links(self, row: Any) -> dict[str, str]:
        """The requirement: these rows have no address of their own."""
        return {"requirement": address_of(row.requirement)}


class TimelineOfRequirement(ListingTimeline):
    """What was done to the requirement, the newest first; for its buyer and staff."""

    queryset = Entry.objects.all()
    reads = capabilities.VIEW
    wholes = Requirement.objects.all()
    timeline = Timeline(
        Requirement,
        dict.fromkeys((Band, DeliveryPlace, Invitation, Fulfilment, Suggestion), "requirement"),
        internal=("risk_status", "risk_assessed_at", "editors"),
    )


class FulfilmentViewSet(_PartsOfRequirement):
    """Lines of a requirement's ledger."""

    queryset = Fulfilment.objects.select_related("requirement")
    serializer_class = serializers.FulfilmentOutput
    ordering: ClassVar = ["created_at"]


class SuggestionViewSet(_PartsOfRequirement):
    """Suggestions for a requirement."""

    queryset = Suggestion.objects.select_related("requirement")
    serializer_class = serializers.SuggestionOutput
    ordering: ClassVar = ["-created_at"]
