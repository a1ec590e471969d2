"""Routes of the negotiations module."""

from apps.negotiations.viewsets import NegotiationViewSet, OfferViewSet
from erp.api.routers import Router

router = Router()
router.register("negotiations/<uuid:pk>/offers", OfferViewSet, basename="negotiation-offer")
router.register("negotiations", NegotiationViewSet, basename="negotiation")
urlpatterns = router.urls
