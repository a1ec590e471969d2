"""Requests and responses about the money of trades."""

from decimal import Decimal
from typing import Any

from rest_framework.serializers import SerializerMethodField

from apps.partners.models import Partner
from apps.trades.engine.facts import PaymentKind
from apps.trades.lookups import exact, known_inputs
from apps.trades.models import (
    ApprovalBand,
    LedgerEntry,
    Line,
    Payment,
    PositionOpening,
    Settlement,
    TaxRule,
    TradeDocument,
)
from apps.trades.models.base import choices_of
from apps.trades.serializers import RecordedOutput
from apps.trades.services.payments import OBLIGATIONS
from erp.api import fields
from erp.api.serializers import Input, LookupOutput

_MONEY: dict[str, Any] = {"max_digits": 18, "decimal_places": 2}


def _hash(help_text: str, **more: Any) -> Any:
    return fields.CharField(min_length=64, max_length=64, help_text=help_text, **more)


class AllocationInput(Input):
    obligation = fields.ChoiceField(
        choices=[(kind, kind.capitalize().replace("_", " ")) for kind in OBLIGATIONS],
        help_text="What the part is for: ADVANCE, BALANCE, or the reason of a note.",
    )
    amount = fields.DecimalField(**_MONEY, min_value=Decimal("0.01"), help_text="Part of the payment.")


class PaymentInput(Input):
    kind = fields.ChoiceField(choices=choices_of(PaymentKind), help_text="What is paid.")
    payer_id = fields.RowField(Partner, source="payer", help_text="Party of the trade that pays.")
    payee_id = fields.RowField(Partner, source="payee", help_text="Party of the trade that is paid.")
    amount = fields.DecimalField(
        **_MONEY, min_value=Decimal("0.01"), help_text="What the payment discharges, TDS included."
    )
    currency = fields.CharField(
        min_length=3, max_length=3, help_text="Currency of the contract, such as INR."
    )
    paid_date = fields.DateField(help_text="Business day of the payment, not after today.")
    method = fields.ChoiceField(choices=Payment.Method.choices, help_text="How it was paid.")
    reference = fields.CharField(
        max_length=64, twelve_digits=True, help_text="Reference of the bank, such as the UTR."
    )
    allocations = AllocationInput.many_init(
        required=False,
        max_length=10,
        help_text="What it is for. Default: the oldest due first; the rest stays on account.",
    )
    reverses_payment_id = fields.RowField(
        Payment,
        source="reverses_payment",
        required=False,
        allow_null=True,
        help_text="The payment that bounced, for a payment of kind REVERSAL of the same amount.",
    )


class PreviewInput(Input):
    as_of_date = fields.DateField(required=False, help_text="Day of the preview. Default: today.")


class SettleInput(Input):
    settled_date = fields.DateField(required=False, help_text="Day of the settlement. Default: today.")
    invoice_number = fields.CharField(
        max_length=16, required=False, help_text="Number of the tax invoice, where no dispatch has one."
    )
    invoice_date = fields.DateField(required=False, help_text="Date of that invoice.")
    preview_hash = _hash("Hash of the preview that is to be settled.", required=False)


class PaymentOutput(RecordedOutput):
    allocations = SerializerMethodField(help_text="What it is for.")

    class Meta:
        model = Payment
        fields = (
            "trade_id", "number", "kind", "payer_id", "payee_id", "amount", "tds", "bank_amount", "currency",
            "paid_date", "method", "reference", "reverses_id",
        )  # fmt: skip

    def get_allocations(self, row: Payment) -> list[dict[str, str]]:
        """The parts as they were entered."""
        parts = sorted(row.allocations.all(), key=lambda part: part.obligation)
        return [{"obligation": part.obligation, "amount": f"{part.amount:.2f}"} for part in parts]


class LineOutput(LookupOutput):
    line_no = fields.IntegerField(help_text="Position in the settlement.")
    document = fields.CharField(source="document_key", help_text="Key of the document, if any.")
    name = fields.CharField(help_text="What the figure is, such as line_amount.")
    subject = fields.CharField(help_text="What it is about: a lot, a head of tax, a partner.")
    rule = fields.CharField(help_text="Number of the rule.")
    rule_version = fields.IntegerField()
    inputs = SerializerMethodField(help_text="What it was computed from.")
    unrounded = SerializerMethodField(help_text="Exact value as a fraction.")
    exact = SerializerMethodField(help_text="Exact value to ten decimals.")
    amount = SerializerMethodField(help_text="The figure, rounded once.")
    places = fields.IntegerField(help_text="Decimals of the figure.")
    unit = fields.CharField(help_text="Currency, kg, or price unit.")
    rounding = fields.CharField(help_text="HALF_UP, LARGEST_REMAINDER or EXACT.")

    def get_inputs(self, row: Line) -> dict[str, str]:
        """What the reader may know of them."""
        side = row.settlement.trade.side_of(self.context["actor"])
        return known_inputs(row.name, row.document_key, row.inputs, side)

    def get_unrounded(self, row: Line) -> str:
        """Numerator and denominator."""
        return f"{row.numerator}/{row.denominator}"

    def get_exact(self, row: Line) -> str:
        """The same in decimals."""
        return exact(int(row.numerator), int(row.denominator))

    def get_amount(self, row: Line) -> str:
        """The figure with the places of its rule."""
        return f"{row.amount:.{row.places}f}"


