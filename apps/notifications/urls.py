"""Routes of the notifications module."""

from rest_framework.routers import SimpleRouter

from apps.notifications.viewsets import MessageViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("notifications", MessageViewSet, basename="notification")
urlpatterns = router.urls
