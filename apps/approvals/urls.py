"""Routes of the approvals module."""

from apps.approvals.viewsets import ApprovalViewSet
from erp.api.routers import Router

router = Router()
router.register("approvals", ApprovalViewSet, basename="approval")
urlpatterns = router.urls
