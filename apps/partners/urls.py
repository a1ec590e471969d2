"""Routes of the partners module."""

from apps.partners.viewsets import PartnerViewSet
from erp.api.routers import Router

router = Router()
router.register("partners", PartnerViewSet, basename="partner")
urlpatterns = router.urls
