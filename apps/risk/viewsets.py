"""Risk over HTTP: assessments that people ask for, overrides, and what staff read."""

from typing import Any, ClassVar

from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from apps.partners.models import Partner
from apps.requirement.models import Requirement
from apps.risk import capabilities, lookups, serializers
from apps.risk.filters import AssessmentFilters, OfPartnerFilters
from apps.risk.models import (
    PairBlock,
    RiskAssessment,
    RiskOverride,
    RiskPolicy,
    ScreeningHit,
    ScreeningList,
    SurveillanceAlert,
)
from apps.risk.services import assessing, overrides
from erp.access import actor_of
from erp.api.endpoints import endpoint
from erp.api.viewsets import RowViewSet, ViewSet, read
from erp.errors import CapabilityMissing

_HEAVY: dict[str, Any] = {"status": 201, "throttle": "heavy", "output": serializers.AssessmentOutput}


class AssessViewSet(ViewSet):
    """Assessments of listings: by staff, and by partners of their own."""

    assess_requirement = endpoint(
        assessing.assess_requirement, serializers.AssessRequirementInput, path="requirement", **_HEAVY
    )
    assess_availability = endpoint(
        assessing.assess_availability, serializers.AssessAvailabilityInput, path="availability", **_HEAVY
    )


def _refuse_partners(request: Request) -> None:
    """Refuse users of partners before anything that they sent is read. Raises CapabilityMissing."""
    if actor_of(request).partner_id is not None:
        raise CapabilityMissing(str(capabilities.ASSESS))


class StaffAssessViewSet(ViewSet):
    """Assessments of partners and proposed trades, by staff."""

    assess_partner = endpoint(
        assessing.assess_partner,
        serializers.AssessPartnerInput,
        path="partner",
        target=_refuse_partners,
        **_HEAVY,
    )
    assess_trade = endpoint(
        assessing.assess_trade, serializers.AssessTradeInput, path="trade", target=_refuse_partners, **_HEAVY
    )


class PrecheckViewSet(ViewSet):
    """A look at the risk of a requirement, also before it is published."""

    queryset = Requirement.objects.select_related("buyer_partner", "commodity", "pricing_unit")

    precheck = endpoint(assessing.precheck, path="risk-precheck", **_HEAVY)


class AssessmentViewSet(RowViewSet):
    """Assessments, which are never changed."""

    queryset = RiskAssessment.objects.with_rows()
    serializer_class = serializers.AssessmentOutput
    reads = capabilities.VIEW
    filterset_class = AssessmentFilters
    filters: ClassVar = {
        "subject_type": ["exact", "in"],
        "requirement_id": ["exact"],
        "availability_id": ["exact"],
        "match_id": ["exact"],
        "trade_id": ["exact"],
        "status": ["exact", "in"],
        "created_at": ["gte", "lte"],
    }

    def etag_of(self, row: RiskAssessment) -> str:
        """The row's id: it never changes."""
        return f'"{row.pk}"'


class QueueViewSet(ListModelMixin, ViewSet):
    """Assessments that a person must look at, the oldest first."""

    queryset = RiskAssessment.objects.with_rows()
    serializer_class = serializers.AssessmentOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"subject_type": ["exact", "in"]}
    ordering: ClassVar = ["created_at"]

    def get_queryset(self) -> Any:
        return super().get_queryset().queue()


class PartnerRiskViewSet(ViewSet):
    """Everything about the risk of one partner."""

    queryset = Partner.objects.all()
    serializer_class = serializers.PartnerRiskOutput
    reads = capabilities.VIEW

    @read("partners/<uuid:pk>", detail=False)
    def partner(self, request: Request, pk: Any) -> Response:
        """Return words about a partner with their factors, its rating, exposure, links, blocks, checks and alerts."""
        return Response(self.render(lookups.risk_of(self.get_object())))


class OverrideViewSet(RowViewSet):
    """Overrides of gates, which two people decide."""

    queryset = RiskOverride.objects.all()
    serializer_class = serializers.OverrideOutput
    reads = capabilities.VIEW
    filterset_class = OfPartnerFilters
    filters: ClassVar = {"status": ["exact", "in"], "expires_at": ["gte", "lte"]}

    create = endpoint(overrides.request_override, serializers.OverrideInput, status=202, throttle="heavy")


class AlertViewSet(RowViewSet):
    """Alerts about what was traded."""

    queryset = SurveillanceAlert.objects.all()
    serializer_class = serializers.AlertOutput
    reads = capabilities.VIEW
    filterset_class = OfPartnerFilters
    filters: ClassVar = {"kind": ["exact", "in"], "status": ["exact", "in"], "severity": ["exact", "in"]}


class _ListViewSet(ListModelMixin, ViewSet):
    """Rows without an address of their own."""

    reads = capabilities.VIEW

    def links(self, row: Any) -> dict[str, str]:
        """None: the rows are read in the list."""
        return {}


class PairBlockViewSet(_ListViewSet):
    """Pairs of partners that must not trade with each other."""

    queryset = PairBlock.objects.all()
    serializer_class = serializers.PairBlockOutput
    filterset_class = OfPartnerFilters
    filters: ClassVar = {"cause": ["exact", "in"], "freed_at": ["isnull"]}


class HitViewSet(_ListViewSet):
    """Names of partners that are equal or alike to names on screening lists."""

    queryset = ScreeningHit.objects.all()
    serializer_class = serializers.HitOutput
    filterset_class = OfPartnerFilters
    filters: ClassVar = {"status": ["exact", "in"], "exact": ["exact"], "ended": ["exact"]}


class RiskPolicyViewSet(RowViewSet):
    """Versions of policies."""

    queryset = RiskPolicy.objects.all()
    serializer_class = serializers.RiskPolicyOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"status": ["exact", "in"], "commodity_id": ["exact", "isnull"]}


class ScreeningListViewSet(_ListViewSet):
    """Snapshots of screening lists."""

    queryset = ScreeningList.objects.all()
    serializer_class = serializers.ScreeningListOutput
    filters: ClassVar = {"code": ["exact"], "status": ["exact", "in"]}
