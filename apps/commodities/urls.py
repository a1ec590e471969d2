"""Routes of the commodities module."""

from rest_framework.routers import SimpleRouter

from apps.commodities.viewsets import CommodityViewSet, VarietyViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("commodities", CommodityViewSet, basename="commodity")
router.register("varieties", VarietyViewSet, basename="variety")
urlpatterns = router.urls
