"""Routes of the availability module."""

from apps.availability import viewsets
from erp.api.routers import Router

router = Router()
router.register("availabilities/reservations", viewsets.ReservationViewSet, basename="reservation")
router.register("availabilities/test-reports", viewsets.TestReportViewSet, basename="test-report")
router.register("availabilities/media", viewsets.MediaViewSet, basename="media")
router.register("availabilities/<uuid:pk>/lots", viewsets.LotViewSet, basename="availability-lot")
router.register("availabilities/<uuid:pk>/history", viewsets.TimelineOfOffer, basename="availability-history")
router.register("availabilities/<uuid:pk>/quality", viewsets.QualityViewSet, basename="availability-quality")
router.register(
    "availabilities/<uuid:pk>/test-reports",
    viewsets.OfferTestReportViewSet,
    basename="availability-test-report",
)
router.register(
    "availabilities/<uuid:pk>/reservations", viewsets.HeldViewSet, basename="availability-reservation"
)
router.register("availabilities", viewsets.AvailabilityFiguresViewSet, basename="availability-figures")
router.register("availabilities", viewsets.PriceSuggestionViewSet, basename="availability-price")
router.register("availabilities", viewsets.AvailabilityViewSet, basename="availability")
urlpatterns = router.urls
