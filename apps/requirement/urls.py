"""Routes of the requirement module."""

from apps.requirement.viewsets import (
    FulfilmentViewSet,
    RequirementAnalyticsViewSet,
    RequirementViewSet,
    SuggestionViewSet,
    TimelineOfRequirement,
)
from erp.api.routers import Router

router = Router()
router.register("requirements/<uuid:pk>/fulfilments", FulfilmentViewSet, basename="requirement-fulfilment")
router.register("requirements/<uuid:pk>/history", TimelineOfRequirement, basename="requirement-history")
router.register("requirements/<uuid:pk>/suggestions", SuggestionViewSet, basename="requirement-suggestion")
router.register("requirements", RequirementAnalyticsViewSet, basename="requirement-analytics")
router.register("requirements", RequirementViewSet, basename="requirement")
urlpatterns = router.urls
