"""Routes of long work."""

from rest_framework.routers import SimpleRouter

from erp.jobs.viewsets import JobViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("jobs", JobViewSet, basename="job")
urlpatterns = router.urls
