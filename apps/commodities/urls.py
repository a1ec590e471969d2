"""Routes of the commodities module."""

from apps.commodities.filters import DatedFilters
from apps.commodities.viewsets import commodities, pricing, schedules, tax, units
from erp.api import lists
from erp.api.routers import Router

router = Router()
router.register("commodities", commodities.CommodityViewSet, basename="commodity")
router.register("quality-schedules", schedules.QualityScheduleViewSet, basename="quality-schedule")
router.register("units", units.UnitViewSet, basename="unit")
router.register("pricing-units", pricing.PricingUnitViewSet, basename="pricing-unit")
router.register("pack-weights", units.PackWeightViewSet, basename="pack-weight")
for part, viewset in (
    ("quality-schedules", schedules.CommoditySchedulesViewSet),
    ("pack-weights", units.CommodityPackWeightsViewSet),
):
    router.register(f"commodities/<uuid:pk>/{part}", viewset, basename=f"commodity-{part}")
lists.register(router, "commodity", commission={"filterset_class": DatedFilters})
router.register("hsn-codes", tax.HsnCodeViewSet, basename="hsn-code")
router.register("hsn-mappings", tax.HsnMappingViewSet, basename="hsn-mapping")
router.register("tax-rates", tax.TaxRateViewSet, basename="tax-rate")
urlpatterns = router.urls
