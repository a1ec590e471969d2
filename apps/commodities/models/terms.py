"""Six lists of terms for contracts. Their figures are the defaults of a contract."""

from decimal import Decimal
from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Q

from apps.commodities.models.base import CODE, Simple, SimpleQuerySet, code_field, name_field
from erp.columns import Row, RowsField, within

MSME_DAYS: Final = (
    45  # the longest agreed term: Micro, Small and Medium Enterprises Development Act 2006, s.15
)
# What the price includes by the rules of Incoterms 2020: freight and insurance, freight, neither.
INSURED: Final = ("CIF", "CIP")
CARRIED: Final = ("CFR", "CPT", "DAP", "DPU", "DDP")
COLLECTED: Final = ("EXW", "FCA", "FAS", "FOB")


def flag(help_text: str) -> "models.BooleanField[Any, Any]":
    """Yes or no; no by default."""
    return models.BooleanField(default=False, help_text=help_text)


def whole(
    help_text: str, verbose_name: str | None = None, default: int = 0
) -> "models.PositiveSmallIntegerField[Any, Any]":
    """A small whole number."""
    return models.PositiveSmallIntegerField(verbose_name, default=default, help_text=help_text)


def percent(help_text: str, default: int = 0) -> "models.DecimalField[Any, Any]":
    """A percentage."""
    return models.DecimalField(max_digits=9, decimal_places=4, default=Decimal(default), help_text=help_text)


class Slab(Row):
    """A number of days with the interest per year. The last slab has no days: it applies to all later days."""

    days = models.PositiveSmallIntegerField(
        null=True,
        validators=within(1, 365),
        help_text="Length of the period in days, 1 to 365. Empty in the last row.",
    )
    annual_percent = models.DecimalField(
        "interest per year (%)",
        max_digits=9,
        decimal_places=4,
        validators=within(0, 60),
        help_text="Interest in percent per year, 0 to 60, up to four decimals.",
    )


def limits(**ranges: tuple[int, int]) -> models.CheckConstraint:
    """Constrain columns to their lowest and highest value."""
    condition = Q()
    for name, both in ranges.items():
        condition &= Q(**{f"{name}__range": both})
    return models.CheckConstraint(name="%(class)s_limits", condition=condition)


def ends_open(name: str) -> models.CheckConstraint:
    """Constrain the last slab to have no days."""
    last = Q(**{f"{name}__-1__days": None})
    return models.CheckConstraint(name=f"%(class)s_{name}_end", condition=Q(**{name: []}) | last)


class Terms(Simple):
    """Fields of all six lists. Each list has its own table."""

    kind: ClassVar[str]  # the list's name, as in its address

    code = code_field()
    name = name_field()
    name_key = models.CharField(max_length=400, editable=False)
    description = models.CharField(
        max_length=500,
        default="",
        blank=True,
        help_text="Details for people who choose the terms, at most 500 characters.",
    )
    sort_order = models.PositiveSmallIntegerField(
        default=100, validators=within(0, 9999), help_text="Position in lists, 0 to 9999, lowest first."
    )

    objects: ClassVar[Any] = SimpleQuerySet.as_manager()

    class Meta(Simple.Meta):
        abstract = True
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["code"], name="%(class)s_code_once"),
            models.UniqueConstraint(fields=["name_key"], name="%(class)s_name_once"),
            models.CheckConstraint(name="%(class)s_code_format", condition=Q(code__regex=f"^{CODE}$")),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def terms_id(self) -> Any:
        """The id, under its name in the events of all six lists."""
        return self.pk


class TradeType(Terms):
    """The kind of a trade."""

    kind = "trade-types"

    class Nature(models.TextChoices):
        SPOT = "SPOT"
        FORWARD = "FORWARD"
        BASIS = "BASIS"
        CONSIGNMENT = "CONSIGNMENT"
        JOB_WORK = "JOB_WORK", "Job work"
        TRANSFER = "TRANSFER", "Stock transfer"

    class Market(models.TextChoices):
        DOMESTIC = "DOMESTIC"
        EXPORT = "EXPORT"
        IMPORT = "IMPORT"
        HIGH_SEA = "HIGH_SEA", "High sea sale"

    nature = models.CharField(max_length=11, choices=Nature, help_text="Kind of deal.")
    market = models.CharField(
        max_length=8,
        choices=Market,
        help_text="Market of the deal: within India, export, import or a sale on the high seas.",
    )
    needs_delivery_window = flag("Whether a contract must state the first and the last day of delivery.")

    class Meta(Terms.Meta):
        pass


