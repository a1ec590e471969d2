"""Trades over HTTP: the contract, what happens to the goods, amendments and disputes."""

from typing import Any, ClassVar, Final

from django.db.models import Prefetch
from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.trades import capabilities, lookups, money_serializers, serializers
from apps.trades.filters import TradeFilters
from apps.trades.models import (
    Acknowledgement,
    Amendment,
    Approval,
    Deadline,
    Delivery,
    Dispatch,
    Dispute,
    Governing,
    Lot,
    Party,
    QualityResult,
    Terms,
    Trade,
    Weighment,
)
from apps.trades.models.evidence import evidence_of
from apps.trades.services import (
    amendments,
    approval,
    cancellation,
    creation,
    disputes,
    execution,
    payments,
    quality,
    rules,
    settlement,
)
from erp import access
from erp.access import actor_of
from erp.api.endpoints import endpoint, lookup
from erp.api.routers import address_of
from erp.api.timelines import TimelineViewSet
from erp.api.viewsets import PartsViewSet, PartViewSet, RowViewSet, ViewSet, read
from erp.errors import NotFound
from erp.services import Service
from erp.trail import services as trail
from erp.trail.models import Entry
from erp.trail.timelines import Timeline
from erp.uploads.models import StoredFile
from erp.uploads.viewsets import TYPES, WithContent, send

# Verbs of the trade whose address lies below it.
BELOW: Final[dict[str, Service]] = {
    "record_quality": quality.record_quality,
    "record_weight": quality.record_weight,
    "dispatch": execution.dispatch,
    "deliver": execution.deliver,
    "record_payment": payments.record_payment,
    "propose_amendment": amendments.propose_amendment,
    "create_dispute": disputes.create_dispute,
}


class TradeViewSet(RowViewSet):
    """Trades: both sides see them completely, brokers and carriers what concerns them."""

    queryset = Trade.objects.select_related("seller", "buyer", "availability").with_approvals()
    serializer_class = serializers.TradeOutput
    reads = capabilities.VIEW
    filterset_class = TradeFilters
    filters: ClassVar = {"status": ["exact", "in"], "commodity_id": ["exact", "in"]}
    search_fields: ClassVar = ["number"]
    ordering_fields: ClassVar = ["created_at"]

    create = endpoint(creation.create, serializers.TradeCreateInput)
    acknowledge = endpoint(approval.acknowledge, serializers.AcknowledgeInput, if_match="optional")
    approve = endpoint(approval.approve, serializers.TradeApproveInput, if_match="required")
    cancel = endpoint(cancellation.cancel, serializers.TradeCancelInput, if_match="required")
    settle = endpoint(settlement.settle, money_serializers.SettleInput, if_match="required")
    preview = lookup(
        lookups.preview_settlement,
        money_serializers.PreviewInput,
        requires=capabilities.VIEW,
        detail=True,
        path="settlement/preview",
        output=money_serializers.PreviewOutput,
        raises=[rules.NotASide, rules.InvalidState, rules.DateInFuture, *settlement.ENGINE_ERRORS],
    )

    def get_queryset(self) -> Any:
        own = Prefetch("parties", Party.objects.order_by("role"))
        return super().get_queryset().with_part(actor_of(self.request)).prefetch_related(own)

    def render(self, row: Any, output: Any = None) -> Any:
        """The trade as the caller sees it; one that was just written is read anew."""
        if isinstance(row, Trade) and "part" not in row.__dict__:
            row = self.queryset.with_part(actor_of(self.request)).get(pk=row.pk)
        return super().render(row, output)

    def allowed_actions(self, row: Any) -> list[str]:
        """Verbs on the trade and on its parts."""
        actor, verbs = actor_of(self.request), row.open_verbs()
        below = [
            name.replace("_", "-")
            for name, service in BELOW.items()
            if name in verbs and service.requires is not None and access.may(actor, service.requires, row)
        ]
        return [*super().allowed_actions(row), *below]


class _OfTrade(PartsViewSet):
    """Rows of a trade."""

    wholes = Trade.objects.all()
    part_of = "trade"
    reads = capabilities.VIEW
    ordering: ClassVar = ["created_at"]

    def links(self, row: Any) -> dict[str, str]:
        """The trade: these rows have no address of their own."""
        return {"trade": address_of(row.trade)}


class _WrittenOfTrade(PartViewSet):
    """Rows of a trade that callers add, with an address of their own below it."""

    wholes = Trade.objects.all()
    part_of = "trade"
    reads = capabilities.VIEW
    ordering: ClassVar = ["created_at"]

    def links(self, row: Any) -> dict[str, str]:
        """The row and its trade."""
        return {"self": address_of(row), "trade": address_of(row.trade)}

    def etag_of(self, row: Any) -> str:
        """The version; what is recorded never changes and has none."""
        return super().etag_of(row) if hasattr(row, "version") else '"1"'


class TermsViewSet(_OfTrade):
    """Versions of the terms."""

    queryset = Terms.objects.select_related("trade")
    serializer_class = serializers.TermsOutput
    ordering: ClassVar = ["-terms_version"]


class PartyViewSet(_OfTrade):
    """Parties of a trade: all for both sides, oneself for others."""

    queryset = Party.objects.select_related("trade", "partner")
    serializer_class = serializers.PartyOutput


class LotViewSet(_OfTrade):
    """Lots of a trade."""

    queryset = Lot.objects.select_related("trade")
    serializer_class = serializers.TradeLotOutput
    ordering: ClassVar = ["lot_no"]


class AcknowledgementViewSet(_OfTrade):
    """Who agreed to which terms."""

    queryset = Acknowledgement.objects.select_related("trade")
    serializer_class = serializers.AcknowledgementOutput


