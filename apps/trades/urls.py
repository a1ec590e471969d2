"""Routes of the trades module."""

from apps.trades import money_viewsets as money
from apps.trades import viewsets
from erp.api.routers import Router

router = Router()
PARTS = {
    "terms": viewsets.TermsViewSet,
    "parties": viewsets.PartyViewSet,
    "lots": viewsets.LotViewSet,
    "acknowledgements": viewsets.AcknowledgementViewSet,
    "approvals": viewsets.ApprovalViewSet,
    "quality-results": viewsets.QualityResultViewSet,
    "weighments": viewsets.WeighmentViewSet,
    "dispatches": viewsets.DispatchViewSet,
    "deliveries": viewsets.DeliveryViewSet,
    "payments": money.PaymentViewSet,
    "amendments": viewsets.AmendmentViewSet,
    "disputes": viewsets.DisputeViewSet,
    "deadlines": viewsets.DeadlineViewSet,
    "settlements": money.SettlementOfTradeViewSet,
    "ledger": money.LedgerViewSet,
    "documents": money.DocumentOfTradeViewSet,
    "evidence": viewsets.EvidenceViewSet,
    "history": viewsets.TimelineOfTrade,
}
for name, viewset in PARTS.items():
    router.register(f"trades/<uuid:pk>/{name}", viewset, basename=f"trade-{name}")
router.register("trades/amendments", viewsets.AmendmentDecisionViewSet, basename="trade-amendment")
router.register("trades/disputes", viewsets.DisputeDecisionViewSet, basename="trade-dispute")
router.register("trades/settlements", money.SettlementViewSet, basename="trade-settlement")
router.register("trades/documents", money.DocumentViewSet, basename="trade-document")
router.register("trades", viewsets.TradeViewSet, basename="trade")
urlpatterns = router.urls
