"""Matches over HTTP."""

from typing import Any, ClassVar

from django.db.models import Prefetch
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.availability import capabilities as availability
from apps.availability.models import Availability
from apps.matching import capabilities, lookups, serializers
from apps.matching.filters import MatchFilters, id_in, sample_of
from apps.matching.models import Allocation, AllocationPart, Match, MatchRun, RuleSet
from apps.matching.services import batches, deciding, rule_sets, runs
from apps.requirement import capabilities as requirement
from apps.requirement.models import Requirement
from erp.access import actor_of
from erp.api.endpoints import endpoint, visible_row
from erp.api.problems import etag
from erp.api.viewsets import RowViewSet, ViewSet, read

_UUID = {"type": "string", "format": "uuid"}


class MatchViewSet(RowViewSet):
    """Matches: each side sees the other under a pseudonym, and no more of it than its offer or bands."""

    queryset = Match.objects.with_row()
    serializer_class = serializers.MatchOutput
    reads = capabilities.VIEW
    filterset_class = MatchFilters
    filters: ClassVar = {
        "availability_id": ["exact"],
        "status": ["exact", "in"],
        "label": ["exact", "in"],
        "created_at": ["gte", "lte"],
        "expires_at": ["gte", "lte"],
    }
    ordering_fields: ClassVar = ["created_at", "expires_at", "score"]

    approve = endpoint(deciding.approve, serializers.MatchApproveInput, if_match="required", throttle="heavy")
    reject = endpoint(deciding.reject, serializers.MatchRejectInput, if_match="required")
    execute = endpoint(
        batches.start_batch,
        serializers.ExecuteInput,
        output=serializers.BatchOutput,
        status=202,
        throttle="heavy",
    )

    def render(self, row: Any, output: Any = None) -> Any:
        """The row as the caller sees it; one that was just written is read anew."""
        if isinstance(row, Match):
            row = self.queryset.get(pk=row.pk)
        return super().render(row, output)


class MatchRunViewSet(RowViewSet):
    """Runs of your own listings; staff see all."""

    queryset = MatchRun.objects.select_related("rule_set")
    serializer_class = serializers.MatchRunOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"kind": ["exact"], "status": ["exact"], "requirement_id": ["exact"],
                         "availability_id": ["exact"], "commodity_id": ["exact"]}  # fmt: skip
    ordering: ClassVar = ["-created_at"]

    def get_queryset(self) -> Any:
        return self.queryset.visible_to(
            actor_of(self.request)
        )  # a partner's come by its listings, not by a right


class AllocationViewSet(RowViewSet):
    """How contested stock was divided; a participant sees the total and its own part."""

    queryset = Allocation.objects.prefetch_related(
        Prefetch("parts", AllocationPart.objects.select_related("match"))
    )
    serializer_class = serializers.AllocationOutput
    reads = capabilities.VIEW
    http_method_names = ["get", "head", "options"]

    def get_queryset(self) -> Any:
        return self.queryset.visible_to(actor_of(self.request))


class _ListingViewSet(ViewSet):
    """Runs and explanations of one listing."""

    other: ClassVar[str]
    others: ClassVar[Any]
    other_reads: ClassVar[Any]

    def _explain(self, request: Request) -> Response:
        subject, actor, query = self.get_object(), actor_of(request), request.query_params
        run = lookups.explained_run(actor, subject, id_in(query, "run"))
        named, pair = id_in(query, self.other), None
        if named is not None:
            other = visible_row(self.others, actor, self.other_reads, named)
            pair = lookups.explained_pair(actor, subject, other)
        shown = {"pool": "0", "rejected": {}, "dropped": {}}
        if run is not None:
            shown = self.render(run, serializers.MatchRunOutput)
        body = {
            "run_id": run and run.pk,
            "at": run and run.created_at,
            **{name: shown[name] for name in ("pool", "rejected", "dropped")},
            "pair": pair,
        }
        return Response(serializers.ExplanationOutput(body).data)


