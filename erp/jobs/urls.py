"""Routes of long work."""

from erp.api.routers import Router
from erp.jobs.viewsets import JobViewSet

router = Router()
router.register("jobs", JobViewSet, basename="job")
urlpatterns = router.urls
