"""The money of trades in the staff portal: settlements with their trace, ledger, payments, tax rules and positions."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Case, F, Sum, When
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html

from apps.partners.models import Partner
from apps.trades import capabilities
from apps.trades import money_serializers as serializers
from apps.trades.engine import report
from apps.trades.models import (
    ApprovalBand,
    LedgerEntry,
    Payment,
    PositionOpening,
    Settlement,
    TaxPosition,
    TaxRule,
    TradeDocument,
)
from apps.trades.services import ledger, settlement, tax_rules
from erp import figures
from erp.access import actor_of
from erp.admin import ServiceAdmin, Table, amount
from erp.capabilities import VIEW_TRAIL
from erp.trail import services as trail

MOST_TRADES: Final = 50  # on the page of an entry
DRAFTED = ["valid_from", "valid_to", "source", "status", "version"]


@admin.register(Settlement)
class SettlementAdmin(ServiceAdmin):
    """Settlements. Each figure unfolds to its rule, inputs and exact value."""

    views = capabilities.VIEW
    empty = "Finance settles delivered trades on the page of the trade."
    list_display: ClassVar = [
        "number", "trade", "revision", "settled_date", amount("invoice_total"), amount("tds", "TDS"), amount("claim"),
        amount("carrying"), amount("net_due"), "net_debtor",
    ]  # fmt: skip
    list_filter: ClassVar = ["settled_date"]
    list_select_related: ClassVar = ["trade", "net_debtor"]
    search_fields: ClassVar = ["number__startswith", "trade__number__startswith"]
    search_help_text = "Settlement or trade number"
    ordering: ClassVar = ["-settled_date", "-id"]
    details: ClassVar = [
        "number", "trade", "revision", "settled_date", "trace", amount("taxable"), amount("tax"),
        amount("round_off"), amount("invoice_total"), amount("tds", "TDS"), amount("claim"), amount("carrying"),
        amount("brokerage"), amount("washout"), amount("net_due"), "net_debtor", amount("open_after_notes"),
        amount("on_account"), "engine_version", "terms_version", "lines_hash", "reverses", "created_by",
        "created_at",
    ]  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        views = (("trace", self.trace_view), ("trace-file", self.file_view))
        own = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"trade_settlement_{name.replace('-', '_')}",
            )
            for name, view in views
        ]
        return [*own, *super().get_urls()]

    @admin.display(description="trace")
    def trace(self, row: Settlement) -> str:
        """A link to the figures with their rules."""
        return format_html('<a class="text-link" href="{}">Show every figure with its rule</a>', "../trace/")

    def trace_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Every figure, document by document."""
        row = self._row(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Trace of {row.number}",
            "opts": self.opts,
            "original": row,
            "explanation": (
                f"Settlement of {row.trade} of {report.day(row.settled_date)}. Open a figure for its rule, inputs and "
                "exact value. The file can be recomputed with: python -m apps.trades.engine FILE"
            ),
            "groups": list(_groups(row)),
            "download": "../trace-file/",
            "back": self._url("change", row.pk),
        }
        return TemplateResponse(request, "admin/trade/trace.html", context)

    def file_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The file that anybody can recompute."""
        row = self._row(request, object_id)
        text = json.dumps(settlement.export(row), ensure_ascii=False, indent=1, sort_keys=True)
        response = HttpResponse(text, content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="{row.number.replace("/", "-")}.json"'
        return response

    def tables(self, request: HttpRequest, row: Settlement) -> list[Table]:
        """Documents and what was owed."""
        names = _names(row)
        documents = [
            (
                f"{report.words(each['kind']).capitalize()} {each['number']}",
                names.get(each["debtor"], "–"),
                names.get(each["creditor"], "–"),
                figures.money(Decimal(each["taxable"]), row.currency),
                figures.money(Decimal(each["tax"]), row.currency),
                figures.money(Decimal(each["total"]), row.currency),
                figures.money(Decimal(each["tds"]), row.currency),
            )
            for each in row.documents
        ]
        owed = [
            (
                each["due_date"],
                report.words(each["kind"]),
                names.get(each["debtor"], "–"),
                figures.money(Decimal(each["amount"]), row.currency),
                figures.money(Decimal(each["open"]), row.currency),
            )
            for each in row.obligations
        ]
        return [
            Table("Documents", ["Document", "From", "To", "Taxable", "Tax", "Total", "TDS"], documents),
            Table("Owed", ["Due on", "For", "By", "Amount", "Open"], owed),
        ]


def _names(row: Settlement) -> dict[str, str]:
    parties = Partner.objects.filter(pk__in=row.trade.parties.values("partner"))
    return {str(partner.pk): str(partner) for partner in parties}


def _groups(row: Settlement) -> Iterator[dict[str, Any]]:
    """Lines by document, as people read them."""
    done, names = settlement.recompute(row), _names(row)
    numbers = {each["key"]: each["number"] for each in row.documents}
    titles = {"": "Weights, prices and other amounts"}
    titles |= {each.key: report.heading(each, numbers.get(each.key, "")) for each in done.documents}
    for key, title in titles.items():
        lines = [
            {
                "caption": report.caption(line, names).capitalize(),
                "figure": report.amount(line, row.currency),
                "rule": line.rule,
                "rule_version": line.rule_version,
                "exact": report.exact(line),
                "fraction": "" if line.unrounded.denominator == 1 else str(line.unrounded),
                "inputs": [
                    (report.words(name), report.shown(value)) for name, value in line.inputs.items() if value
                ],
            }
            for line in done.lines
            if line.document == key
        ]
        if lines:
            yield {"title": title, "lines": lines}


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ServiceAdmin):
    """Who owes whom how much, and why. Entries are only added; a search for two partners shows what stands between."""

    views = capabilities.VIEW
    empty = "Settlements and payments post them."
    list_display: ClassVar = [
        "id", "trade", "kind", "debtor", "creditor", amount("amount"), "document", "reverses", "created_at",
    ]  # fmt: skip
    list_filter: ClassVar = ["kind", "currency"]
    list_select_related: ClassVar = ["trade", "debtor", "creditor", "reverses"]
    search_fields: ClassVar = ["trade__number__startswith", "debtor__legal_name", "creditor__legal_name"]
    search_help_text = "Trade number or partner"
    drill_downs: ClassVar = ["debtor", "creditor"]
    ordering: ClassVar = ["-id"]

    def tables(self, request: HttpRequest, row: LedgerEntry) -> list[Table]:
        """What stands between the two partners, trade by trade: the newest trades of which something is open."""
        pair = (row.debtor_id, row.creditor_id)
        entries = LedgerEntry.objects.filter(debtor__in=pair, creditor__in=pair, currency=row.currency)
        signed = Case(When(debtor=row.debtor_id, then=F("amount")), default=-F("amount"))
        by_trade = entries.values("trade__number").annotate(total=Sum(signed)).exclude(total=0)
        newest = by_trade.order_by("-trade__created_at")[: MOST_TRADES + 1]
        lines = [
            (each["trade__number"], figures.money(each["total"], row.currency))
            for each in newest[:MOST_TRADES]
        ]
        if len(newest) > MOST_TRADES:
            lines.append(("Older trades", "not shown"))
        owed = ledger.balance(row.debtor_id, row.creditor_id, row.currency)
        lines.append(("All trades", figures.money(owed, row.currency)))
        return [Table(f"{row.debtor} owes {row.creditor}", ["Trade", "Balance"], lines)]


@admin.register(Payment)
class PaymentAdmin(ServiceAdmin):
    """Payments of trades."""

    views = capabilities.VIEW
    empty = "Finance records them on the page of the trade."
    hidden: ClassVar = ["id", "reference"]
    list_display: ClassVar = [
        "trade", "number", "kind", "payer", "payee", amount("amount"), amount("tds", "TDS"), "paid_date",
        "method", "reverses",
    ]  # fmt: skip
    list_filter: ClassVar = ["kind", "method", "paid_date"]
    list_select_related: ClassVar = ["trade", "payer", "payee", "reverses"]
    search_fields: ClassVar = ["trade__number__startswith"]
    search_help_text = "Trade number"
    ordering: ClassVar = ["-created_at", "id"]


@admin.register(TradeDocument)
class TradeDocumentAdmin(ServiceAdmin):
    """Documents of trades as they were drawn."""

    views = capabilities.VIEW
    empty = "They are drawn when a trade is made, amended or settled."
    list_display: ClassVar = ["trade", "kind", "subject", "subject_version", "size", "created_at"]
    list_filter: ClassVar = ["kind"]
    list_select_related: ClassVar = ["trade"]
    search_fields: ClassVar = ["trade__number__startswith", "subject__startswith"]
    search_help_text = "Trade or document number"
    ordering: ClassVar = ["-created_at", "id"]
    details: ClassVar = [
        "trade", "kind", "subject", "subject_version", "download", "sha256", "size", "created_at",
    ]  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.content_view)
        return [path("<path:object_id>/file/", view, name="trade_tradedocument_file"), *super().get_urls()]

    @admin.display(description="file")
    def download(self, row: TradeDocument) -> str:
        """A link to the file."""
        return format_html('<a class="text-link" href="{}">Download the PDF</a>', "../file/")

    def content_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send the file; the opening is a line in the history."""
        row = self._row(request, object_id)
        trail.record_clear_reads(
            actor=actor_of(request), reads={(TradeDocument._meta.db_table, str(row.pk)): ["file"]}
        )
        response = HttpResponse(row.file.content, content_type="application/pdf")
        response["Content-Disposition"] = f'attachment; filename="{row.file.name}"'
        return response


