"""Money of a trade: payments, settlements with every line, the ledger of who owes whom, and documents."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from apps.organization.models.identity import Organization
from apps.trades.engine.facts import PaymentKind
from apps.trades.engine.settlement import DocumentKind, Rounding
from apps.trades.models.base import Recorded, chosen, money, partner
from apps.trades.models.trade import Trade
from erp.models import Guarded


class Payment(Recorded):
    """A payment between two parties. ``amount`` is what it discharges; the bank moved it less the TDS."""

    class Method(models.TextChoices):
        NEFT = "NEFT", "NEFT"
        RTGS = "RTGS", "RTGS"
        IMPS = "IMPS", "IMPS"
        UPI = "UPI", "UPI"
        CHEQUE = "CHEQUE"
        TT = "TT", "Telegraphic transfer"
        LC = "LC", "Letter of credit"
        ADJUSTMENT = "ADJUSTMENT"

    own_records = ("payer", "payee")

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="payments")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    number = models.PositiveIntegerField(help_text="Counts the payments of a trade, in the order recorded.")
    kind = chosen(PaymentKind)
    payer = partner()
    payee = partner()
    amount = money(help_text="What the payment discharges, TDS included.")
    tds = money(verbose_name="TDS", default=0, help_text="Tax deducted at source.")
    bank_amount = money(help_text="What the bank moved: the amount less the TDS.")
    currency = models.CharField(max_length=3)
    paid_date = models.DateField()
    method = models.CharField(max_length=10, choices=Method)
    reference = models.CharField(max_length=64, help_text="Reference of the bank, such as the UTR.")
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")

    class Meta(Recorded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trade", "number"], name="payment_number_once"),
            models.UniqueConstraint(
                fields=["organization", "method", "reference"], name="payment_reference_once"
            ),
            models.CheckConstraint(
                name="payment_amounts",
                condition=Q(amount__gt=0, tds__gte=0, bank_amount=F("amount") - F("tds")),
            ),
            models.CheckConstraint(name="payment_two_partners", condition=~Q(payer=F("payee"))),
            models.CheckConstraint(
                name="payment_reversal_named",
                condition=Q(kind="REVERSAL", reverses__isnull=False)
                | (~Q(kind="REVERSAL") & Q(reverses=None)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.amount}"


class PaymentAllocation(Guarded):
    """What a payment is for. Never changed."""

    id = models.BigAutoField(primary_key=True)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="allocations")
    obligation = models.CharField(max_length=16, help_text="ADVANCE, BALANCE, or the kind of a note.")
    amount = money()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payment", "obligation"], name="payment_obligation_once"),
            models.CheckConstraint(name="payment_allocation_positive", condition=Q(amount__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.obligation} {self.amount}"


class Settlement(Recorded):
    """A settlement: its facts, totals and lines, as anybody can recompute them."""

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="settlements")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    revision = models.PositiveSmallIntegerField()
    number = models.CharField(max_length=20)
    settled_date = models.DateField()
    engine_version = models.PositiveSmallIntegerField()
    terms_version = models.PositiveIntegerField()
    facts = models.JSONField(help_text="Everything that it was computed from.")
    documents = models.JSONField(help_text="Invoices, notes and other documents with their numbers.")
    obligations = models.JSONField(help_text="What was owed, and what was paid of it.")
    position_moves = models.JSONField(help_text="How the TDS positions moved.")
    lines_hash = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    taxable = money()
    tax = money()
    round_off = money()
    invoice_total = money()
    tds = money(verbose_name="TDS")
    claim = money()
    carrying = money()
    brokerage = money()
    washout = money(default=0)
    net_due = money()
    net_debtor = partner(null=True)
    open_after_notes = money(default=0)
    on_account = money(default=0)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")

    class Meta(Recorded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trade", "revision"], name="settlement_revision_once"),
            models.UniqueConstraint(fields=["organization", "number"], name="settlement_number_once"),
        ]

    def __str__(self) -> str:
        return self.number


class Line(Guarded):
    """A figure of a settlement with its trace. Never changed."""

    id = models.BigAutoField(primary_key=True)
    settlement = models.ForeignKey(Settlement, models.PROTECT, related_name="lines")
    line_no = models.PositiveIntegerField()
    document = chosen(DocumentKind, default="", blank=True)
    document_key = models.CharField(max_length=200, default="", blank=True)
    name = models.CharField(max_length=40)
    subject = models.CharField(max_length=200, default="", blank=True)
    rule = models.CharField(max_length=40)
    rule_version = models.PositiveSmallIntegerField()
    inputs = models.JSONField()
    numerator = models.TextField(help_text="Numerator of the exact value.")
    denominator = models.TextField(help_text="Denominator of the exact value.")
    amount = models.DecimalField(max_digits=24, decimal_places=6)
    places = models.PositiveSmallIntegerField()
    unit = models.CharField(max_length=16)
    rounding = chosen(Rounding)

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["settlement", "line_no"], name="settlement_line_once")
        ]

    def __str__(self) -> str:
        return f"{self.line_no} {self.name}"


class TradeDocument(Recorded):
    """A document of a trade as it was generated."""

    class Kind(models.TextChoices):
        CONTRACT_NOTE = "CONTRACT_NOTE", "Contract note"
        STATEMENT = "STATEMENT"
        CREDIT_NOTE = "CREDIT_NOTE", "Credit note"
        DEBIT_NOTE = "DEBIT_NOTE", "Debit note"

    trade = models.ForeignKey(Trade, models.PROTECT, related_name="documents")
    kind = models.CharField(max_length=13, choices=Kind)
    subject = models.CharField(
        max_length=80, default="", blank=True, help_text="Which of several: a note's number."
    )
    subject_version = models.PositiveIntegerField(
        help_text="Version of the terms, or revision of the settlement."
    )
    file = models.ForeignKey("upload.StoredFile", models.PROTECT, related_name="+", editable=False)
    sha256 = models.CharField("SHA-256", max_length=64, help_text="SHA-256 of the file in hexadecimal.")
    size = models.PositiveIntegerField()

    class Meta(Recorded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["trade", "kind", "subject", "subject_version"], name="trade_document_once"
            )
        ]

    def __str__(self) -> str:
        return str(self.get_kind_display())


class LedgerEntry(Recorded):
    """Who owes whom how much, and why. The id is its position in the ledger."""

    class Kind(models.TextChoices):
        GOODS = "GOODS"
        CHARGE = "CHARGE"
        TAX = "TAX"
        ROUND_OFF = "ROUND_OFF", "Round-off"
        TDS = "TDS", "TDS"
        PAYMENT = "PAYMENT"
        CLAIM = "CLAIM"
        CARRYING = "CARRYING", "Carrying charge"
        BROKERAGE = "BROKERAGE"
        WASHOUT = "WASHOUT"

    own_records = ("debtor", "creditor")

    id = models.BigAutoField(primary_key=True)  # type: ignore[assignment]
    trade = models.ForeignKey(Trade, models.PROTECT, related_name="ledger")
    settlement = models.ForeignKey(Settlement, models.PROTECT, null=True, related_name="entries")
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="entries")
    document = models.CharField(max_length=200, default="", blank=True, help_text="Key of the document.")
    kind = models.CharField(max_length=9, choices=Kind)
    debtor = partner()
    creditor = partner()
    amount = money()
    currency = models.CharField(max_length=3)
    tax_rule = models.ForeignKey("trade.TaxRule", models.PROTECT, null=True, related_name="+")
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")

    class Meta(Recorded.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="ledger_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="ledger_two_partners", condition=~Q(debtor=F("creditor"))),
        ]
        indexes: ClassVar[list[Any]] = [models.Index(fields=["trade", "id"], name="ledger_trade")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.amount}"
