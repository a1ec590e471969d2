"""Trades in the staff portal: the story of each deal, what is next and who must act; queues of what waits."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import BooleanField, ExpressionWrapper, F, Q, TextField, Value
from django.db.models.functions import Cast, JSONObject
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from apps.trades import capabilities, portal_forms, serializers
from apps.trades import money_admin as money_admin  # registers its pages
from apps.trades.models import (
    Amendment,
    Approval,
    Deadline,
    Dispatch,
    Dispute,
    Payment,
    QualityResult,
    Refusal,
    Trade,
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
    settlement,
)  # fmt: skip
from erp import clock
from erp.access import actor_of, person_of
from erp.admin import Queue, ServiceAdmin, Table, amount, quantity
from erp.admin.previews import response
from erp.api.problems import problem_kinds
from erp.figures import group, trim
from erp.services import Service
from erp.trail import services as trail
from erp.uploads.models import StoredFile

_Status = Trade.Status
# Who must act, and on what, in each status.
NEXT: dict[str, tuple[str, str]] = {
    _Status.PENDING_ACKNOWLEDGEMENT: ("Seller and buyer", "acknowledge the terms"),
    _Status.PENDING_APPROVAL: ("Managers who had no part in it", "approve it"),
    _Status.APPROVED: ("Seller", "test, weigh and dispatch the goods; the buyer pays the advance"),
    _Status.IN_EXECUTION: ("Seller and buyer", "dispatch and take delivery of what is open"),
    _Status.DELIVERED: ("Finance", "record the balance and settle"),
    _Status.SETTLED: ("Nobody", "nothing is due but notes of the settlement"),
    _Status.CANCELLED: ("Nobody", "a washout may have to be paid"),
}


def _kg(value: Any) -> str:
    return f"{group(value)} kg"


def _recorded(what: str, rows: Any, *names: str, **figures: str) -> Any:
    """One kind of fact: what, when, by whom, and named details. Figures come as text, so none becomes a float."""
    details = {name: F(name) for name in names} | {
        name: Cast(source, TextField()) for name, source in figures.items()
    }
    return rows.order_by().values_list(Value(what), "created_at", "created_by_id", JSONObject(**details))


def _facts(trade: Trade) -> list[tuple[str, datetime, Any, dict[str, Any]]]:
    """All that was recorded of a trade, in one query."""
    parts = [
        _recorded("acknowledged", trade.acknowledgements, "role", "terms_version", "on_behalf"),
        _recorded("approved", trade.approvals, "comment", "terms_version"),
        _recorded("amendment", trade.amendments, "status", "side", "changes"),
        _recorded("quality", trade.quality_results, "source", "lot__lot_no", "decision"),
        _recorded("weighed", trade.weighments, "stage", "lot__lot_no", net_kg="net_kg"),
        _recorded("dispatch", trade.dispatches, "direction", "vehicle_number", "eway_status", "voided_at"),
        _recorded("delivered", trade.deliveries, "final", "condition_note"),
        _recorded("payment", trade.payments, "currency", "kind", "method", amount="amount"),
        _recorded("dispute", trade.disputes, "kind", "status", "outcome"),
        _recorded("settled", trade.settlements, "number", "currency", total="invoice_total"),
    ]
    return sorted(parts[0].union(*parts[1:], all=True), key=lambda each: each[1], reverse=True)


def _change(change: dict[str, Any]) -> tuple[str, str]:
    """A changed term in words: its name, and old → new."""

    def shown(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{name.replace('_', ' ')} {shown(part)}" for name, part in value.items())
        if isinstance(value, list):
            return "; ".join(map(shown, value)) or "none"
        return "none" if value in (None, "") else str(value)

    name = change["pointer"].strip("/").replace("/", ", ").replace("_", " ")
    return name, f"{shown(change['old'])} → {shown(change['new'])}"


def _words(what: str, of: dict[str, Any]) -> tuple[str, str]:
    """A fact in words: its title and its details."""

    def label(model: Any, name: str) -> str:
        return str(dict(model._meta.get_field(name).flatchoices).get(of[name], ""))

    match what:
        case "acknowledged":
            given = "on behalf, with evidence" if of["on_behalf"] else f"version {of['terms_version']}"
            return f"Acknowledged by the {of['role'].lower()}", given
        case "approved":
            return "Approved", of["comment"] or f"version {of['terms_version']}"
        case "amendment":
            changes = ", ".join(": ".join(_change(each)) for each in of["changes"])
            return f"Amendment, {label(Amendment, 'status').lower()}", changes
        case "quality":
            decision = label(QualityResult, "decision")
            return f"Quality, {label(QualityResult, 'source')}", f"{of['lot__lot_no']}: {decision}"
        case "weighed":
            return f"Weighed, {of['stage'].lower()}", f"{of['lot__lot_no']}: {_kg(Decimal(of['net_kg']))}"
        case "dispatch":
            title = "Returned" if of["direction"] == execution.RETURN else "Dispatched"
            eway = label(Dispatch, "eway_status").lower()
            return (
                f"{title}, voided" if of["voided_at"] else title,
                f"{of['vehicle_number']}, e-way bill {eway}",
            )
        case "delivered":
            return "Delivered, final" if of["final"] else "Delivered", of["condition_note"]
        case "payment":
            paid = f"{group(Decimal(of['amount']))} {of['currency']}, {label(Payment, 'method')}"
            return f"Payment, {label(Payment, 'kind').lower()}", paid
        case "dispute":
            ended = label(Dispute, "outcome") or label(Dispute, "status")
            return f"Dispute, {label(Dispute, 'kind').lower()}", ended
        case _:
            return "Settled", f"{of['number']}: {group(Decimal(of['total']))} {of['currency']}"


def story(trade: Trade, facts: list[tuple[str, datetime, Any, dict[str, Any]]]) -> list[tuple[str, ...]]:
    """What happened, the newest first: when, what, details, and by whom."""
    people = get_user_model()._default_manager.in_bulk(
        {by for _, _, by, _ in facts if by} | {trade.created_by_id}
    )
    lines = [(at, *_words(what, of), by) for what, at, by, of in facts]
    made = f"{_kg(trade.weight_kg)} at {trim(trade.price)} {trade.pricing_unit}"
    lines.append((trade.created_at, "Created", made, trade.created_by_id))
    return [
        (clock.local(at), title, words or "–", str(people.get(by) or "The system"))
        for at, title, words, by in lines
    ]


@admin.register(Trade)
class TradeAdmin(ServiceAdmin):
    """Trades with their story."""

    views = capabilities.VIEW
    empty = "They are made of approved matches and accepted negotiations."
    runs: ClassVar = [
        approval.approve, approval.acknowledge, execution.deliver, execution.dispatch, quality.record_quality,
        quality.record_weight, payments.record_payment, settlement.settle, amendments.propose_amendment,
        disputes.create_dispute, cancellation.cancel,
    ]  # fmt: skip
    inputs: ClassVar = {
        approval.acknowledge: serializers.PortalAcknowledgeInput,
        quality.record_quality: serializers.PortalQualityInput,
        quality.record_weight: serializers.PortalWeighmentInput,
        amendments.propose_amendment: serializers.PortalAmendmentInput,
        disputes.create_dispute: serializers.PortalDisputeInput,
        cancellation.cancel: serializers.PortalCancelInput,
    }
    queues: ClassVar = [
        Queue(
            title="Trades to approve",
            filters={"status": "PENDING_APPROVAL"},
            since="updated_at",
            amber=timedelta(hours=1),
            red=timedelta(hours=2),
            working=True,
        ),
        Queue(
            title="Trades to settle",
            filters={"status": "DELIVERED"},
            since="updated_at",
            amber=timedelta(days=15),
            red=timedelta(days=30),
            quiet=True,
        ),
    ]
    list_display: ClassVar = [
        "number", "seller", "buyer", "commodity", quantity("weight_kg", "KG", "weight"), "shown_price",
        amount("contract_value"), "status", "trade_date",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "hold_code", "trade_date"]
    list_select_related: ClassVar = ["seller", "buyer", "commodity", "pricing_unit"]
    search_fields: ClassVar = ["number__startswith", "seller__legal_name", "buyer__legal_name"]
    search_help_text = "Trade number, seller or buyer"
    ordering: ClassVar = ["-created_at", "id"]
    details: ClassVar = [
        "number", "status", "hold_code", "seller", "buyer", "commodity", "variety",
        quantity("weight_kg", "KG", "weight"), "count", "count_unit", "shown_price",
        amount("contract_value"), "trade_date", "window_start_date",
        "window_end_date", "from_location", "to_location", "match", "negotiation", "availability", "requirement",
        "terms_version", "contract_hash", "approvals_required", "acknowledge_until", "cancel_reason", "cancel_note",
        "cancelled_count", "cancelled_kg", "approved_at", "settled_at", "created_by", "version",
    ]  # fmt: skip

    @admin.display(description="price", ordering="price")
    def shown_price(self, row: Trade) -> str:
        """The price with its unit."""
        return f"{trim(row.price)} {row.pricing_unit}"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.evidence_view)
        return [
            path("<path:object_id>/evidence/<uuid:file_id>/", view, name="trade_trade_evidence"),
            *super().get_urls(),
        ]

    def evidence_view(self, request: HttpRequest, object_id: str, file_id: UUID) -> HttpResponse:
        """Send a file of the trade; the opening is a line in its history."""
        row = self._row(request, object_id)
        kind = evidence_of(row, actor_of(request)).get(file_id)
        file = StoredFile.objects.filter(pk=file_id, scan_status=StoredFile.Scan.CLEAN).first()
        if kind is None or file is None:
            raise Http404
        reads = {(Trade._meta.db_table, str(row.pk)): [kind]}
        trail.record_clear_reads(actor=person_of(actor_of(request)), reads=reads)
        return response(
            file.content, file.media_type, f"{row.number}-{file.pk}", inline="inline" in request.GET
        )

    def _evidence(self, request: HttpRequest, row: Trade) -> Table:
        kinds = evidence_of(row, actor_of(request))
        files = (
            StoredFile.objects.filter(pk__in=kinds).select_related("created_by").order_by("created_at", "pk")
        )
        lines = [
            (
                kinds[file.pk],
                clock.local(file.created_at),
                file.created_by or "The system",
                self._link(row, file),
            )
            for file in files
        ]
        return Table("Evidence", ["Of", "When", "By", "File"], lines)

    def _link(self, row: Trade, file: StoredFile) -> str:
        if file.scan_status != StoredFile.Scan.CLEAN:
            return "The scan for malware isn't done, or refused the file."
        url = reverse("admin:trade_trade_evidence", args=(row.pk, file.pk))
        return format_html('<a class="text-link" href="{}?inline">Open {}</a>', url, file.name)

    def disabled_reason(self, request: HttpRequest, service: Service, row: Trade) -> str:
        """Why the approver can't approve: a part in the trade, or an approval given."""
        if service is not approval.approve:
            return ""
        if request.user.pk in approval.involved(row):
            return "You had a part in this trade, so another person must approve it."
        given = Approval.objects.filter(
            trade=row, terms_version=row.terms_version, created_by_id=request.user.pk
        ).exists()
        return "You have approved it; another person must, too." if given else ""

    def fixed_values(self, request: HttpRequest, service: Service) -> dict[str, Any]:
        """The portal settles what it shows: it has no preview of another program."""
        return {"preview_hash": None} if service is settlement.settle else {}

    def initial_values(self, request: HttpRequest, service: Service, row: Trade) -> dict[str, Any]:
        """What is known of the trade."""
        return portal_forms.initial(row, service)

    def options(self, request: HttpRequest, service: Service, row: Trade) -> dict[str, list[tuple[str, str]]]:
        """Rows of the trade only."""
        return portal_forms.choices(row, service)

    def tables(self, request: HttpRequest, row: Trade) -> list[Table]:
        """What is next, deadlines, parties, lots, and the story."""
        facts = _facts(row)
        who, what = NEXT[row.status]
        if row.status == _Status.PENDING_ACKNOWLEDGEMENT:
            given = {
                of["role"]
                for each, _, _, of in facts
                if each == "acknowledged" and of["terms_version"] == row.terms_version
            }
            who = " and ".join(side for side in ("Seller", "Buyer") if side.upper() not in given)
        waiting = [(who, what)]
        for each, _, _, of in facts:
            match each, of:
                case "dispute", {"status": Dispute.Status.OPEN}:
                    waiting.append(("Director", "resolve a dispute"))
                case "amendment", {"status": Amendment.Status.PROPOSED, "side": side}:
                    other = "buyer" if side == "SELLER" else "seller"
                    waiting.append((f"The {other}", "decide on an amendment"))
                case "amendment", {"status": Amendment.Status.ACCEPTED}:
                    waiting.append(("Managers", "approve an amendment"))
                case "dispatch", {"eway_status": Dispatch.Eway.FAILED, "voided_at": None}:
                    waiting.append(("Staff", "enter the number of the e-way bill: the request for it failed"))
        deadlines = [
            (each.get_kind_display(), f"{each.due_date:%d %b %Y}", each.get_status_display())
            for each in row.deadlines.order_by("due_date", "kind")
        ]
        parties = [
            (each.get_role_display(), each.partner, each.state_code or "–", each.get_tax_status_display(),
             "–" if each.share is None else f"{each.share.normalize():f} %")
            for each in row.parties.select_related("partner").order_by("created_at", "id")
        ]  # fmt: skip
        lots = [
            (each.lot_no, each.count or "–", _kg(each.estimated_kg)) for each in row.lots.order_by("lot_no")
        ]
        return [
            Table("What is next", ["Who", "What"], waiting),
            Table("Deadlines", ["What", "By", "Status"], deadlines),
            Table("Story", ["When", "What", "Details", "By"], story(row, facts)),
            Table("Parties", ["Role", "Partner", "State", "GST", "Share"], parties),
            Table("Lots", ["Lot", "Packages", "Weight"], lots),
            self._evidence(request, row),
        ]