class BargainType(Terms):
    """The kind of a bargain and how its price is fixed."""

    kind = "bargain-types"

    class PriceMethod(models.TextChoices):
        FLAT = "FLAT", "Flat price"
        ON_CALL_BUYER = "ON_CALL_BUYER", "On call, buyer fixes"
        ON_CALL_SELLER = "ON_CALL_SELLER", "On call, seller fixes"
        FORMULA = "FORMULA", "By formula"
        PROVISIONAL = "PROVISIONAL", "Provisional price"

    class Firmness(models.TextChoices):
        FIRM = "FIRM"
        OPEN = "OPEN"
        INDICATIVE = "INDICATIVE"

    price_method = models.CharField(max_length=14, choices=PriceMethod, help_text="How the price is fixed.")
    firmness = models.CharField(
        max_length=10,
        choices=Firmness,
        help_text="Whether the bargain binds: firm, open to negotiation or indicative.",
    )
    requires_approval = flag("Whether another person must approve the bargain.")

    class Meta(Terms.Meta):
        pass


class PassingTerms(Terms):
    """The place and the final result of quality passing."""

    kind = "passing-terms"

    class Place(models.TextChoices):
        SELLER_STATION = "SELLER_STATION", "Seller's station"
        BUYER_MILL = "BUYER_MILL", "Buyer's mill"
        WAREHOUSE = "WAREHOUSE"
        LAB = "LAB", "Laboratory"
        PORT = "PORT"

    class Basis(models.TextChoices):
        AS_IS = "AS_IS", "As is, where is"
        FAQ = "FAQ", "Fair average quality (FAQ)"
        SAMPLE = "SAMPLE", "As per sample"
        SPECIFICATION = "SPECIFICATION", "As per specification"

    class FinalSource(models.TextChoices):
        SELLER = "SELLER"
        BUYER = "BUYER"
        LAB = "LAB", "Laboratory"
        CONTROLLER = "CONTROLLER", "Independent controller"

    place = models.CharField(max_length=14, choices=Place, help_text="Where the quality is passed.")
    basis = models.CharField(max_length=13, choices=Basis, help_text="What the quality is compared with.")
    final_source = models.CharField(
        "final result by", max_length=10, choices=FinalSource, help_text="Whose quality result is final."
    )
    requires_quality_test = flag("Whether the lots must be tested before they are passed.")
    bales_per_sample = whole("Number of bales from which one sample is drawn, 1 to 100.", default=20)
    claim_days = whole(
        "Days after delivery within which a quality claim can be made, 0 to 60.", "claim period (days)", 7
    )

    class Meta(Terms.Meta):
        verbose_name = verbose_name_plural = "passing terms"
        constraints: ClassVar = [
            *Terms.Meta.constraints,
            limits(bales_per_sample=(1, 100), claim_days=(0, 60)),
        ]


class WeighmentTerms(Terms):
    """The final weight and deductions from it."""

    kind = "weighment-terms"

    class Final(models.TextChoices):
        ORIGIN = "ORIGIN"
        DESTINATION = "DESTINATION"
        AVERAGE = "AVERAGE"

    class Weighbridge(models.TextChoices):
        OWN = "OWN"
        INDEPENDENT = "INDEPENDENT"

    class Weight(models.TextChoices):
        NET = "NET"
        GROSS_FOR_NET = "GROSS_FOR_NET", "Gross for net"

    class TareMethod(models.TextChoices):
        ACTUAL = "ACTUAL"
        PER_PACKAGE = "PER_PACKAGE", "Kilograms per package"
        PERCENT = "PERCENT", "Percent of the gross weight"

    class FranchiseKind(models.TextChoices):
        NONE = "NONE", "No franchise"
        DEDUCTIBLE = "DEDUCTIBLE", "Deductible: only the excess is claimed"
        THRESHOLD = "THRESHOLD", "Threshold: once exceeded, the whole shortage is claimed"

    final = models.CharField(
        "final weight",
        max_length=11,
        choices=Final,
        help_text="Where the weight that is paid for is taken, or the average of both.",
    )
    weighbridge = models.CharField(
        max_length=11,
        choices=Weighbridge,
        help_text="Whether the parties' own or an independent weighbridge is used.",
    )
    weight = models.CharField(
        "weight paid for",
        max_length=13,
        choices=Weight,
        help_text="Whether the net weight is paid for, or the gross weight as if it were net.",
    )
    tare_method = models.CharField(
        max_length=11, choices=TareMethod, help_text="How the weight of the packing is determined."
    )
    tare_value = models.DecimalField(
        "tare",
        max_digits=18,
        decimal_places=6,
        null=True,
        blank=True,
        validators=within(0),
        help_text="Kilograms per package, or percent of the gross weight, 0 to 100. Empty for actual tare.",
    )
    deduction_percent = percent("Percent of the net weight that is deducted, 0 to 100.")
    franchise_kind = models.CharField(
        "franchise",
        max_length=10,
        choices=FranchiseKind,
        default=FranchiseKind.NONE,
        help_text="How a shortage in transit within the franchise is treated.",
    )
    franchise_percent = models.DecimalField(
        max_digits=9,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Percent of the net weight at origin, 0 to 5. Only with a franchise.",
    )
    claim_days = whole(
        "Days after delivery within which a shortage can be claimed, 0 to 60.", "claim period (days)", 3
    )

    class Meta(Terms.Meta):
        verbose_name = verbose_name_plural = "weighment terms"
        constraints: ClassVar = [
            *Terms.Meta.constraints,
            limits(deduction_percent=(0, 100), franchise_percent=(0, 5), claim_days=(0, 60)),
            models.CheckConstraint(
                name="%(class)s_tare",
                condition=Q(tare_method="ACTUAL", tare_value=None)
                | Q(tare_method="PER_PACKAGE", tare_value__gte=0)
                | Q(tare_method="PERCENT", tare_value__range=(0, 100)),
            ),
            models.CheckConstraint(
                name="%(class)s_franchise",
                condition=Q(franchise_kind="NONE", franchise_percent=None)
                | (~Q(franchise_kind="NONE") & Q(franchise_percent__isnull=False)),
            ),
        ]


