"""Routes of the organization module."""

from apps.organization import viewsets
from erp.api.routers import Router

router = Router()
router.register("organizations", viewsets.OrganizationViewSet, basename="organization")
for part, viewset in (
    ("gst-registrations", viewsets.GstRegistrationViewSet),
    ("bank-accounts", viewsets.BankAccountViewSet),
    ("financial-years", viewsets.FinancialYearViewSet),
    ("document-series", viewsets.DocumentSeriesViewSet),
    ("document-numbers", viewsets.DocumentNumberViewSet),
):
    router.register(f"organizations/<uuid:pk>/{part}", viewset, basename=f"organization-{part}")
urlpatterns = router.urls