class ApprovalViewSet(_OfTrade):
    """Who approved the trade, for staff."""

    queryset = Approval.objects.select_related("trade")
    serializer_class = serializers.ApprovalOutput


class QualityResultViewSet(_WrittenOfTrade):
    """Quality results of a trade."""

    queryset = QualityResult.objects.select_related("trade").prefetch_related(
        "values__parameter", Prefetch("trade__governing", Governing.objects.order_by("pk"))
    )
    serializer_class = serializers.QualityResultOutput

    create = endpoint(quality.record_quality, serializers.QualityInput)


class WeighmentViewSet(_WrittenOfTrade):
    """Weighings of a trade."""

    queryset = Weighment.objects.select_related("trade")
    serializer_class = serializers.WeighmentOutput

    create = endpoint(quality.record_weight, serializers.WeighmentInput)


class DispatchViewSet(_WrittenOfTrade):
    """Dispatches of a trade, and returns."""

    queryset = Dispatch.objects.select_related("trade").prefetch_related("lines")
    serializer_class = serializers.DispatchOutput

    create = endpoint(execution.dispatch, serializers.DispatchInput, if_match="optional")


class DeliveryViewSet(_WrittenOfTrade):
    """Deliveries of a trade."""

    queryset = Delivery.objects.select_related("trade").prefetch_related("lines")
    serializer_class = serializers.DeliveryOutput

    create = endpoint(execution.deliver, serializers.DeliveryInput, if_match="optional")


class AmendmentViewSet(_WrittenOfTrade):
    """Amendments of a trade."""

    queryset = Amendment.objects.select_related("trade")
    serializer_class = serializers.AmendmentOutput

    create = endpoint(amendments.propose_amendment, serializers.AmendmentInput, if_match="optional")


class DisputeViewSet(_WrittenOfTrade):
    """Disputes of a trade."""

    queryset = Dispute.objects.select_related("trade")
    serializer_class = serializers.DisputeOutput

    create = endpoint(disputes.create_dispute, serializers.DisputeInput, if_match="optional")


class DeadlineViewSet(_OfTrade):
    """Deadlines of a trade."""

    queryset = Deadline.objects.select_related("trade")
    serializer_class = serializers.DeadlineOutput
    ordering: ClassVar = ["due_date"]


class _Decided(ViewSet):
    """Rows of trades that are decided at an address of their own."""

    reads = capabilities.VIEW

    def links(self, row: Any) -> dict[str, str]:
        """The row and its trade."""
        return {"self": address_of(row), "trade": address_of(row.trade)}


class AmendmentDecisionViewSet(_Decided):
    """Decisions of the other side on amendments."""

    queryset = Amendment.objects.select_related("trade")
    serializer_class = serializers.AmendmentOutput

    accept_amendment = endpoint(
        amendments.accept_amendment, serializers.AcceptAmendmentInput, if_match="required", path="accept"
    )
    reject_amendment = endpoint(
        amendments.reject_amendment, serializers.RejectAmendmentInput, if_match="required", path="reject"
    )


class DisputeDecisionViewSet(_Decided):
    """Decisions on disputes."""

    queryset = Dispute.objects.select_related("trade")
    serializer_class = serializers.DisputeOutput

    resolve_dispute = endpoint(
        disputes.resolve_dispute, serializers.ResolveDisputeInput, if_match="required", path="resolve"
    )


class EvidenceViewSet(WithContent, PartsViewSet):
    """Files that prove what was recorded of a trade; for both sides and staff."""

    queryset = StoredFile.objects.all()
    serializer_class = serializers.EvidenceOutput
    wholes = Trade.objects.all()
    part_of = "trade"
    reads = capabilities.VIEW
    ordering: ClassVar = ["created_at"]

    def get_queryset(self) -> Any:
        actor = actor_of(self.request)  # a file that a row uses is read through that row
        trade = self.row_of(self.wholes.visible_to(actor), self.kwargs["pk"])
        return self.queryset.filter(pk__in=evidence_of(trade, actor))

    def links(self, row: Any) -> dict[str, str]:
        """The trade, and the bytes."""
        trade = self.kwargs["pk"]
        content = reverse("trade-evidence-content", kwargs={"pk": trade, "child_id": row.pk})
        return {"trade": address_of(Trade(pk=trade)), "content": content}

    @extend_schema(responses={(200, each): OpenApiTypes.BINARY for each in TYPES})
    @read("content")
    def content(self, request: Request, pk: Any = None, child_id: Any = None) -> HttpResponse:
        """Download the file, once the scan for malware has found nothing. Each opening by staff is recorded."""
        file = self.get_queryset().filter(pk=child_id, scan_status=StoredFile.Scan.CLEAN).first()
        if file is None:
            raise NotFound
        actor = actor_of(request)
        if actor.partner_id is None:
            trail.record_clear_reads(actor=actor, reads={(Trade._meta.db_table, str(pk)): ["evidence"]})
        return send(file, f"evidence-{file.pk}")


class TimelineOfTrade(TimelineViewSet):
    """What was done in the trade, the newest first; for both sides and staff."""

    queryset = Entry.objects.all()
    reads = capabilities.VIEW
    wholes = Trade.objects.all()
    timeline = Timeline(
        Trade,
        dict.fromkeys(
            (Acknowledgement, QualityResult, Weighment, Dispatch, Delivery, Amendment, Dispute, Deadline),
            "trade",
        ),
        internal=("hold_code", "base_value", "requirement_id", "cancel_note"),
    )

    def whole(self) -> Any:
        """The trade. Raises NotFound for those who aren't a side."""
        row = super().whole()
        actor = actor_of(self.request)
        if actor.partner_id is not None and row.side_of(actor) is None:
            raise NotFound
        return row
