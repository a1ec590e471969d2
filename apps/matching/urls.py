"""Routes of the matching module."""

from django.urls import path

from apps.matching.viewsets import (
    AllocationViewSet,
    MatchingAvailabilityViewSet,
    MatchingRequirementViewSet,
    MatchRulesViewSet,
    MatchRunViewSet,
    MatchViewSet,
    RuleSetViewSet,
)
from erp.api.routers import Router

router = Router()
router.register("matching/requirements", MatchingRequirementViewSet, basename="matching-requirement")
router.register("matching/availabilities", MatchingAvailabilityViewSet, basename="matching-availability")
router.register("matching/runs", MatchRunViewSet, basename="matching-run")
router.register("matching/allocations", AllocationViewSet, basename="matching-allocation")
router.register("matching/rule-sets", RuleSetViewSet, basename="matching-rule-set")
router.register("matching", MatchViewSet, basename="matching")
urlpatterns = [
    path(
        "matching/config/rules",
        MatchRulesViewSet.as_view({"get": "rules", "put": "update"}),
        name="matching-config-rules",
    ),
    *router.urls,
]
