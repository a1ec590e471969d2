"""Routes of the availability module."""

from apps.availability.viewsets import AvailabilityViewSet, ReservationViewSet
from erp.api.routers import Router

router = Router()
router.register("availabilities/reservations", ReservationViewSet, basename="reservation")
router.register("availabilities", AvailabilityViewSet, basename="availability")
urlpatterns = router.urls