class DeliveryTerms(Terms):
    """The place of delivery, and what the price includes."""

    kind = "delivery-terms"

    class Basis(models.TextChoices):
        EX_GIN = "EX_GIN", "Ex gin"
        EX_WAREHOUSE = "EX_WAREHOUSE", "Ex warehouse"
        SPOT = "SPOT"
        FOR_STATION = "FOR_STATION", "FOR station – free on rail"
        FOR_MILL = "FOR_MILL", "FOR mill – free on road"
        DELIVERED = "DELIVERED"
        EXW = "EXW", "EXW – ex works"
        FCA = "FCA", "FCA – free carrier"
        CPT = "CPT", "CPT – carriage paid to"
        CIP = "CIP", "CIP – carriage and insurance paid to"
        DAP = "DAP", "DAP – delivered at place"
        DPU = "DPU", "DPU – delivered at place unloaded"
        DDP = "DDP", "DDP – delivered duty paid"
        FAS = "FAS", "FAS – free alongside ship"
        FOB = "FOB", "FOB – free on board"
        CFR = "CFR", "CFR – cost and freight"
        CIF = "CIF", "CIF – cost, insurance and freight"

    class PriceGroup(models.TextChoices):
        EX = "EX"
        DELIVERED = "DELIVERED"

    class RiskPassesAt(models.TextChoices):
        GIN = "GIN"
        CARRIER = "CARRIER", "First carrier"
        PORT = "PORT"
        DESTINATION = "DESTINATION"

    basis = models.CharField(
        "delivery basis",
        max_length=12,
        choices=Basis,
        help_text="Place of delivery in the terms of the trade, or the rule of Incoterms 2020.",
    )
    price_group = models.CharField(
        max_length=9,
        choices=PriceGroup,
        help_text="Whether the price is an ex price or a delivered price. Only prices of one group are compared.",
    )
    includes_freight = flag("Whether the price includes freight.")
    includes_insurance = flag("Whether the price includes transit insurance.")
    insurance_percent = percent("Sum insured in percent of the goods' value, 100 to 150.", 110)
    risk_passes_at = models.CharField(
        max_length=11, choices=RiskPassesAt, help_text="Where the risk of loss passes to the buyer."
    )
    free_days = whole("Days after the start of delivery without charges for late lifting, 0 to 120.")
    late_slabs = RowsField(
        Slab,
        verbose_name="late lifting charges",
        help_text="Charge in percent per year for each period of late lifting; the last row has no days.",
    )
    needs_place = flag("Whether a contract must name the place of delivery.")

    class Meta(Terms.Meta):
        verbose_name = verbose_name_plural = "delivery terms"
        constraints: ClassVar = [
            *Terms.Meta.constraints,
            limits(insurance_percent=(100, 150), free_days=(0, 120)),
            models.CheckConstraint(
                name="%(class)s_incoterm",
                condition=Q(basis__in=INSURED, includes_freight=True, includes_insurance=True)
                | Q(basis__in=CARRIED, includes_freight=True)
                | Q(basis__in=COLLECTED, includes_freight=False, includes_insurance=False)
                | ~Q(basis__in=(*INSURED, *CARRIED, *COLLECTED)),
            ),
            ends_open("late_slabs"),
        ]


