"""The money of trades over HTTP: payments, settlements, ledger and documents."""

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.trades import capabilities, lookups
from apps.trades import money_serializers as serializers
from apps.trades.models import LedgerEntry, Payment, Settlement, Trade, TradeDocument
from apps.trades.services import payments
from erp.access import actor_of
from erp.api.endpoints import endpoint
from erp.api.routers import address_of
from erp.api.viewsets import PartsViewSet, PartViewSet, RowViewSet, ViewSet, read
from erp.files import PDF
from erp.jobs.downloads import PdfRenderer, attachment
from erp.trail import services as trail


class _OfTrade(PartsViewSet):
    """Rows of a trade, for its two sides and staff."""

    wholes = Trade.objects.all()
    part_of = "trade"
    reads = capabilities.VIEW

    def links(self, row: Any) -> dict[str, str]:
        """The trade: these rows have no address of their own."""
        return {"trade": address_of(row.trade)}


class PaymentViewSet(PartViewSet):
    """Payments of a trade."""

    queryset = Payment.objects.select_related("trade").prefetch_related("allocations")
    serializer_class = serializers.PaymentOutput
    ordering: ClassVar = ["number"]
    wholes = Trade.objects.all()
    part_of = "trade"
    reads = capabilities.VIEW

    def links(self, row: Payment) -> dict[str, str]:
        """The payment and its trade."""
        return {"self": address_of(row), "trade": address_of(row.trade)}

    def etag_of(self, row: Payment) -> str:
        """A payment never changes."""
        return '"1"'

    create = endpoint(payments.record_payment, serializers.PaymentInput)


class LedgerViewSet(_OfTrade):
    """Who owes whom in a trade, and why."""

    queryset = LedgerEntry.objects.select_related("trade")
    serializer_class = serializers.LedgerEntryOutput
    ordering: ClassVar = ["id"]


class SettlementOfTradeViewSet(_OfTrade):
    """Settlements of a trade."""

    queryset = Settlement.objects.select_related("trade")
    serializer_class = serializers.SettlementOutput
    ordering: ClassVar = ["-revision"]


class DocumentOfTradeViewSet(_OfTrade):
    """Documents of a trade."""

    queryset = TradeDocument.objects.select_related("trade")
    serializer_class = serializers.DocumentOutput
    ordering: ClassVar = ["created_at"]


class SettlementViewSet(RowViewSet):
    """A settlement with every line."""

    queryset = Settlement.objects.select_related("trade").prefetch_related("lines")
    serializer_class = serializers.SettlementDetailOutput
    list_serializer_class = serializers.SettlementOutput
    reads = capabilities.VIEW
    filters: ClassVar = {"trade_id": ["exact"], "settled_date": ["gte", "lte"]}
    ordering_fields: ClassVar = ["settled_date", "created_at"]

    def etag_of(self, row: Settlement) -> str:
        """The hash of its lines: a settlement never changes."""
        return f'"{row.lines_hash[:32]}"'

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @read("trace")
    def trace(self, request: Request, pk: Any = None) -> Response:
        """Return terms, facts and figures, from which the command of the engine computes the settlement again.

        A side doesn't see what the other has counted with its broker. Where the other side pays a broker, that side or
        staff can compute the whole again.
        """
        return Response(lookups.known_trace(self.get_object(), actor_of(request)))


class DocumentViewSet(ViewSet):
    """The file of a document."""

    queryset = TradeDocument.objects.select_related("trade", "file")
    reads = capabilities.VIEW

    def get_renderers(self) -> list[Any]:
        return [PdfRenderer(), *super().get_renderers()]

    @extend_schema(responses={(200, PDF): OpenApiTypes.BINARY})
    @read("content")
    def content(self, request: Request, pk: Any = None) -> HttpResponse:
        """Download the document: for the two sides and staff. Each opening by staff is a line in the history."""
        row: TradeDocument = self.get_object()
        actor = actor_of(request)
        if actor.partner_id is None:
            trail.record_clear_reads(
                actor=actor, reads={(TradeDocument._meta.db_table, str(row.pk)): ["file"]}
            )
        return attachment(
            HttpResponse(row.file.content, content_type=PDF), f"{row.kind}-{row.subject or row.trade}"
        )
