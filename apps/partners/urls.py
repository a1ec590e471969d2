"""Routes of the partners module."""

from rest_framework.routers import SimpleRouter

from apps.partners.viewsets import PartnerViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("partners", PartnerViewSet, basename="partner")
urlpatterns = router.urls
