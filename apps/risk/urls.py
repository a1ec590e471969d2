"""Routes of the risk module."""

from apps.risk import viewsets
from erp.api.routers import Router

router = Router()
router.register("requirements", viewsets.PrecheckViewSet, basename="requirement-risk")
router.register("risk/assess", viewsets.AssessViewSet, basename="risk-assess")
router.register("risk/assess", viewsets.StaffAssessViewSet, basename="risk-assess-staff")
router.register("risk/assessments", viewsets.AssessmentViewSet, basename="risk-assessment")
router.register("risk/queue", viewsets.QueueViewSet, basename="risk-queue")
router.register("risk", viewsets.PartnerRiskViewSet, basename="risk-partner")
router.register("risk/overrides", viewsets.OverrideViewSet, basename="risk-override")
router.register("risk/alerts", viewsets.AlertViewSet, basename="risk-alert")
router.register("risk/pair-blocks", viewsets.PairBlockViewSet, basename="risk-pair-block")
router.register("risk/hits", viewsets.HitViewSet, basename="risk-hit")
router.register("risk/policies", viewsets.RiskPolicyViewSet, basename="risk-policy")
router.register("risk/lists", viewsets.ScreeningListViewSet, basename="risk-list")
urlpatterns = router.urls
