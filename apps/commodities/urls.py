"""Routes of the commodities module."""

from apps.commodities import viewsets
from apps.commodities.filters import DatedFilters
from erp.api import lists
from erp.api.routers import Router

router = Router()
router.register("commodities", viewsets.CommodityViewSet, basename="commodity")
router.register("quality-schedules", viewsets.QualityScheduleViewSet, basename="quality-schedule")
router.register("units", viewsets.UnitViewSet, basename="unit")
router.register("pricing-units", viewsets.PricingUnitViewSet, basename="pricing-unit")
router.register("pack-weights", viewsets.PackWeightViewSet, basename="pack-weight")
for part, viewset in (
    ("quality-schedules", viewsets.CommoditySchedulesViewSet),
    ("pack-weights", viewsets.CommodityPackWeightsViewSet),
):
    router.register(f"commodities/<uuid:pk>/{part}", viewset, basename=f"commodity-{part}")
lists.register(router, "commodity", commission={"filterset_class": DatedFilters})
router.register("hsn-codes", viewsets.HsnCodeViewSet, basename="hsn-code")
router.register("hsn-mappings", viewsets.HsnMappingViewSet, basename="hsn-mapping")
router.register("tax-rates", viewsets.TaxRateViewSet, basename="tax-rate")
urlpatterns = router.urls