class _DraftAdmin(ServiceAdmin):
    """Rows that one person drafts and another publishes."""

    views = (capabilities.CONFIGURE, VIEW_TRAIL)
    list_filter: ClassVar = ["status"]


@admin.register(TaxRule)
class TaxRuleAdmin(_DraftAdmin):
    """Dated rules of tax law. Another person approves them for publication."""

    creates, updates = tax_rules.draft_tax_rule, tax_rules.edit_tax_rule
    runs: ClassVar = [tax_rules.submit_tax_rule, tax_rules.withdraw_tax_rule]
    inputs: ClassVar = {
        tax_rules.draft_tax_rule: serializers.TaxRuleInput,
        tax_rules.edit_tax_rule: serializers.TaxRuleEditInput,
        tax_rules.submit_tax_rule: serializers.ReasonInput,
        tax_rules.withdraw_tax_rule: serializers.ReasonInput,
    }
    list_display: ClassVar = ["code", "rule_version", "kind", "valid_from", "valid_to", "source", "status"]
    list_filter: ClassVar = ["status", "kind"]
    search_fields: ClassVar = ["code__startswith", "source"]
    ordering: ClassVar = ["code", "-rule_version"]
    details: ClassVar = ["code", "rule_version", "kind", "applies", "figures", "supersedes", *DRAFTED]


