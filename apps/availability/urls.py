"""Routes of the availability module."""

from rest_framework.routers import SimpleRouter

from apps.availability.viewsets import AvailabilityViewSet, ReservationViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("availabilities/reservations", ReservationViewSet, basename="reservation")
router.register("availabilities", AvailabilityViewSet, basename="availability")
urlpatterns = router.urls