def _waits(rows: Any, condition: Q) -> Any:
    """Rows with ``waits``: whether they belong to a queue."""
    return rows.annotate(waits=ExpressionWrapper(condition, output_field=BooleanField()))


class _OfTrade(ServiceAdmin):
    views = capabilities.VIEW
    search_help_text = "Trade number"
    search_fields: ClassVar = ["trade__number__startswith"]
    list_select_related: ClassVar = ["trade", "created_by"]
    ordering: ClassVar = ["-created_at", "id"]


@admin.register(Amendment)
class AmendmentAdmin(_OfTrade):
    """Amendments. The other side decides; the approvals module has those that change an approved value."""

    empty = "A side proposes them."
    runs: ClassVar = [amendments.accept_amendment, amendments.reject_amendment]
    inputs: ClassVar = {
        amendments.accept_amendment: serializers.PortalAcceptAmendmentInput,
        amendments.reject_amendment: serializers.PortalRejectAmendmentInput,
    }
    list_display: ClassVar = ["trade", "side", "commercial", "status", "created_by", "created_at"]
    list_filter: ClassVar = ["status", "commercial"]
    details: ClassVar = [
        "trade", "side", "status", "commercial", "reason", "base_terms_version", "proposed_hash", "on_behalf",
        "decided_by", "decided_at", "decision_reason", "created_by", "created_at",
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: Amendment) -> list[Table]:
        """Old beside new."""
        changes = [_change(each) for each in row.changes]
        return [Table("Changes", ["Term", "Change"], changes)]