@admin.register(ApprovalBand)
class ApprovalBandAdmin(_DraftAdmin):
    """How many people approve trades above a value. Another person approves a change."""

    creates, updates = tax_rules.draft_approval_band, tax_rules.edit_approval_band
    runs: ClassVar = [tax_rules.submit_approval_band, tax_rules.withdraw_approval_band]
    inputs: ClassVar = {
        tax_rules.draft_approval_band: serializers.ApprovalBandInput,
        tax_rules.edit_approval_band: serializers.ApprovalBandInput,
        tax_rules.submit_approval_band: serializers.ReasonInput,
        tax_rules.withdraw_approval_band: serializers.ReasonInput,
    }
    list_display: ClassVar = ["organization", "above_value", "approvals", "valid_from", "valid_to", "status"]
    list_select_related: ClassVar = ["organization"]
    ordering: ClassVar = ["organization", "above_value", "-valid_from"]
    details: ClassVar = ["organization", "above_value", "approvals", *DRAFTED]


@admin.register(PositionOpening)
class PositionOpeningAdmin(_DraftAdmin):
    """Openings of TDS positions. Another person approves them."""

    creates, updates = tax_rules.draft_position_opening, tax_rules.edit_position_opening
    runs: ClassVar = [tax_rules.submit_position_opening, tax_rules.withdraw_position_opening]
    inputs: ClassVar = {
        tax_rules.draft_position_opening: serializers.PositionOpeningInput,
        tax_rules.edit_position_opening: serializers.PositionOpeningInput,
        tax_rules.submit_position_opening: serializers.ReasonInput,
        tax_rules.withdraw_position_opening: serializers.ReasonInput,
    }
    list_display: ClassVar = [
        "kind", "deductor", "deductee", "financial_year", "opening_amount", "liable", "valid_from", "status",
    ]  # fmt: skip
    list_filter: ClassVar = ["status", "kind", "financial_year"]
    list_select_related: ClassVar = ["deductor", "deductee"]
    search_fields: ClassVar = ["deductor__legal_name", "deductee__legal_name"]
    ordering: ClassVar = ["-financial_year", "kind", "id"]
    details: ClassVar = [
        "kind", "deductor", "deductee", "financial_year", "opening_amount", "opening_taxed", "liable",
        "certificates", *DRAFTED,
    ]  # fmt: skip


@admin.register(TaxPosition)
class TaxPositionAdmin(ServiceAdmin):
    """What counts towards a TDS threshold between two partners in a year, with its entries."""

    views = (capabilities.CONFIGURE, VIEW_TRAIL)
    empty = "A published opening makes them."
    list_display: ClassVar = [
        "kind", "deductor", "deductee", "financial_year", "opening_amount", "counted", "taxed", "liable",
    ]  # fmt: skip
    list_filter: ClassVar = ["kind", "financial_year", "liable"]
    list_select_related: ClassVar = ["deductor", "deductee"]
    search_fields: ClassVar = ["deductor__legal_name", "deductee__legal_name"]
    ordering: ClassVar = ["-financial_year", "kind", "id"]
    details: ClassVar = [
        "kind", "deductor", "deductee", "financial_year", "opening_amount", "opening_taxed", "counted", "taxed",
        "liable", "certificates", "evidence", "version",
    ]  # fmt: skip

    def tables(self, request: HttpRequest, row: TaxPosition) -> list[Table]:
        """Its last entries."""
        entries = row.entries.select_related("trade").order_by("-id")[:50]
        lines = [
            (
                str(each.trade),
                each.document or "Payment",
                figures.money(each.counted),
                figures.money(each.taxed),
            )
            for each in entries
        ]
        return [Table("Entries", ["Trade", "Document", "Counted", "Taxed"], lines)]