class MatchingRequirementViewSet(_ListingViewSet):
    """Find offers for a requirement, and why others do not match."""

    queryset = Requirement.objects.all()
    serializer_class = serializers.ExplanationOutput
    reads = requirement.VIEW
    other, others, other_reads = "availability", Availability.objects.all(), availability.VIEW

    find_matches = endpoint(
        runs.find_for_requirement, serializers.FindInput, output=serializers.RunResultOutput, throttle="heavy"
    )

    @extend_schema(
        parameters=[OpenApiParameter("run", _UUID), OpenApiParameter("availability", _UUID)], filters=False
    )
    @read("explanation", query=("run", "availability"))
    def explanation(self, request: Request, **kwargs: Any) -> Response:
        """Explain why a requirement did not match in its last run or a named one, or one offer."""
        return self._explain(request)


class MatchingAvailabilityViewSet(_ListingViewSet):
    """Find requirements for an offer, and why others do not match."""

    queryset = Availability.objects.all()
    serializer_class = serializers.ExplanationOutput
    reads = availability.VIEW
    other, others, other_reads = "requirement", Requirement.objects.all(), requirement.VIEW

    find_matches = endpoint(
        runs.find_for_availability,
        serializers.FindInput,
        output=serializers.RunResultOutput,
        throttle="heavy",
    )

    @extend_schema(
        parameters=[OpenApiParameter("run", _UUID), OpenApiParameter("requirement", _UUID)], filters=False
    )
    @read("explanation", query=("run", "requirement"))
    def explanation(self, request: Request, **kwargs: Any) -> Response:
        """Explain why an offer did not match in its last run or a named one, or one requirement."""
        return self._explain(request)


def _scope(request: Request) -> RuleSet:
    """The current rules of the scope that the request names, by body or query; built-in ones where there is none."""
    named, of = (request.data, "") if request.method == "PUT" else (request.query_params, "/query")
    return rule_sets.scope_of(id_in(named, "commodity_id", of=of))


class MatchRulesViewSet(ViewSet):
    """The current rules of a scope: the default ones, or those of a commodity."""

    queryset = RuleSet.objects.all()
    serializer_class = serializers.RuleSetOutput
    reads = capabilities.CONFIGURE

    update = endpoint(
        rule_sets.propose_rules, serializers.RuleSetInput, target=_scope, if_match="required", status=202
    )

    @extend_schema(parameters=[OpenApiParameter("commodity_id", _UUID)], filters=False)
    @read("rules", detail=False, query=("commodity_id",))
    def rules(self, request: Request) -> Response:
        """Return the current rules of a commodity, or the default ones. The ETag is their version, 0 if built in."""
        row = _scope(request)
        response = Response(self.render(row))
        response["ETag"] = etag(row.version)
        return response

    def links(self, row: RuleSet) -> dict[str, str]:
        """The address of a stored version; built-in rules have none."""
        return super().links(row) if row.version else {}


class RuleSetViewSet(RowViewSet):
    """Versions of the rules, the newest first."""

    queryset = RuleSet.objects.select_related("commodity")
    serializer_class = serializers.RuleSetOutput
    reads = capabilities.CONFIGURE
    filters: ClassVar = {"commodity_id": ["exact"], "status": ["exact", "in"]}
    ordering: ClassVar = ["-created_at"]

    def etag_of(self, row: RuleSet) -> str:
        """Version and status: only the status ever changes."""
        return f'"{row.version}-{row.status}"'

    @extend_schema(
        parameters=[
            OpenApiParameter("sample", {"type": "integer", "minimum": 1, "maximum": 200, "default": 100})
        ],
        responses=serializers.SimulationOutput,
        filters=False,
    )
    @read("simulation", query=("sample",))
    def simulation(self, request: Request, **kwargs: Any) -> Response:
        """Compare these rules with the current ones on a sample of live requirements. Nothing is stored."""
        found = lookups.simulate(self.get_object(), sample=sample_of(request))
        return Response(serializers.SimulationOutput(found).data)
