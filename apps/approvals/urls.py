"""Routes of the approvals module."""

from rest_framework.routers import SimpleRouter

from apps.approvals.viewsets import ApprovalViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("approvals", ApprovalViewSet, basename="approval")
urlpatterns = router.urls
