"""Routes of the partners module."""

from apps.partners import viewsets
from erp.api.routers import Router

router = Router()
router.register(
    "partners/onboarding/<uuid:pk>/timeline", viewsets.TimelineOfRound, basename="partner-onboarding-timeline"
)
router.register("partners/kyc/expiring", viewsets.ExpiringKycViewSet, basename="partner-kyc-expiring")
router.register("partners", viewsets.KycRegisterViewSet, basename="partner-kyc-register")
router.register("partners", viewsets.AnalyticsViewSet, basename="partner-analytics")
router.register("partners/onboarding", viewsets.OnboardingViewSet, basename="partner-onboarding")
router.register("partners/documents", viewsets.DocumentViewSet, basename="partner-document")
router.register("partners/employees", viewsets.EmployeeViewSet, basename="partner-employee")
router.register("partners/bank-accounts", viewsets.BankAccountViewSet, basename="partner-bank-account")
router.register("partners/amendments", viewsets.AmendmentViewSet, basename="partner-amendment")
router.register("partners", viewsets.PartnerViewSet, basename="partner")
router.register("partners", viewsets.CreditAccountViewSet, basename="partner-credit")
for part, viewset in (
    ("rounds", viewsets.RoundsOfPartner),
    ("documents", viewsets.DocumentsOfPartner),
    ("locations", viewsets.LocationsOfPartner),
    ("vehicles", viewsets.VehiclesOfPartner),
    ("employees", viewsets.EmployeesOfPartner),
    ("bank-accounts", viewsets.BankAccountsOfPartner),
    ("amendments", viewsets.AmendmentsOfPartner),
    ("permissions", viewsets.PermissionsOfPartner),
    ("credit-limits", viewsets.CreditLimitsOfPartner),
    ("exposure", viewsets.ExposureOfPartner),
    ("checks", viewsets.ChecksOfPartner),
    ("timeline", viewsets.TimelineOfPartner),
    ("links", viewsets.LinksOfPartner),
):
    router.register(f"partners/<uuid:pk>/{part}", viewset, basename=f"partner-{part}")
urlpatterns = router.urls