class SettlementOutput(RecordedOutput):
    class Meta:
        model = Settlement
        fields = (
            "trade_id", "number", "revision", "settled_date", "engine_version", "terms_version", "currency",
            "taxable", "tax", "round_off", "invoice_total", "tds", "claim", "carrying", "brokerage", "washout",
            "net_due", "net_debtor_id", "lines_hash", "reverses_id",
        )  # fmt: skip


class SettlementDetailOutput(SettlementOutput):
    documents = fields.ListField(child=fields.DictField(), help_text="Invoices, notes and brokerage.")
    obligations = fields.ListField(
        child=fields.DictField(), help_text="What was owed, and what was paid of it."
    )
    lines = LineOutput(many=True)

    class Meta(SettlementOutput.Meta):
        pass


class PreviewLineOutput(LookupOutput):
    line_no = fields.IntegerField(help_text="Position in the settlement.")
    document = fields.CharField(help_text="Key of the document, if any.")
    name = fields.CharField(help_text="What the figure is, such as line_amount.")
    subject = fields.CharField(help_text="What it is about: a lot, a head of tax, a partner.")
    rule = fields.CharField(help_text="Number of the rule.")
    rule_version = fields.IntegerField()
    inputs = fields.DictField(help_text="What it was computed from.")
    unrounded = fields.CharField(help_text="Exact value as a fraction.")
    exact = fields.CharField(help_text="Exact value to ten decimals.")
    amount = fields.CharField(help_text="The figure, rounded once.")
    places = fields.IntegerField(help_text="Decimals of the figure.")
    unit = fields.CharField(help_text="Currency, kg, or price unit.")
    rounding = fields.CharField(help_text="HALF_UP, LARGEST_REMAINDER or EXACT.")


class PreviewOutput(LookupOutput):
    trade_id = fields.UUIDField()
    terms_version = fields.IntegerField(help_text="Version of the terms.")
    engine_version = fields.IntegerField(help_text="Version of the engine.")
    as_of_date = fields.DateField(help_text="Day of the preview.")
    provisional = fields.BooleanField(help_text="Whether estimates stand in for missing facts.")
    missing = fields.ListField(child=fields.DictField(), help_text="The facts that are missing.")
    blocking = fields.ListField(child=fields.CharField(), help_text="Codes of what prevents settling.")
    lines = PreviewLineOutput(many=True)
    documents = fields.ListField(child=fields.DictField(), help_text="Invoices, notes and brokerage.")
    obligations = fields.ListField(
        child=fields.DictField(), help_text="What is owed, and what is paid of it."
    )
    totals = fields.DictField(help_text="Sums of the settlement.")
    lines_hash = fields.CharField(help_text="SHA-256 of the lines.")
    preview_hash = fields.CharField(help_text="Send it when settling, so that nothing changes in between.")


class LedgerEntryOutput(RecordedOutput):
    id = fields.IntegerField(help_text="Position in the ledger.")  # type: ignore[assignment]

    class Meta:
        model = LedgerEntry
        fields = (
            "trade_id", "settlement_id", "payment_id", "document", "kind", "debtor_id", "creditor_id", "amount",
            "currency", "reverses_id",
        )  # fmt: skip


class DocumentOutput(RecordedOutput):
    class Meta:
        model = TradeDocument
        fields = ("trade_id", "kind", "subject", "subject_version", "sha256", "size")


class ReasonInput(Input):
    reason = fields.CharField(min_length=10, max_length=1000, help_text="Why, 10 to 1,000 characters.")


class _Dated(Input):
    source = fields.CharField(min_length=2, max_length=500)  # type: ignore[assignment]  # DRF's has this name
    valid_from = fields.DateField()
    valid_to = fields.DateField(required=False, allow_null=True)


class TaxRuleEditInput(_Dated):
    class Meta:
        model = TaxRule

    kind = fields.ChoiceField(choices=TaxRule.Kind.choices)
    applies = fields.DictField(required=False)
    figures = fields.DictField()


class TaxRuleInput(TaxRuleEditInput):
    code = fields.CharField(min_length=2, max_length=40)


class ApprovalBandInput(_Dated):
    class Meta:
        model = ApprovalBand
        fields = ("organization", "above_value", "approvals")


class PositionOpeningInput(_Dated):
    class Meta:
        model = PositionOpening
        fields = (
            "kind",
            "deductor",
            "deductee",
            "financial_year",
            "opening_amount",
            "opening_taxed",
            "liable",
        )

    certificates = fields.ListField(child=fields.DictField(), required=False, max_length=10)