@admin.register(Dispute)
class DisputeAdmin(_OfTrade):
    """Disputes of trades."""

    empty = "A side raises them."
    runs: ClassVar = [disputes.resolve_dispute]
    inputs: ClassVar = {disputes.resolve_dispute: serializers.PortalResolveDisputeInput}
    queues: ClassVar = [
        Queue(
            title="Disputes to resolve",
            filters={"status": "OPEN"},
            since="created_at",
            amber=timedelta(days=2),
            red=timedelta(days=7),
            quiet=True,
        )
    ]
    list_display: ClassVar = ["trade", "kind", "side", "claimed_amount", "status", "outcome", "created_at"]
    list_filter: ClassVar = ["status", "kind", "outcome"]
    details: ClassVar = [
        "trade", "lot", "kind", "side", "claimed_amount", "statement", "status", "outcome", "award_amount", "award_to",
        "resolution", "resolved_by", "resolved_at", "created_by", "created_at",
    ]  # fmt: skip


@admin.register(Dispatch)
class DispatchAdmin(_OfTrade):
    """Dispatches with their e-way bills."""

    empty = "The seller's side or the transporter records them."
    runs: ClassVar = [execution.enter_eway, execution.void_dispatch, execution.extend_eway]
    inputs: ClassVar = {
        execution.enter_eway: serializers.EnterEwayInput,
        execution.void_dispatch: serializers.VoidDispatchInput,
        execution.extend_eway: serializers.ExtendEwayInput,
    }
    queues: ClassVar = [
        Queue(
            title="E-way bills that failed",
            filters={"waits": "True"},
            since="dispatched_at",
            amber=timedelta(hours=1),
            red=timedelta(hours=4),
            quiet=True,
        )
    ]
    list_display: ClassVar = [
        "trade", "direction", "dispatched_at", "vehicle_number", "eway_status", "eway_valid_until", "transporter",
    ]  # fmt: skip
    list_filter: ClassVar = ["direction", "eway_status"]
    list_select_related: ClassVar = ["trade", "transporter", "created_by"]
    details: ClassVar = [
        "trade", "direction", "returns", "dispatched_at", "transporter", "vehicle", "vehicle_number", "lr_number",
        "distance_km", "from_location", "to_location", "invoice_number", "invoice_date", "challan_number",
        "consignment_value", "eway_status", "eway_number", "eway_valid_until", "voided_at", "void_reason", "created_by",
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Whether somebody has to enter the number of its e-way bill by hand."""
        return _waits(super().get_queryset(request), Q(eway_status="FAILED", voided_at=None))

    def tables(self, request: HttpRequest, row: Dispatch) -> list[Table]:
        """Goods by lot."""
        lines = [
            (each.lot, each.count or "–", _kg(each.weight_kg))
            for each in row.lines.select_related("lot").order_by("pk")
        ]
        return [Table("Goods", ["Lot", "Packages", "Weight"], lines)]


@admin.register(Deadline)
class DeadlineAdmin(_OfTrade):
    """Deadlines of trades."""

    empty = "Trades set them as they proceed."
    list_display: ClassVar = ["trade", "kind", "due_date", "status"]
    list_filter: ClassVar = ["status", "kind", "due_date"]
    ordering: ClassVar = ["due_date", "id"]


@admin.register(Refusal)
class RefusalAdmin(ServiceAdmin):
    """Accepted negotiations of which no trade could be made."""

    views = capabilities.VIEW
    empty = "Every accepted negotiation became a trade."
    runs: ClassVar = [creation.create_refused, creation.close_refused]
    inputs: ClassVar = {
        creation.create_refused: serializers.CreateRefusedInput,
        creation.close_refused: serializers.CloseRefusedInput,
    }
    queues: ClassVar = [
        Queue(
            title="Accepted negotiations without a trade",
            filters={"waits": "True"},
            since="created_at",
            amber=timedelta(hours=2),
            red=timedelta(hours=8),
            quiet=True,
        )
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Whether each still waits: for its trade, or to be closed once the reservation has ended."""
        return _waits(super().get_queryset(request), Q(negotiation__trade_id=None, closing=None))

    @admin.display(description="trade")
    def trade(self, row: Refusal) -> str:
        """The trade that was made meanwhile."""
        made = row.negotiation.trade_id
        page: Any = self.admin_site._registry[Trade]
        return "–" if made is None else format_html('<a href="{}">Open</a>', page._url("change", made))

    @admin.display(description="reason", ordering="code")
    def reason(self, row: Refusal) -> str:
        """The refusal in words."""
        kind = problem_kinds().get(row.code)
        return row.code if kind is None else kind.title

    @admin.display(description="closed", ordering="closing__created_at", empty_value="–")
    def closed_at(self, row: Refusal) -> Any:
        """When it was closed without a trade."""
        return row.closing.created_at if hasattr(row, "closing") else None

    @admin.display(description="closed by", empty_value="–")
    def closed_by(self, row: Refusal) -> Any:
        """Who closed it."""
        return row.closing.created_by if hasattr(row, "closing") else None

    @admin.display(description="why there is no trade", empty_value="–")
    def close_reason(self, row: Refusal) -> str | None:
        """What was entered when it was closed."""
        return row.closing.reason if hasattr(row, "closing") else None

    list_display: ClassVar = ["negotiation", "reason", "created_at", "closed_at"]
    details: ClassVar = [
        "negotiation", "reason", "trade", "created_at", "closed_at", "closed_by", "close_reason",
    ]  # fmt: skip
    list_filter: ClassVar = ["code"]
    list_select_related: ClassVar = ["negotiation", "closing__created_by"]
    ordering: ClassVar = ["-created_at", "id"]
