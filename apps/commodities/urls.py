"""Routes of the commodities module."""

from apps.commodities import viewsets
from erp.api.routers import Router

router = Router()
router.register("commodities", viewsets.CommodityViewSet, basename="commodity")
router.register("varieties", viewsets.VarietyViewSet, basename="variety")
router.register("grades", viewsets.GradeViewSet, basename="grade")
router.register("quality-parameters", viewsets.ParameterViewSet, basename="quality-parameter")
router.register("parameter-templates", viewsets.TemplateViewSet, basename="parameter-template")
router.register("quality-schedules", viewsets.QualityScheduleViewSet, basename="quality-schedule")
router.register("units", viewsets.UnitViewSet, basename="unit")
router.register("pricing-units", viewsets.PricingUnitViewSet, basename="pricing-unit")
router.register("pack-weights", viewsets.PackWeightViewSet, basename="pack-weight")
for part, viewset in (
    ("varieties", viewsets.CommodityVarietiesViewSet),
    ("grades", viewsets.CommodityGradesViewSet),
    ("quality-parameters", viewsets.CommodityParametersViewSet),
    ("quality-schedules", viewsets.CommoditySchedulesViewSet),
    ("pack-weights", viewsets.CommodityPackWeightsViewSet),
):
    router.register(f"commodities/<uuid:pk>/{part}", viewset, basename=f"commodity-{part}")
router.register("trade-types", viewsets.TradeTypeViewSet, basename="trade-type")
router.register("bargain-types", viewsets.BargainTypeViewSet, basename="bargain-type")
router.register("passing-terms", viewsets.PassingTermsViewSet, basename="passing-terms")
router.register("weighment-terms", viewsets.WeighmentTermsViewSet, basename="weighment-terms")
router.register("delivery-terms", viewsets.DeliveryTermsViewSet, basename="delivery-terms")
router.register("payment-terms", viewsets.PaymentTermsViewSet, basename="payment-terms")
router.register("commissions", viewsets.CommissionViewSet, basename="commission")
router.register("hsn-codes", viewsets.HsnCodeViewSet, basename="hsn-code")
router.register("hsn-mappings", viewsets.HsnMappingViewSet, basename="hsn-mapping")
router.register("tax-rates", viewsets.TaxRateViewSet, basename="tax-rate")
urlpatterns = router.urls
