"""Routes of the notifications module."""

from apps.notifications.viewsets import MessageViewSet
from erp.api.routers import Router

router = Router()
router.register("notifications", MessageViewSet, basename="notification")
urlpatterns = router.urls