class PaymentTerms(Terms):
    """The due dates and instrument of payment."""

    kind = "payment-terms"

    class BalanceFrom(models.TextChoices):
        INVOICE = "INVOICE", "Invoice date"
        DELIVERY = "DELIVERY", "Delivery date"
        DOCUMENTS = "DOCUMENTS", "Date of documents"

    class DayKind(models.TextChoices):
        CALENDAR = "CALENDAR", "Calendar days"
        WORKING = "WORKING", "Working days"

    class Instrument(models.TextChoices):
        TRANSFER = "TRANSFER", "Bank transfer"
        CHEQUE = "CHEQUE", "Cheque"
        LC = "LC", "LC – letter of credit"
        SBLC = "SBLC", "SBLC – standby letter of credit"
        TT = "TT", "TT – telegraphic transfer"
        CAD = "CAD", "CAD – cash against documents"
        DP = "DP", "DP – documents against payment"
        DA = "DA", "DA – documents against acceptance"

    class LcKind(models.TextChoices):
        SIGHT = "SIGHT", "At sight"
        USANCE = "USANCE", "Usance"

    class BankChargesBy(models.TextChoices):
        BUYER = "BUYER"
        SELLER = "SELLER"
        SHARED = "SHARED"

    class CarryingTax(models.TextChoices):
        AS_GOODS = (
            "AS_GOODS",
            "GST at the rate of the goods",
        )  # interest for late payment is value of supply: CGST Act 2017, s.15(2)(d)
        NONE = "NONE", "No GST"

    advance_percent = percent("Percent of the contract value paid in advance, 0 to 100.")
    advance_days = whole("Days after the contract date, 0 to 90.", "advance due (days)")
    balance_days = models.PositiveSmallIntegerField(
        "balance due (days)", help_text="Days after the invoice, delivery or document date, 0 to 365."
    )
    balance_from = models.CharField(
        max_length=9,
        choices=BalanceFrom,
        help_text="Date from which the days until the balance is due are counted.",
    )
    day_kind = models.CharField(
        "days counted",
        max_length=8,
        choices=DayKind,
        help_text="Whether calendar days or working days are counted.",
    )
    instrument = models.CharField(
        "payment by", max_length=8, choices=Instrument, help_text="Instrument of payment."
    )
    lc_kind = models.CharField(
        "LC type",
        max_length=6,
        choices=LcKind,
        null=True,
        blank=True,
        help_text="Whether the letter of credit is payable at sight or after the usance. Only with LC or SBLC.",
    )  # noqa: DJ001 - no credit
    usance_days = models.PositiveSmallIntegerField(
        "usance (days)",
        null=True,
        blank=True,
        help_text="Days of usance, 1 to 360. Only with a usance letter of credit.",
    )
    bank_charges_by = models.CharField(
        max_length=6, choices=BankChargesBy, help_text="Who pays the bank charges."
    )
    security_percent = percent("Security deposit in percent of the contract value, 0 to 100.")
    carrying_slabs = RowsField(
        Slab,
        verbose_name="interest for late payment",
        help_text="Interest per year for each period of delay; the last row has no days. Empty: no interest.",
    )
    carrying_tax = models.CharField(
        "GST on interest",
        max_length=8,
        choices=CarryingTax,
        default=CarryingTax.AS_GOODS,
        help_text="Whether GST is charged on interest for late payment.",
    )

    class Meta(Terms.Meta):
        verbose_name = verbose_name_plural = "payment terms"
        constraints: ClassVar = [
            *Terms.Meta.constraints,
            limits(
                advance_percent=(0, 100),
                advance_days=(0, 90),
                balance_days=(0, 365),
                usance_days=(1, 360),
                security_percent=(0, 100),
            ),
            models.CheckConstraint(
                name="%(class)s_credit",
                condition=Q(instrument="LC", lc_kind__isnull=False)
                | Q(instrument="SBLC")
                | (~Q(instrument__in=("LC", "SBLC")) & Q(lc_kind=None)),
            ),
            models.CheckConstraint(
                name="%(class)s_usance",
                condition=Q(lc_kind="USANCE", usance_days__isnull=False)
                | (Q(usance_days=None) & (Q(lc_kind=None) | Q(lc_kind="SIGHT"))),
            ),
            ends_open("carrying_slabs"),
        ]

    @property
    def over_msme_limit(self) -> bool:
        """Whether payment is due later than the law allows for micro and small suppliers."""
        return max(self.balance_days, self.usance_days or 0) > MSME_DAYS


TERMS: Final[tuple[type[Terms], ...]] = tuple(Terms.__subclasses__())
