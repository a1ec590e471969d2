"""Routes of the integrations module."""

from apps.integrations.viewsets import EventViewSet
from erp.api.routers import Router

router = Router()
router.register("events", EventViewSet, basename="event")
urlpatterns = router.urls
