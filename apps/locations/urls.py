"""Routes of places."""

from apps.locations import viewsets
from erp.api.routers import Router

router = Router()
router.register("states/<str:pk>/pin-prefixes", viewsets.PinPrefixViewSet, basename="state-pin-prefixes")
router.register("states", viewsets.StateViewSet, basename="state")
router.register("locations/<uuid:pk>/children", viewsets.ChildrenViewSet, basename="location-children")
router.register("locations/<uuid:pk>/history", viewsets.LocationHistoryViewSet, basename="location-history")
router.register("locations", viewsets.LocationViewSet, basename="location")
urlpatterns = router.urls
